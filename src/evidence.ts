import { DEPENDENCY_OF } from './cause.ts'
import { discover } from './discover/discover.ts'
import type { Discovery } from './discover/types.ts'
import { encodeFindings, trustedText, type VerifiedWith } from './findings.ts'
import type { HeadStart } from './head-start.ts'
import type { Digest } from './oci/digest.ts'
import type { Repository } from './oci/reference.ts'
import { asksForEvidence, evidenceDenials } from './policy/revocation.ts'
import type { Authority, ImageFacts, Policy, Revocation } from './policy/types.ts'
import type { Progress } from './progress.ts'
import type { Metrics } from './record/metrics.ts'
import type { StateStore } from './store/types.ts'
import type { TrustSnapshot } from './trust/snapshot.ts'
import { timed, type Timings } from './timings.ts'
import { completeWithEntries, type Findings, type ScopedCause } from './trust/rekor/complete.ts'
import type { LogLookUp } from './trust/rekor/look-up.ts'
import { logsNeeded } from './trust/rekor/wanted.ts'
import type { FetchedManifest } from './upstream/manifest-source.ts'
import type { Upstreams } from './upstream/types.ts'
import type { Candidate, PublicKey } from './verify/types.ts'
import { promisedIndex } from './verify/log-entry-json.ts'
import { keyName } from './verify/public-key.ts'
import { candidateKey } from './verify/unlogged.ts'
import type { VerificationRunner } from './work/runner.ts'

export type EvidenceDeps = {
  trust: TrustSnapshot
  upstreams: Upstreams
  state: Pick<StateStore, 'getEvidence' | 'setEvidence' | 'setFindings' | 'setLogEntry'>
  /** Undefined: log entries come with the evidence or not at all. */
  lookUp?: LogLookUp | undefined
  runner: VerificationRunner
  metrics: Pick<Metrics, 'stepDuration' | 'evidenceFailures'>
  /** Told of each step under way. */
  progress?: Pick<Progress, 'begin'> | undefined
  now: () => Date
  /** Milliseconds, monotonic. */
  elapsed: () => number
  workLimit: () => AbortSignal
}

export type EvidenceSubject = {
  readonly repository: Repository
  readonly manifest: FetchedManifest
  readonly timings: Timings
  /** What was asked for together with the manifest. */
  readonly ahead?: Pick<HeadStart, 'take'>
}

/** What is proven about a subject, what proves nothing and why, and what could not be had. */
export type Evidence = Findings

export const NO_EVIDENCE: Evidence = { verified: [], failures: [], missing: [] }

/** Who asks for evidence, and when what is known is enough. */
export type Asked = {
  readonly image: ImageFacts
  readonly policies: readonly Policy[]
  readonly revocations: readonly Revocation[]
  readonly isEnough: (evidence: Evidence) => boolean
}

const MERGED_CANDIDATES_MAX = 128

/** Steps 5 and 6. What is found is remembered where nothing is missing from it, for those who ask what if. */
export async function gatherEvidence(
  subject: EvidenceSubject,
  asked: Asked,
  deps: EvidenceDeps,
): Promise<Evidence> {
  const evidence = await gather(subject, asked, deps)
  if (evidence.missing.length === 0) {
    const { repository, manifest } = subject
    const findings = encodeFindings({ ...evidence, manifestReasons: [] }, trustedText(trustedBy(asked, deps)))
    deps.state.setFindings(repository, manifest.digest, findings)
  }
  return evidence
}

/**
 * What was found before, if that is enough for the caller, else that and what upstream has now, and the log entries that
 * are missing from it. Evidence proves itself, whenever it was found: what is at hand and suffices needs neither upstream
 * nor log.
 */
