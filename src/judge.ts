import { LRUCache } from 'lru-cache'
import { discover as discoverEvidence } from './discover/discover.ts'
import type { Discovery } from './discover/types.ts'
import { shareFlight } from './flight.ts'
import { foreignUrls, isEvidenceManifest } from './oci/manifest.ts'
import type { Digest } from './oci/digest.ts'
import { repositoryName, type Repository } from './oci/reference.ts'
import { decide } from './policy/decide.ts'
import type { Authority, Cause, Judgement, Policy, PolicySet, Reason } from './policy/types.ts'
import type { Metrics } from './record/metrics.ts'
import type { StateStore } from './store/types.ts'
import type { TrustSnapshot } from './trust/snapshot.ts'
import type { FetchedManifest, ManifestSource } from './upstream/manifest-source.ts'
import type { Upstreams } from './upstream/types.ts'
import type { CandidateResult, PublicKey, TrustRoot } from './verify/types.ts'
import type { VerificationRunner } from './work/runner.ts'

/** What is known of one digest in one repository, under one policy set and trust snapshot. */
export type Judged = {
  readonly manifest: FetchedManifest
  /** Empty results: this is evidence, which nobody can run, and it is served so that others can verify too. */
  readonly judgement: Judgement
  /** The index that covers this manifest, where it did not have to stand for itself. */
  readonly coveredBy: Digest | undefined
}

export type JudgeDeps = {
  policies: { set: PolicySet; matching(repositoryName: string): readonly Policy[] }
  trust: TrustSnapshot
  manifests: ManifestSource
  upstreams: Upstreams
  state: Pick<StateStore, 'getEvidence' | 'setEvidence' | 'parentsOfManifest'>
  runner: VerificationRunner
  metrics: Pick<Metrics, 'stepDuration' | 'evidenceFailures'>
  now: () => Date
  /** Milliseconds, monotonic. */
  elapsed: () => number
  workLimit: () => AbortSignal
  /** How long a judgement that is not wholly satisfied is kept: a new signature must not wait long. */
  violatedTtlMs: number
  allowedForeignHosts: ReadonlySet<string>
}

export type Judge = {
  /** The cached judgement, if there is one: no I/O, no crypto. */
  known(repository: Repository, digest: Digest): Judged | undefined
  /** Steps 4 to 7. Rejects with UpstreamError where the manifest itself cannot be had. */
  judge(repository: Repository, digest: Digest): Promise<Judged>
  /** The judgement for an image of which nothing could be had. */
  undetermined(repository: Repository, cause: Cause): Judgement
}

/** A verdict is about 1 KiB beside the manifest, which has a budget of its own. */
const JUDGED_MAX = 100_000
/** How many indexes deep a manifest may be covered. Deeper nesting has no use but to cost time. */
const COVER_DEPTH_MAX = 4
const MERGED_CANDIDATES_MAX = 128
const NOTHING: Discovery = { candidates: [], rejected: [], failures: [] }

