import { LRUCache } from 'lru-cache'
import {
  gatherEvidence,
  NO_EVIDENCE,
  type Evidence,
  type EvidenceDeps,
  type EvidenceSubject,
} from './evidence.ts'
import { shareFlight } from './flight.ts'
import { closureOf, foreignUrls, isEvidenceManifest } from './oci/manifest.ts'
import type { Digest } from './oci/digest.ts'
import { repositoryName, type Repository } from './oci/reference.ts'
import { decide, enforce, UNMATCHED } from './policy/decide.ts'
import type { Cause, Judgement, Policy, PolicyResult, PolicySet, Reason } from './policy/types.ts'
import type { StateStore } from './store/types.ts'
import { timed, type Timings } from './timings.ts'
import type { FetchedManifest, ManifestSource } from './upstream/manifest-source.ts'
import { UpstreamError } from './upstream/types.ts'
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
  /** Milliseconds that each step took, for the record. */
  readonly timings: Timings
}

type Closure = Parameters<StateStore['addClosure']>[2]

export type JudgeDeps = EvidenceDeps & {
  policies: { set: PolicySet; matching(repositoryName: string): readonly Policy[] }
  manifests: ManifestSource
  state: Pick<StateStore, 'parentsOfManifest'>
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

/** A verdict and what it rests on take about 1 KiB. */
const JUDGED_MAX = 100_000
/** How many indexes deep a manifest may be covered. Deeper nesting has no use but to cost time. */
const COVER_DEPTH_MAX = 4

/** Steps 4 to 7, once for all who ask for the same digest in the same repository. */
export class Judge {
  readonly #deps: JudgeDeps
  readonly #cache = new LRUCache<string, { judged: Judged; until: number }>({ max: JUDGED_MAX })
  readonly #flights = new Map<string, Promise<Judged>>()
  /** All that verdicts depend on beside the image. */
  readonly #epoch: string

  constructor(deps: JudgeDeps) {
    this.#deps = deps
    this.#epoch = `${deps.policies.set.version} ${deps.trust.version}`
  }

  /** The cached judgement, if there is one: no I/O, no crypto. */
  known(repository: Repository, digest: Digest): Judged | undefined {
    return this.#current(this.#keyOf(repository, digest))
  }

  /** Rejects with UpstreamError where the manifest itself cannot be had. */
  async judge(repository: Repository, digest: Digest): Promise<Judged> {
    return await this.#judge(repository, digest, 0)
  }

  /** Forgets what was held against these manifests: something that may cover them has been let in. */
  reconsider(repository: Repository, digests: readonly Digest[]): void {
    for (const digest of digests) {
      const key = this.#keyOf(repository, digest)
      if (this.#cache.get(key)?.until !== Infinity) this.#cache.delete(key)
    }
  }

  /** The judgement for an image of which nothing could be had. */
  undetermined(repository: Repository, cause: Cause): Judgement {
    return this.#decide(repository, { ...NO_EVIDENCE, missing: [cause] }, [])
  }

  #keyOf(repository: Repository, digest: Digest): string {
    return `${this.#epoch} ${repositoryName(repository)}@${digest}`
  }

  #current(key: string): Judged | undefined {
    const entry = this.#cache.get(key)
    return entry === undefined || entry.until < this.#deps.elapsed() ? undefined : entry.judged
  }

  async #judge(repository: Repository, digest: Digest, depth: number): Promise<Judged> {
    const key = this.#keyOf(repository, digest)
    const known = this.#current(key)
    if (known !== undefined) return known
    // At the depth limit nothing can cover, which is no verdict for those who ask directly.
    if (depth >= COVER_DEPTH_MAX) return await this.#judgeCold(repository, digest, depth)
    // Digests cannot form a cycle, so an index that waits for its parent never waits for itself.
    return await shareFlight(this.#flights, key, async () =>
      this.#remember(key, await this.#judgeCold(repository, digest, depth)),
    )
  }

  /** An outage changes no verdict already reached: what cannot be determined now is what it was before. */
  #remember(key: string, judged: Judged): Judged {
    const kept = isDetermined(judged.judgement) ? judged : this.#cache.get(key)?.judged
    if (kept === undefined) return judged
    const settled = kept.judgement.results.every(isSettled)
    const until = settled ? Infinity : this.#deps.elapsed() + this.#deps.violatedTtlMs
    this.#cache.set(key, { judged: kept, until })
    return kept
  }

  async #judgeCold(repository: Repository, digest: Digest, depth: number): Promise<Judged> {
    const timings: Timings = {}
    const manifest = await timed('fetch', { ...this.#deps, timings }, () =>
      this.#deps.manifests.fetch(repository, digest),
    )
    const closure = closureFrom(manifest)
    const known = { digest, closure, timings }
    if (closure.isEvidence) return { ...known, judgement: { results: [] }, coveredBy: undefined }
    const reasons = manifestReasons(manifest, this.#deps.allowedForeignHosts)
    if (reasons.length > 0) {
      const judgement = this.#decide(repository, NO_EVIDENCE, reasons)
      return { ...known, judgement, coveredBy: undefined }
    }
    const cover = await this.#coverOf(repository, digest, depth)
    if (cover.judgement !== undefined && isSatisfied(cover.judgement)) {
      return { ...known, judgement: cover.judgement, coveredBy: cover.root }
    }
    const alone = await this.#judgeAlone({ repository, manifest, timings }, cover.missing)
    return { ...known, judgement: covered(alone, cover.judgement), coveredBy: cover.root }
  }

  /**
   * An index of this repository that was let through, names the digest, and is let through now: one that satisfies
   * every policy, else one that only policies in observe mode are not content with.
   */
  async #coverOf(repository: Repository, digest: Digest, depth: number): Promise<Cover> {
    const missing: Cause[] = []
    let partial: { root: Digest; judgement: Judgement } | undefined
    const roots = depth >= COVER_DEPTH_MAX ? [] : this.#deps.state.parentsOfManifest(repository, digest)
    for (const root of roots) {
      // oxlint-disable-next-line no-await-in-loop -- the first that covers is enough; usually there is one, and cached
      const judgement = await this.#judgementOf(repository, root, depth + 1)
      if (isSatisfied(judgement)) return { root, judgement, missing: [] }
      missing.push(...causesOf(judgement))
      if (enforce(judgement).kind === 'serve') partial ??= { root, judgement }
    }
    return { root: partial?.root, judgement: partial?.judgement, missing }
  }

  async #judgementOf(repository: Repository, root: Digest, depth: number): Promise<Judgement> {
    try {
      return (await this.#judge(repository, root, depth)).judgement
    } catch (error) {
      if (!(error instanceof UpstreamError) && !(error instanceof WorkError)) throw error
      return this.undetermined(repository, { dependency: 'registry', message: error.message })
    }
  }

  async #judgeAlone(subject: EvidenceSubject, missing: readonly Cause[]): Promise<Judgement> {
    const { repository } = subject
    const policies = this.#deps.policies.matching(repositoryName(repository))
    const judgementOf = (evidence: Evidence) =>
      this.#decide(repository, { ...evidence, missing: [...missing, ...evidence.missing] }, [])
    // Where no policy asks, nothing that could be found would change anything.
    if (policies.every(({ mode }) => mode === 'off')) return judgementOf(NO_EVIDENCE)
    const isEnough = (evidence: Evidence) => isSatisfied(judgementOf(evidence))
    return judgementOf(await gatherEvidence(subject, { policies, isEnough }, this.#deps))
  }

  #decide(repository: Repository, evidence: Evidence, manifestReasons: readonly Reason[]): Judgement {
    const policies = this.#deps.policies.matching(repositoryName(repository))
    const { unmatched } = this.#deps.policies.set
    return decide({ policies, unmatched, ...evidence, manifestReasons })
  }
}

function isDetermined({ results }: Judgement): boolean {
  return results.every(({ mode, verdict }) => mode === 'off' || verdict.kind !== 'undetermined')
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
  return [
    { code: 'foreign-url', authority: undefined, found, expected: 'layers that come through this proxy' },
  ]
}