async function gather(
  { repository, manifest, timings, ahead }: EvidenceSubject,
  asked: Asked,
  deps: EvidenceDeps,
): Promise<Evidence> {
  const { isEnough } = asked
  const { roots, keys, logsToAsk } = trustedBy(asked, deps)
  const input = { subject: manifest.digest, artifact: manifest.bytes, roots, keys }
  const to = { ...deps, timings }
  const verify = (found: Discovery, logs: readonly string[] = []) =>
    timed('verify', to, () =>
      verifyFound(found, logs.length === 0 ? input : { ...input, logsToAsk: logs }, deps),
    )
  const stored = deps.state.getEvidence(repository, manifest.digest)?.discovery
  const before = stored === undefined ? NO_EVIDENCE : await verify(stored)
  if (stored !== undefined && isEnough(before)) return before
  const discovering = ahead?.take() ?? discoverNow(repository, manifest.digest, deps)
  if (discovering === undefined) return before
  const fresh = await timed('discover', to, () => discovering)
  const found = merge(fresh, stored)
  const known = await verify(found, logsToAsk)
  const { candidates, findings: evidence } = isEnough(known)
    ? { candidates: found.candidates, findings: known }
    : await timed('look-up', to, () => lookUpEntries({ ...asked, found, known, verify }, deps))
  // Absence is only kept where everything was looked at; what is enough is enough, whatever else there may be: unless
  // that could be of somebody who is revoked.
  const isKept = isEnough(evidence) && !asked.revocations.some(asksForEvidence)
  if (found.failures.length === 0 || isKept) {
    deps.state.setEvidence(repository, manifest.digest, { ...found, candidates, failures: [] }, deps.now())
  }
  return evidence
}

/** Step 5: what upstream has about the digest now; undefined where there is no such upstream. */
export function discoverNow(
  repository: Repository,
  digest: Digest,
  { upstreams, runner, workLimit }: Pick<EvidenceDeps, 'upstreams' | 'runner' | 'workLimit'>,
  givenUp?: AbortSignal,
): Promise<Discovery> | undefined {
  const client = upstreams.client(repository.registry)
  if (client === undefined) return undefined
  const signal = givenUp === undefined ? workLimit() : AbortSignal.any([workLimit(), givenUp])
  return discover(digest, repository, { client, reader: runner }, signal)
}

type LookUpInput = Pick<Asked, 'image' | 'policies'> & {
  readonly found: Discovery
  readonly known: Evidence
  readonly verify: (found: Discovery) => Promise<Evidence>
}

async function lookUpEntries(
  { found, known, policies, image, verify }: LookUpInput,
  { lookUp, state, now }: EvidenceDeps,
): ReturnType<typeof completeWithEntries> {
  if (lookUp === undefined) return { candidates: found.candidates, findings: known }
  return await completeWithEntries(found.candidates, known, policies, {
    lookUp,
    occasion: { image, now: now() },
    verify: (candidate) => verify({ candidates: [candidate], rejected: [], failures: [] }),
    keep: (log, entry) => {
      // No index: cannot be asked for by one.
      const logIndex = promisedIndex(entry) ?? ''
      state.setLogEntry(log, entry.leafHash, { logIndex, json: entry.json })
    },
  })
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

/**
 * What evidence is verified with: all that a policy counts, and all that a revocation denies. Else what is revoked could
 * hide behind what is not.
 */
export function trustedBy(
  { policies, revocations }: Pick<Asked, 'policies' | 'revocations'>,
  { trust, lookUp }: Pick<EvidenceDeps, 'trust' | 'lookUp'>,
): Required<VerifiedWith> {
  const authorities = policies.filter(({ mode }) => mode !== 'off').flatMap((policy) => policy.authorities)
  const denials = evidenceDenials(revocations)
  const names = new Set([...authorities.flatMap(rootOf), ...denials.map(({ trustRoot }) => trustRoot)])
  const denied = denials.flatMap((denial) => (denial.kind === 'key' ? (denial.key ?? []) : []))
  const keys = [...authorities.flatMap(keysOf), ...denied]
  return {
    // Policies load only with the roots that they need; a key that needs no log entry may name one that is not there.
    roots: [...names].flatMap((name) => trust.roots.get(name) ?? []),
    // A key under two schemes is verified with under both: each policy counts what its own accepts.
    keys: [...new Map(keys.map((key) => [keyName(key), key])).values()],
    logsToAsk: lookUp === undefined ? [] : [...logsNeeded(policies)].filter((name) => lookUp.has(name)),
  }
}

function rootOf({ signer }: Authority): readonly string[] {
  return signer.kind === 'static' ? [] : [signer.trustRoot]
}

function keysOf({ signer }: Authority): readonly PublicKey[] {
  return signer.kind === 'key' ? signer.keys.map(({ key }) => key) : []
}
