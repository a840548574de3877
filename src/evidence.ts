import { DEPENDENCY_OF } from './cause.ts'
import { discover } from './discover/discover.ts'
import type { Discovery } from './discover/types.ts'
import type { Repository } from './oci/reference.ts'
import type { Authority, Policy } from './policy/types.ts'
import type { Metrics } from './record/metrics.ts'
import type { StateStore } from './store/types.ts'
import type { TrustSnapshot } from './trust/snapshot.ts'
import { timed, type Timings } from './timings.ts'
import { completeWithEntries, type Findings, type ScopedCause } from './trust/rekor/complete.ts'
import type { LogLookUp } from './trust/rekor/look-up.ts'
import { logsNeeded } from './trust/rekor/wanted.ts'
import type { FetchedManifest } from './upstream/manifest-source.ts'
import type { Upstreams } from './upstream/types.ts'
import type { Candidate, PublicKey, TrustRoot } from './verify/types.ts'
import { promisedIndex } from './verify/log-entry-json.ts'
import { keyName } from './verify/public-key.ts'
import { candidateKey } from './verify/unlogged.ts'
import type { VerificationRunner } from './work/runner.ts'

export type EvidenceDeps = {
  trust: TrustSnapshot
  upstreams: Upstreams
  state: Pick<StateStore, 'getEvidence' | 'setEvidence' | 'setLogEntry'>
  /** Undefined: log entries come with the evidence or not at all. */
  lookUp?: LogLookUp | undefined
  runner: VerificationRunner
  metrics: Pick<Metrics, 'stepDuration' | 'evidenceFailures'>
  now: () => Date
  /** Milliseconds, monotonic. */
  elapsed: () => number
  workLimit: () => AbortSignal
}

export type EvidenceSubject = {
  readonly repository: Repository
  readonly manifest: FetchedManifest
  readonly timings: Timings
}

/** What is proven about a subject, what proves nothing and why, and what could not be had. */
export type Evidence = Findings

export const NO_EVIDENCE: Evidence = { verified: [], failures: [], missing: [] }

const MERGED_CANDIDATES_MAX = 128

/**
 * Steps 5 and 6: what was found before, if that is enough for the caller, else that and what upstream has now, and the
 * log entries that are missing from it. Evidence proves itself, whenever it was found: what is at hand and suffices
 * needs neither upstream nor log.
 */
export async function gatherEvidence(
  { repository, manifest, timings }: EvidenceSubject,
  { policies, isEnough }: { policies: readonly Policy[]; isEnough: (evidence: Evidence) => boolean },
  deps: EvidenceDeps,
): Promise<Evidence> {
  const input = { subject: manifest.digest, artifact: manifest.bytes, ...trustedBy(policies, deps.trust) }
  const to = { ...deps, timings }
  const verify = (found: Discovery, logsToAsk?: readonly string[]) =>
    timed('verify', to, () =>
      verifyFound(found, logsToAsk === undefined ? input : { ...input, logsToAsk }, deps),
    )
  const stored = deps.state.getEvidence(repository, manifest.digest)?.discovery
  if (stored !== undefined) {
    const evidence = await verify(stored)
    if (isEnough(evidence)) return evidence
  }
  const client = deps.upstreams.client(repository.registry)
  if (client === undefined) return NO_EVIDENCE
  const source = { client, reader: deps.runner }
  const fresh = await timed('discover', to, () =>
    discover(manifest.digest, repository, source, deps.workLimit()),
  )
  const found = merge(fresh, stored)
  const known = await verify(found, logsToAsk(policies, deps))
  const { candidates, findings: evidence } = isEnough(known)
    ? { candidates: found.candidates, findings: known }
    : await timed('look-up', to, () => lookUpEntries({ found, known, policies, verify }, deps))
  // Absence is only kept where everything was looked at; what is enough is enough, whatever else there may be.
  if (found.failures.length === 0 || isEnough(evidence)) {
    deps.state.setEvidence(repository, manifest.digest, { ...found, candidates, failures: [] }, deps.now())
  }
  return evidence
}

type LookUpInput = {
  readonly found: Discovery
  readonly known: Evidence
  readonly policies: readonly Policy[]
  readonly verify: (found: Discovery) => Promise<Evidence>
}

