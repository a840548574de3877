import { LRUCache } from 'lru-cache'
import { ancestorsOf } from './ancestors.ts'
import { causeOf } from './cause.ts'
import { versionsOf, type Epoch, type EpochVersions } from './epoch.ts'
import {
  gatherEvidence,
  NO_EVIDENCE,
  type Evidence,
  type EvidenceDeps,
  type EvidenceSubject,
} from './evidence.ts'
import { shareFlight } from './flight.ts'
import type { Gate } from './gate.ts'
import { closureOf, foreignUrls, isEvidenceManifest } from './oci/manifest.ts'
import type { Digest } from './oci/digest.ts'
import { repositoryName, type Repository } from './oci/reference.ts'
import { decide, UNMATCHED, type MissingCause } from './policy/decide.ts'
import { retiringIn, type RetiringKind } from './policy/retiring.ts'
import type { Cause, Judgement, PolicyResult, Reason } from './policy/types.ts'
import { Progress } from './progress.ts'
import type { StateStore } from './store/types.ts'
import { timed, type Timings } from './timings.ts'
import type { FetchedManifest, ManifestSource } from './upstream/manifest-source.ts'

/** What is known of one digest in one repository, in one epoch. Small: no bytes of it. */
export type Judged = EpochVersions & {
  readonly digest: Digest
  /** Empty results: this is evidence, which nobody can run, and it is served so that others can verify too. */
  readonly judgement: Judgement
  /** The index that covers this manifest, where it did not have to stand for itself. */
  readonly coveredBy: Digest | undefined
  /** What the manifest names. */
  readonly closure: Closure
  /** What it rests on that is being retired. */
  readonly retiring: readonly RetiringKind[]
  /** Milliseconds that each step took, for the record. */
  readonly timings: Timings
}

export type Closure = Parameters<StateStore['addClosure']>[2]

export type JudgeDeps = Omit<EvidenceDeps, 'trust'> & {
  /** The epoch of now. What began in another one ends in that. */
  epoch: () => Epoch
  gate: Pick<Gate, 'peek' | 'noteJudged'>
  manifests: Pick<ManifestSource, 'fetch'>
  state: Pick<StateStore, 'parentsOfManifest'>
  /** How long a judgement that is not wholly satisfied is kept: a new signature must not wait long. */
  violatedTtlMs: number
  allowedForeignHosts: ReadonlySet<string>
}

/** What is asked, and in which epoch. */
type Question = {
  readonly epoch: Epoch
  readonly repository: Repository
  readonly digest: Digest
}

/** What one question leads to on its way up, from index to index: each of them is asked for once, and only so many. */
type Chain = {
  /** Those that may be asked for. */
  readonly ancestors: ReadonlySet<Digest>
  /** Otherwise what is found of an index is part of what there is to be found of it. */
  readonly isWhole: boolean
  readonly judgements: Map<Digest, Promise<Judgement>>
  /** Once it has passed, no further index is asked for. */
  readonly limit: AbortSignal
  readonly progress: Progress
}

/** A manifest whose own evidence is asked for. */
type Alone = EvidenceSubject & { readonly epoch: Epoch; readonly progress: Progress }

type Kept = { readonly judged: Judged; readonly until: number }

type Cover = {
  readonly root: Digest | undefined
  readonly judgement: Judgement | undefined
  /** Indexes that name the manifest and of which nothing is known now: they might cover it. */
  readonly missing: readonly MissingCause[]
}

/** A verdict and what it rests on take about 1 KiB. */
const JUDGED_MAX = 100_000
/** An outage, or evidence that nobody can judge, must not cost all that again for every client that asks again at once. */
const LATELY_MAX = 1_000
const LATELY_MS = 2_000
/** What takes less is simply done again, so that the end of an outage is seen at once. */
const LATELY_FROM_MS = 1_000

/** Steps 4 to 7, once for all who ask for the same digest in the same repository. */
export class Judge {
  readonly #deps: JudgeDeps
  readonly #cache = new LRUCache<string, Kept>({ max: JUDGED_MAX })
  /** What could not be determined a moment ago: nothing that is known, and never served from memory. */
  readonly #lately = new LRUCache<string, Kept>({ max: LATELY_MAX })
  readonly #flights = new Map<string, Promise<Judged>>()
  readonly #progress = new Map<string, Progress>()

  constructor(deps: JudgeDeps) {
    this.#deps = deps
  }

  /** The cached judgement, if there is one: no I/O, no crypto. */
  known(repository: Repository, digest: Digest): Judged | undefined {
    return this.#current(this.#cache, keyOf({ epoch: this.#deps.epoch(), repository, digest }))
  }

  /** Rejects with UpstreamError where the manifest itself cannot be had. */
  async judge(repository: Repository, digest: Digest): Promise<Judged> {
    return await this.#judge({ epoch: this.#deps.epoch(), repository, digest })
  }