export function createJudge(deps: JudgeDeps): Judge {
  const cache = new LRUCache<string, { judged: Judged; until: number }>({ max: JUDGED_MAX })
  const flights = new Map<string, Promise<Judged>>()
  const epoch = `${deps.policies.set.version} ${deps.trust.version}`

  function keyOf(repository: Repository, digest: Digest): string {
    return `${epoch} ${repositoryName(repository)}@${digest}`
  }

  function current(key: string): Judged | undefined {
    const entry = cache.get(key)
    return entry === undefined || entry.until < deps.elapsed() ? undefined : entry.judged
  }

  async function judge(repository: Repository, digest: Digest, depth = 0): Promise<Judged> {
    const key = keyOf(repository, digest)
    const known = current(key)
    if (known !== undefined) return known
    // Digests cannot form a cycle, so an index that waits for its parent never waits for itself.
    return await shareFlight(flights, key, async () => remember(key, await judgeCold(repository, digest, depth)))
  }

  /** An outage changes no verdict already reached: what cannot be determined now is what it was before. */
  function remember(key: string, judged: Judged): Judged {
    const kept = isDetermined(judged.judgement) ? judged : cache.get(key)?.judged
    if (kept === undefined) return judged
    const settled = kept.judgement.results.every(({ verdict }) => verdict.kind === 'satisfied')
    cache.set(key, { judged: kept, until: settled ? Infinity : deps.elapsed() + deps.violatedTtlMs })
    return kept
  }

  async function judgeCold(repository: Repository, digest: Digest, depth: number): Promise<Judged> {
    const manifest = await timed('fetch', () => deps.manifests.fetch(repository, digest))
    if (manifest.parsed.ok && isEvidenceManifest(manifest.parsed.manifest)) {
      return { manifest, judgement: { results: [] }, coveredBy: undefined }
    }
    const own = manifestReasons(manifest, deps.allowedForeignHosts)
    const cover = own.length === 0 ? await coverOf(repository, digest, depth) : undefined
    if (cover !== undefined) return { manifest, judgement: cover.judgement, coveredBy: cover.root }
    const judgement = await judgeByEvidence(repository, digest, own)
    return { manifest, judgement, coveredBy: undefined }
  }

  /** An index of this repository that was let through, names the digest, and is satisfied now. */
  async function coverOf(
    repository: Repository,
    digest: Digest,
    depth: number,
  ): Promise<{ root: Digest; judgement: Judgement } | undefined> {
    if (depth >= COVER_DEPTH_MAX) return undefined
    for (const parent of deps.state.parentsOfManifest(repository, digest)) {
      // oxlint-disable-next-line no-await-in-loop -- the first that covers is enough; usually there is one, and cached
      const judged = await judge(repository, parent, depth + 1).catch(() => undefined)
      if (judged !== undefined && isSatisfied(judged.judgement)) return { root: parent, judgement: judged.judgement }
    }
    return undefined
  }

  async function judgeByEvidence(
    repository: Repository,
    digest: Digest,
    reasons: readonly Reason[],
  ): Promise<Judgement> {
    const policies = deps.policies.matching(repositoryName(repository)).filter(({ mode }) => mode !== 'off')
    const unmatched = deps.policies.set.unmatched
    async function decideOn(found: Discovery): Promise<Judgement> {
      const evidence = await verify(digest, found, policies)
      return decide({ policies, unmatched, manifestReasons: reasons, ...evidence })
    }
    // Nothing that could be found would change these.
    if (policies.length === 0 || reasons.length > 0) return await decideOn(NOTHING)

    // Evidence proves itself, whenever it was found: what is at hand and suffices needs no upstream.
    const stored = deps.state.getEvidence(repository, digest)?.discovery
    if (stored !== undefined) {
      const judgement = await decideOn(stored)
      if (isSatisfied(judgement)) return judgement
    }
    const found = merge(await timed('discover', () => discover(repository, digest)), stored)
    if (found.failures.length === 0) deps.state.setEvidence(repository, digest, found, deps.now())
    return await decideOn(found)
  }

  async function discover(repository: Repository, digest: Digest): Promise<Discovery> {
    const client = deps.upstreams.client(repository.registry)
    if (client === undefined) return NOTHING
    return await discoverEvidence(digest, repository, client, deps.workLimit())
  }

  async function verify(
    subject: Digest,
    found: Discovery,
    policies: readonly Policy[],
  ): Promise<CandidateResult & { missing: readonly Cause[] }> {
    const authorities = policies.flatMap((policy) => policy.authorities)
    const input = { subject, roots: rootsOf(authorities, deps.trust), keys: keysOf(authorities) }
    const missing = found.failures.map((failure): Cause => ({ dependency: 'registry', message: failure.message }))
    try {
      const result = await timed('verify', () => deps.runner.verify(found.candidates, input, deps.workLimit()))
      const failures = [...result.failures, ...found.rejected]
      for (const failure of failures) deps.metrics.evidenceFailures.inc({ code: failure.code })
      const unfinished = result.unfinished.map((error): Cause => ({ dependency: 'verifier', message: error.message }))
      return { verified: result.verified, failures, missing: [...missing, ...unfinished] }
    } catch (error) {
      // A verifier that dies says nothing about the image: neither good nor bad.
      const message = error instanceof Error ? error.message : 'the verifier failed'
      return { verified: [], failures: found.rejected, missing: [...missing, { dependency: 'verifier', message }] }
    }
  }

  async function timed<T>(step: string, run: () => Promise<T>): Promise<T> {
    const start = deps.elapsed()
    try {
      return await run()
    } finally {
      deps.metrics.stepDuration.observe({ step }, (deps.elapsed() - start) / 1000)
    }
  }

  return {
    known: (repository, digest) => current(keyOf(repository, digest)),
    judge: (repository, digest) => judge(repository, digest),
    undetermined(repository, cause) {
      const policies = deps.policies.matching(repositoryName(repository)).filter(({ mode }) => mode !== 'off')
      const none = { verified: [], failures: [], manifestReasons: [] }
      return decide({ policies, unmatched: deps.policies.set.unmatched, ...none, missing: [cause] })
    },
  }
}

function isDetermined(judgement: Judgement): boolean {
  return judgement.results.every(({ verdict }) => verdict.kind !== 'undetermined')
}

function isSatisfied(judgement: Judgement): boolean {
  return judgement.results.length > 0 && judgement.results.every(({ verdict }) => verdict.kind === 'satisfied')
}

/** What the manifest itself is guilty of, whoever signed it. */
function manifestReasons(fetched: FetchedManifest, allowedHosts: ReadonlySet<string>): readonly Reason[] {
  if (!fetched.parsed.ok) {
    const found = `a manifest that ${fetched.parsed.message}`
    return [{ code: 'malformed', authority: undefined, found, expected: 'one that every client reads alike' }]
  }
  const foreign = foreignUrls(fetched.parsed.manifest).filter((host) => !allowedHosts.has(host))
  if (foreign.length === 0) return []
  const found = `layers that clients fetch from ${foreign.slice(0, 3).join(', ')}`
  return [{ code: 'foreign-url', authority: undefined, found, expected: 'layers that come through this proxy' }]
}

/** What is found now, and what was found before: a registry that forgets a signature does not make it untrue. */
function merge(found: Discovery, stored: Discovery | undefined): Discovery {
  if (stored === undefined) return found
  const at = (candidate: Discovery['candidates'][number]) => `${candidate.source.manifest} ${candidate.source.blob}`
  const fresh = new Set(found.candidates.map(at))
  const older = stored.candidates.filter((candidate) => !fresh.has(at(candidate)))
  return { ...found, candidates: [...found.candidates, ...older].slice(0, MERGED_CANDIDATES_MAX) }
}

function rootsOf(authorities: readonly Authority[], trust: TrustSnapshot): readonly TrustRoot[] {
  const names = new Set(authorities.map(({ signer }) => signer.trustRoot))
  return [...names].flatMap((name) => trust.roots.get(name) ?? [])
}

function keysOf(authorities: readonly Authority[]): readonly PublicKey[] {
  const keys = authorities.flatMap(({ signer }) => (signer.kind === 'key' ? signer.keys : []))
  return [...new Map(keys.map((key) => [key.id, key])).values()]
}