async function lookUpEntries(
  { found, known, policies, verify }: LookUpInput,
  { lookUp, state }: EvidenceDeps,
): ReturnType<typeof completeWithEntries> {
  if (lookUp === undefined) return { candidates: found.candidates, findings: known }
  return await completeWithEntries(found.candidates, known, policies, {
    lookUp,
    verify: (candidate) => verify({ candidates: [candidate], rejected: [], failures: [] }),
    keep: (log, entry) => {
      // No index: cannot be asked for by one.
      const logIndex = promisedIndex(entry) ?? ''
      state.setLogEntry(log, entry.leafHash, { logIndex, json: entry.json })
    },
  })
}

/** Undefined where no log could help. */
function logsToAsk(policies: readonly Policy[], { lookUp }: EvidenceDeps): readonly string[] | undefined {
  const names = lookUp === undefined ? [] : [...logsNeeded(policies)].filter((name) => lookUp.has(name))
  return names.length === 0 ? undefined : names
}

type Input = Parameters<VerificationRunner['verify']>[1]

async function verifyFound(
  { candidates, rejected, failures: notHad }: Discovery,
  input: Input,
  { runner, metrics, workLimit }: EvidenceDeps,
): Promise<Evidence> {
  const missing = notHad.map(({ because, message }): ScopedCause => {
    return { dependency: DEPENDENCY_OF[because], message }
  })
  if (candidates.length === 0) return { verified: [], failures: rejected, missing }
  try {
    const result = await runner.verify(candidates, input, workLimit())
    const failures = [...result.failures, ...rejected]
    for (const { code } of failures) metrics.evidenceFailures.inc({ code })
    missing.push(
      ...result.unfinished.map(({ message }): ScopedCause => ({ dependency: 'verifier', message })),
    )
    return { verified: result.verified, failures, missing, unlogged: result.unlogged ?? [] }
  } catch (error) {
    // A verifier that dies says nothing about the image: neither good nor bad.
    const message = error instanceof Error ? error.message : 'the verifier failed'
    return { verified: [], failures: rejected, missing: [...missing, { dependency: 'verifier', message }] }
  }
}

/**
 * What is found now, and what was found before: a registry that forgets a signature does not make it untrue. A log entry
 * that was looked up belongs to its signature, whichever time that was found.
 */
function merge(found: Discovery, stored: Discovery | undefined): Discovery {
  if (stored === undefined) return found
  const at = ({ source }: Candidate) => `${source.manifest} ${source.blob}`
  const fresh = new Set(found.candidates.map(at))
  const older = stored.candidates.filter((candidate) => !fresh.has(at(candidate)))
  const entries = new Map(
    stored.candidates.flatMap((candidate) =>
      candidate.logEntries === undefined ? [] : [[candidateKey(candidate), candidate.logEntries] as const],
    ),
  )
  const known = found.candidates.map((candidate) => {
    const logEntries = entries.size === 0 ? undefined : entries.get(candidateKey(candidate))
    return logEntries === undefined ? candidate : { ...candidate, logEntries }
  })
  return { ...found, candidates: [...known, ...older].slice(0, MERGED_CANDIDATES_MAX) }
}

function trustedBy(
  policies: readonly Policy[],
  trust: TrustSnapshot,
): { roots: readonly TrustRoot[]; keys: readonly PublicKey[] } {
  const authorities = policies.filter(({ mode }) => mode !== 'off').flatMap((policy) => policy.authorities)
  return { roots: rootsOf(authorities, trust), keys: keysOf(authorities) }
}

/** Policies load only with the roots that they need; a key that needs no log entry may name one that is not there. */
function rootsOf(authorities: readonly Authority[], trust: TrustSnapshot): readonly TrustRoot[] {
  const names = new Set(authorities.map(({ signer }) => signer.trustRoot))
  return [...names].flatMap((name) => trust.roots.get(name) ?? [])
}

/** A key under two schemes is verified with under both: each policy counts what its own accepts. */
function keysOf(authorities: readonly Authority[]): readonly PublicKey[] {
  const keys = authorities.flatMap(({ signer }) => (signer.kind === 'key' ? signer.keys : []))
  return [...new Map(keys.map(({ key }) => [keyName(key), key])).values()]
}
