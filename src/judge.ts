import { LRUCache } from 'lru-cache'
import { discover as discoverEvidence } from './discover/discover.ts'
import type { Discovery } from './discover/types.ts'
import { shareFlight } from './flight.ts'
import { closureOf, foreignUrls, isEvidenceManifest } from './oci/manifest.ts'
import type { Digest } from './oci/digest.ts'
import { repositoryName, type Repository } from './oci/reference.ts'
import { decide, UNMATCHED } from './policy/decide.ts'
import { enforce } from './policy/enforce.ts'
import type { Authority, Cause, Judgement, Policy, PolicyResult, PolicySet, Reason } from './policy/types.ts'
import type { Metrics } from './record/metrics.ts'
import type { StateStore } from './store/types.ts'
import type { TrustSnapshot } from './trust/snapshot.ts'
import type { FetchedManifest, ManifestSource } from './upstream/manifest-source.ts'
import { UpstreamError, type Upstreams } from './upstream/types.ts'
import type { CandidateResult, PublicKey, TrustRoot } from './verify/types.ts'
import type { VerificationRunner } from './work/runner.ts'
import { WorkError } from './work/work-error.ts'

/** What is known of one digest in one repository, under one policy set and trust snapshot. Small: no bytes of it. */
export type Judged = {
  readonly digest: Digest
  /** Empty results: this is evidence, which nobody can run, and it is served so that others can verify too. */
  readonly judgement: Judgement
  /** The index that covers this manifest, where it did not have to stand for itself. */
  readonly coveredBy: Digest | undefined
  /** What the manifest names. */
  readonly closure: Closure
}

type Closure = Parameters<StateStore['addClosure']>[2]

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

type Cover = {
  readonly root: Digest | undefined
  readonly judgement: Judgement | undefined
  /** Indexes that name the manifest and of which nothing is known now: they might cover it. */
  readonly missing: readonly Cause[]
}

export type Judge = {
  /** The cached judgement, if there is one: no I/O, no crypto. */
  known(repository: Repository, digest: Digest): Judged | undefined
  /** Steps 4 to 7. Rejects with UpstreamError where the manifest itself cannot be had. */
  judge(repository: Repository, digest: Digest): Promise<Judged>
  /** Forgets what was held against these manifests: something that may cover them has been let in. */
  reconsider(repository: Repository, digests: readonly Digest[]): void
  /** The judgement for an image of which nothing could be had. */
  undetermined(repository: Repository, cause: Cause): Judgement
}