  /** Whether a judgement that is still under way is late for the evidence's sake, and not for the world's. */
  isHeldUpByVerifying(repository: Repository, digest: Digest): boolean {
    const key = keyOf({ epoch: this.#deps.epoch(), repository, digest })
    return this.#progress.get(key)?.isHeldUpByVerifying() ?? false
  }

  /** Forgets what was held against these manifests: something that may cover them has been let in. */
  reconsider(repository: Repository, digests: readonly Digest[]): void {
    const epoch = this.#deps.epoch()
    for (const digest of digests) {
      const key = keyOf({ epoch, repository, digest })
      if (this.#cache.get(key)?.until !== Infinity) this.#cache.delete(key)
      this.#lately.delete(key)
    }
  }

  /** The judgement for an image that could not be judged. What its manifest, where it is at hand, is guilty of counts. */
  undetermined(
    repository: Repository,
    cause: Cause,
    manifest?: FetchedManifest,
  ): EpochVersions & { readonly judgement: Judgement } {
    const epoch = this.#deps.epoch()
    const reasons = manifest === undefined ? [] : manifestReasons(manifest, this.#deps.allowedForeignHosts)
    const evidence = { ...NO_EVIDENCE, missing: [cause] }
    return { ...versionsOf(epoch), judgement: decideIn(epoch, repository, evidence, reasons) }
  }

  #current(kept: LRUCache<string, Kept>, key: string): Judged | undefined {
    const entry = kept.get(key)
    return entry === undefined || entry.until < this.#deps.elapsed() ? undefined : entry.judged
  }

  async #judge(question: Question, chain?: Chain): Promise<Judged> {
    const key = keyOf(question)
    const known = this.#current(this.#cache, key) ?? this.#current(this.#lately, key)
    if (known !== undefined) return known
    const running = this.#flights.has(key)
    // Not the whole verdict, so it is none for those who ask directly.
    if (!running && chain?.isWhole === false) return await this.#judgeInPart(question, chain)
    if (chain !== undefined) chain.progress.joined = this.#progress.get(key)
    try {
      // Digests cannot form a cycle, so an index that waits for its parent never waits for itself.
      return await shareFlight(this.#flights, key, () => this.#judgeNew(question, chain))
    } finally {
      if (chain !== undefined) chain.progress.joined = undefined
    }
  }

  async #judgeNew(question: Question, above: Chain | undefined): Promise<Judged> {
    const key = keyOf(question)
    const startMs = this.#deps.elapsed()
    const chain = above ?? this.#chainOf(question)
    this.#progress.set(key, chain.progress)
    try {
      return this.#remember(question, await this.#judgeCold(question, chain), startMs)
    } finally {
      this.#progress.delete(key)
    }
  }

  /** Only what no index that was left out could change counts beyond the question. */
  async #judgeInPart(question: Question, chain: Chain): Promise<Judged> {
    const startMs = this.#deps.elapsed()
    const judged = await this.#judgeCold(question, chain)
    return isSatisfied(judged.judgement) ? this.#remember(question, judged, startMs) : judged
  }

  #chainOf({ repository, digest }: Question): Chain {
    const { digests, isWhole } = ancestorsOf(this.#deps.state, repository, digest)
    const progress = new Progress(this.#deps.elapsed)
    return { ancestors: digests, isWhole, judgements: new Map(), limit: this.#deps.workLimit(), progress }
  }

  /** An outage changes no verdict already reached: what cannot be determined now is what it was before. */
  #remember(question: Question, judged: Judged, startMs: number): Judged {
    const { repository, digest } = question
    this.#deps.gate.noteJudged(repository, digest, judged.judgement)
    const key = keyOf(question)
    const nowMs = this.#deps.elapsed()
    const kept = isDetermined(judged.judgement) ? judged : this.#cache.get(key)?.judged
    if (kept === undefined) {
      if (nowMs - startMs >= LATELY_FROM_MS) this.#lately.set(key, { judged, until: nowMs + LATELY_MS })
      return judged
    }
    const settled = kept.judgement.results.every(isSettled)
    this.#cache.set(key, { judged: kept, until: settled ? Infinity : nowMs + this.#deps.violatedTtlMs })
    return kept
  }

  async #judgeCold(question: Question, chain: Chain): Promise<Judged> {
    const { epoch, repository, digest } = question
    const { progress } = chain
    const timings: Timings = {}
    const manifest = await timed('fetch', { ...this.#deps, timings }, () =>
      this.#deps.manifests.fetch(repository, digest),
    )
    const closure = closureFrom(manifest)
    const known = { ...versionsOf(epoch), digest, closure, timings, retiring: [], coveredBy: undefined }
    if (closure.isEvidence) return { ...known, judgement: { results: [] } }
    const reasons = manifestReasons(manifest, this.#deps.allowedForeignHosts)
    if (reasons.length > 0) {
      return { ...known, judgement: decideIn(epoch, repository, NO_EVIDENCE, reasons) }
    }
    const cover = await this.#coverOf(question, chain)
    const judgement = await this.#judgementUnder(cover, { epoch, repository, manifest, timings, progress })
    const retiring = retiringIn(judgement, epoch.matching(repositoryName(repository)))
    return { ...known, judgement, retiring, coveredBy: cover.root }
  }

  /** An object of its own for each manifest, though the results may be those of its index. */
  async #judgementUnder(cover: Cover, subject: Alone): Promise<Judgement> {
    if (cover.judgement !== undefined && isSatisfied(cover.judgement)) return { ...cover.judgement }
    return covered(await this.#judgeAlone(subject, cover.missing), cover.judgement)
  }

  /**
   * An index of this repository that was let through, names the digest, and is let through now: one that satisfies
   * every policy, else one that only policies in observe mode are not content with, or that a stance admits.
   */
  async #coverOf({ epoch, repository, digest }: Question, chain: Chain): Promise<Cover> {
    const missing: MissingCause[] = []
    let partial: { root: Digest; judgement: Judgement } | undefined
    const roots = this.#deps.state.parentsOfManifest(repository, digest)
    for (const root of roots.filter((one) => chain.ancestors.has(one))) {
      if (chain.limit.aborted) {
        missing.push(lateCause(chain.progress))
        break
      }
      const judging =
        chain.judgements.get(root) ?? this.#judgementOf({ epoch, repository, digest: root }, chain)
      chain.judgements.set(root, judging)
      // oxlint-disable-next-line no-await-in-loop -- the first that covers is enough; usually there is one, and cached
      const judgement = await judging
      if (isSatisfied(judgement)) return { root, judgement, missing: [] }
      missing.push(...causesOf(judgement))
      if (this.#deps.gate.peek(repository, root, judgement).kind === 'serve') partial ??= { root, judgement }
    }
    return { root: partial?.root, judgement: partial?.judgement, missing: oneOfEachKind(missing) }
  }

  async #judgementOf(question: Question, chain: Chain): Promise<Judgement> {
    try {
      return (await this.#judge(question, chain)).judgement
    } catch (error) {
      const cause = causeOf(error)
      if (cause === undefined) throw error
      return decideIn(question.epoch, question.repository, { ...NO_EVIDENCE, missing: [cause] }, [])
    }
  }

  async #judgeAlone(
    { epoch, progress, ...subject }: Alone,
    missing: readonly MissingCause[],
  ): Promise<Judgement> {
    const { repository } = subject
    const policies = epoch.matching(repositoryName(repository))
    const judgementOf = (evidence: Evidence) =>
      decideIn(epoch, repository, { ...evidence, missing: [...missing, ...evidence.missing] }, [])
    // Where no policy asks, nothing that could be found would change anything.
    if (policies.every(({ mode }) => mode === 'off')) return judgementOf(NO_EVIDENCE)
    const isEnough = (evidence: Evidence) => isSatisfied(judgementOf(evidence))
    const runner = followed(this.#deps.runner, progress)
    const deps = { ...this.#deps, runner, trust: epoch.trust }
    return judgementOf(await gatherEvidence(subject, { policies, isEnough }, deps))
  }
}

/** Tells of all work whose length depends on what was pushed. */
function followed(runner: JudgeDeps['runner'], progress: Progress): JudgeDeps['runner'] {
  return {
    ...runner,
    verify: (...input) => progress.verifying(() => runner.verify(...input)),
    readReferrers: (...input) => progress.verifying(() => runner.readReferrers(...input)),
  }
}

function lateCause(progress: Progress): Cause {
  const dependency = progress.isHeldUpByVerifying() ? 'verifier' : 'deadline'
  return { dependency, message: 'the indexes that name it could not all be judged in time' }
}

function keyOf({ epoch, repository, digest }: Question): string {
  return `${epoch.key} ${repositoryName(repository)}@${digest}`
}

function decideIn(
  epoch: Epoch,
  repository: Repository,
  evidence: Evidence,
  reasons: readonly Reason[],
): Judgement {
  const policies = epoch.matching(repositoryName(repository))
  const { unmatched } = epoch.policies
  return decide({ policies, unmatched, ...evidence, manifestReasons: reasons })
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

/** What many indexes lack for one reason is lacking once: it goes on to all that they name. */
function oneOfEachKind(causes: readonly MissingCause[]): readonly MissingCause[] {
  const kinds = causes.map((cause) => [`${cause.dependency} ${cause.policies?.join()}`, cause] as const)
  return [...new Map(kinds.toReversed()).values()].toReversed()
}

function causesOf({ results }: Judgement): readonly MissingCause[] {
  return results.flatMap(({ verdict }) => (verdict.kind === 'undetermined' ? verdict.causes : []))
}

/** What a manifest names. */
export function closureFrom({ parsed }: FetchedManifest): Closure {
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