/** A verdict and what it rests on take about 1 KiB. */
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
    // Digests cannot form a cycle, so an index that waits for its parent never waits for itself. At the depth limit
    // nothing can cover, which is no verdict for those who ask directly.
    if (depth >= COVER_DEPTH_MAX) return await judgeCold(repository, digest, depth)
    return await shareFlight(flights, key, async () => remember(key, await judgeCold(repository, digest, depth)))
  }

  function reconsider(repository: Repository, digests: readonly Digest[]): void {
    for (const digest of digests) {
      const key = keyOf(repository, digest)
      if (cache.get(key)?.until !== Infinity) cache.delete(key)
    }
  }

  /** An outage changes no verdict already reached: what cannot be determined now is what it was before. */
  function remember(key: string, judged: Judged): Judged {
    const kept = isDetermined(judged.judgement) ? judged : cache.get(key)?.judged
    if (kept === undefined) return judged
    const settled = kept.judgement.results.every(isSettled)
    cache.set(key, { judged: kept, until: settled ? Infinity : deps.elapsed() + deps.violatedTtlMs })
    return kept
  }

  async function judgeCold(repository: Repository, digest: Digest, depth: number): Promise<Judged> {
    const manifest = await timed('fetch', () => deps.manifests.fetch(repository, digest))
    const closure = closureFrom(manifest)
    if (closure.isEvidence) return { digest, judgement: { results: [] }, coveredBy: undefined, closure }
    const own = manifestReasons(manifest, deps.allowedForeignHosts)
    const cover = await coverOf(repository, digest, own.length === 0 ? depth : COVER_DEPTH_MAX)
    if (cover.judgement !== undefined && isSatisfied(cover.judgement)) {
      return { digest, judgement: cover.judgement, coveredBy: cover.root, closure }
    }
    const alone = await judgeByEvidence(repository, digest, { reasons: own, missing: cover.missing })
    return { digest, judgement: covered(alone, cover.judgement), coveredBy: cover.root, closure }
  }

  /**
   * An index of this repository that was let through, names the digest, and is let through now: one that satisfies
   * every policy, else one that only policies in observe mode are not content with.
   */
  async function coverOf(repository: Repository, digest: Digest, depth: number): Promise<Cover> {
    const missing: Cause[] = []
    let partial: { root: Digest; judgement: Judgement } | undefined
    const roots = depth >= COVER_DEPTH_MAX ? [] : deps.state.parentsOfManifest(repository, digest)
    for (const root of roots) {
      // oxlint-disable-next-line no-await-in-loop -- the first that covers is enough; usually there is one, and cached
      const judgement = await judgementOf(repository, root, depth + 1)
      if (isSatisfied(judgement)) return { root, judgement, missing: [] }
      missing.push(...causesOf(judgement))
      if (enforce(judgement).kind === 'serve') partial ??= { root, judgement }
    }
    return { root: partial?.root, judgement: partial?.judgement, missing }
  }

  async function judgementOf(repository: Repository, root: Digest, depth: number): Promise<Judgement> {
    try {
      return (await judge(repository, root, depth)).judgement
    } catch (error) {
      if (!(error instanceof UpstreamError) && !(error instanceof WorkError)) throw error
      return undetermined(repository, { dependency: 'registry', message: error.message })
    }
  }

  function undetermined(repository: Repository, cause: Cause): Judgement {
    const policies = deps.policies.matching(repositoryName(repository))
    const none = { verified: [], failures: [], manifestReasons: [] }
    return decide({ policies, unmatched: deps.policies.set.unmatched, ...none, missing: [cause] })
  }

  async function judgeByEvidence(
    repository: Repository,
    digest: Digest,
    known: { reasons: readonly Reason[]; missing: readonly Cause[] },
  ): Promise<Judgement> {
    const policies = deps.policies.matching(repositoryName(repository))
    const unmatched = deps.policies.set.unmatched
    async function decideOn(found: Discovery): Promise<Judgement> {
      const evidence = await verify(digest, found, policies)
      const missing = [...known.missing, ...evidence.missing]
      return decide({ policies, unmatched, manifestReasons: known.reasons, ...evidence, missing })
    }
    // Nothing that could be found would change these.
    const isOpen = policies.some(({ mode }) => mode !== 'off') && known.reasons.length === 0
    if (!isOpen) return await decideOn(NOTHING)

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
    return await discoverEvidence(digest, repository, { client, reader: deps.runner }, deps.workLimit())
  }

  async function verify(
    subject: Digest,
    found: Discovery,
    policies: readonly Policy[],
  ): Promise<CandidateResult & { missing: readonly Cause[] }> {
    const authorities = policies.filter(({ mode }) => mode !== 'off').flatMap((policy) => policy.authorities)
    const input = { subject, roots: rootsOf(authorities, deps.trust), keys: keysOf(authorities) }
    const missing = found.failures.map((failure): Cause => ({ dependency: 'registry', message: failure.message }))
    if (found.candidates.length === 0) return { verified: [], failures: found.rejected, missing }
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
    reconsider,
    undetermined,
  }
}

function isDetermined(judgement: Judgement): boolean {
  return judgement.results.every(({ mode, verdict }) => mode === 'off' || verdict.kind !== 'undetermined')
}

/** Every policy that counts is satisfied, and there is one. */
function isSatisfied({ results }: Judgement): boolean {
  const counting = results.filter(({ mode }) => mode !== 'off')
  return counting.length > 0 && counting.every(({ verdict }) => verdict.kind === 'satisfied')
}

/** Nothing that could still be pushed would change it. */
function isSettled({ policy, mode, verdict }: PolicyResult): boolean {
  return mode === 'off' || policy === UNMATCHED || verdict.kind === 'satisfied'
}

function causesOf({ results }: Judgement): readonly Cause[] {
  return results.flatMap(({ verdict }) => (verdict.kind === 'undetermined' ? verdict.causes : []))
}

function closureFrom({ parsed }: FetchedManifest): Closure {
  if (!parsed.ok) return { children: [], blobs: [], isEvidence: false }
  return { ...closureOf(parsed.manifest), isEvidence: isEvidenceManifest(parsed.manifest) }
}

/** Policy by policy: what is true of the index is true of what it names, and a child may also stand for itself. */
function covered(own: Judgement, index: Judgement | undefined): Judgement {
  const satisfied = (index?.results ?? []).filter(({ verdict }) => verdict.kind === 'satisfied')
  const byPolicy = new Map(satisfied.map((result) => [result.policy, result]))
  const results = own.results.map((result) =>
    result.verdict.kind === 'satisfied' ? result : (byPolicy.get(result.policy) ?? result),
  )
  return { results }
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

/** Policies load only with the roots that they need; a key that needs no log entry may name one that is not there. */
function rootsOf(authorities: readonly Authority[], trust: TrustSnapshot): readonly TrustRoot[] {
  const names = new Set(authorities.map(({ signer }) => signer.trustRoot))
  return [...names].flatMap((name) => trust.roots.get(name) ?? [])
}

function keysOf(authorities: readonly Authority[]): readonly PublicKey[] {
  const keys = authorities.flatMap(({ signer }) => (signer.kind === 'key' ? signer.keys : []))
  return [...new Map(keys.map((key) => [key.id, key])).values()]
}
