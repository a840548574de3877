import { LRUCache } from 'lru-cache'
import { ancestorsOf } from './ancestors.ts'
import { causeOf } from './cause.ts'
import { closureFrom, type Closure } from './closure.ts'
import { versionsOf, type Epoch, type EpochVersions } from './epoch.ts'
import {
  gatherEvidence,
  NO_EVIDENCE,
  type Evidence,
  type EvidenceDeps,
  type EvidenceSubject,
} from './evidence.ts'
import { encodeFindings, trustedText } from './findings.ts'
import { shareFlight } from './flight.ts'
import type { Gate } from './gate.ts'
import {
  causesOf,
  covered,
  endOf,
  imageOf,
  isDetermined,
  isSatisfied,
  isServedSomewhere,
  isSettled,
  oneOfEachKind,
  revocationsOf,
} from './judgement.ts'
import { manifestReasons } from './manifest-reasons.ts'
import { digestOf, type Digest } from './oci/digest.ts'
import { repositoryName, type Repository } from './oci/reference.ts'
import { decide } from './policy/decide.ts'
import { retiringIn, type RetiringKind } from './policy/retiring.ts'
import { asksForEvidence } from './policy/revocation.ts'
import type { Cause, ImageFacts, Judgement, Reason } from './policy/types.ts'
import type { MissingCause } from './policy/verdict.ts'
import { Progress } from './progress.ts'
import { NOTHING_SIGNED, signingFacts, type SigningFacts } from './signing.ts'
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
  /** Of the manifest itself; nothing where nobody had to look, because no policy asks or its index covers it. */
  readonly signing: SigningFacts
  /** False where some of its evidence could not be had. */
  readonly isWhole: boolean
  /** Milliseconds that each step took, for the record. */
  readonly timings: Timings
}

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

/** `until`: on the monotonic clock; `endsAtMs`: when something in it is too old to count, by the time of day. */
type Kept = { readonly judged: Judged; readonly until: number; readonly endsAtMs: number }

type Cover = {
  readonly root: Digest | undefined
  readonly judgement: Judgement | undefined
  /** Indexes that name the manifest and of which nothing is known now: they might cover it. */
  readonly missing: readonly MissingCause[]
}

/** Of nothing: no manifest has it. */
const NO_DIGEST = digestOf(Buffer.alloc(0))
type Finding = Pick<Judged, 'judgement' | 'signing' | 'isWhole'>

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

  /**
   * The judgement for an image that could not be judged. What its manifest, where it is at hand, is guilty of counts, and
   * so does a revocation of its digest; `digest` is undefined where that is not known either.
   */
  undetermined(
    repository: Repository,
    digest: Digest | undefined,
    cause: Cause,
    manifest?: FetchedManifest,
  ): EpochVersions & { readonly judgement: Judgement } {
    const epoch = this.#deps.epoch()
    const reasons = manifest === undefined ? [] : manifestReasons(manifest, this.#deps.allowedForeignHosts)
    const evidence = { ...NO_EVIDENCE, missing: [cause] }
    const image =
      manifest === undefined ? { ...repository, digest: digest ?? NO_DIGEST } : imageOf(repository, manifest)
    return { ...versionsOf(epoch), judgement: this.#decide(epoch, image, evidence, reasons) }
  }

  #current(kept: LRUCache<string, Kept>, key: string): Judged | undefined {
    const entry = kept.get(key)
    // A clock that is set, and a machine that slept, move the end of what is too old, and not the monotonic clock.
    return entry === undefined || entry.until < this.#deps.elapsed() ? undefined : this.#stillTrue(entry)
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
    const kept = isDetermined(judged.judgement) ? judged : this.#stillTrue(this.#cache.get(key))
    if (kept === undefined) {
      if (nowMs - startMs >= LATELY_FROM_MS)
        this.#lately.set(key, { judged, until: nowMs + LATELY_MS, endsAtMs: Infinity })
      return judged
    }
    const isLasting = isSettled(kept.judgement) && !isStillRevocable(question, kept)
    const endsAtMs = endOf(kept.judgement)?.getTime() ?? Infinity
    this.#cache.set(key, {
      judged: kept,
      until: nowMs + (isLasting ? Infinity : this.#deps.violatedTtlMs),
      endsAtMs,
    })
    return kept
  }

  /** What was satisfied by something that is too old by now is not any more, whatever cannot be had. */
  #stillTrue(kept: Kept | undefined): Judged | undefined {
    return kept === undefined || kept.endsAtMs <= this.#deps.now().getTime() ? undefined : kept.judged
  }

  async #judgeCold(question: Question, chain: Chain): Promise<Judged> {
    const { epoch, repository, digest } = question
    const { progress } = chain
    const timings: Timings = {}
    const manifest = await timed('fetch', { ...this.#deps, timings }, () =>
      this.#deps.manifests.fetch(repository, digest),
    )
    const image = imageOf(repository, manifest)
    const closure = closureFrom(manifest)
    const nothing = { retiring: [], signing: NOTHING_SIGNED, isWhole: true, coveredBy: undefined }
    const known = { ...versionsOf(epoch), digest, closure, timings, ...nothing }
    if (closure.isEvidence) return { ...known, judgement: { results: revocationsOf(epoch, image) } }
    const reasons = manifestReasons(manifest, this.#deps.allowedForeignHosts)
    if (reasons.length > 0) {
      const findings = { ...NO_EVIDENCE, manifestReasons: reasons }
      this.#deps.state.setFindings(
        repository,
        digest,
        encodeFindings(findings, trustedText({ roots: [], keys: [] })),
      )
      return { ...known, judgement: this.#decide(epoch, image, NO_EVIDENCE, reasons) }
    }
    const cover = await this.#coverOf(question, chain)
    const subject = { epoch, repository, manifest, timings, progress }
    const found = await this.#judgementUnder(cover, subject)
    const retiring = retiringIn(found.judgement, epoch.matching(repositoryName(image)), {
      image,
      now: this.#deps.now(),
    })
    return { ...known, ...found, retiring, coveredBy: cover.root }
  }

  /**
   * An object of its own for each manifest, though the results may be those of its index. What an index vouches for may
   * itself be revoked.
   */
  async #judgementUnder(cover: Cover, subject: Alone): Promise<Finding> {
    if (cover.judgement === undefined || !isSatisfied(cover.judgement)) {
      const own = await this.#judgeAlone(subject, cover.missing)
      return { ...own, judgement: covered(own.judgement, cover.judgement) }
    }
    const revoked = revocationsOf(subject.epoch, imageOf(subject.repository, subject.manifest))
    const results = [...revoked, ...cover.judgement.results]
    return { judgement: { results }, signing: NOTHING_SIGNED, isWhole: true }
  }

  /**
   * An index of this repository that was let through, names the digest, and is let through now, in some ring: one that
   * satisfies every policy, else one that only policies in observe mode are not content with, or that a stance admits.
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
      const isServed = (one: Judgement) => this.#deps.gate.peek(repository, root, one).kind === 'serve'
      if (partial === undefined && isServedSomewhere(judgement, isServed)) partial = { root, judgement }
    }
    return { root: partial?.root, judgement: partial?.judgement, missing: oneOfEachKind(missing) }
  }

  async #judgementOf(question: Question, chain: Chain): Promise<Judgement> {
    try {
      return (await this.#judge(question, chain)).judgement
    } catch (error) {
      const cause = causeOf(error)
      if (cause === undefined) throw error
      const image = { ...question.repository, digest: question.digest }
      return this.#decide(question.epoch, image, { ...NO_EVIDENCE, missing: [cause] }, [])
    }
  }

  async #judgeAlone(
    { epoch, progress, ...subject }: Alone,
    missing: readonly MissingCause[],
  ): Promise<Finding> {
    const image = imageOf(subject.repository, subject.manifest)
    const policies = epoch.matching(repositoryName(image))
    const revocations = epoch.revoking(repositoryName(image))
    const judgementOf = (evidence: Evidence) =>
      this.#decide(epoch, image, { ...evidence, missing: [...missing, ...evidence.missing] }, [])
    // Where nothing asks, nothing that could be found would change anything.
    const isAsked = policies.some(({ mode }) => mode !== 'off') || revocations.some(asksForEvidence)
    if (!isAsked) return { judgement: judgementOf(NO_EVIDENCE), signing: NOTHING_SIGNED, isWhole: true }
    const isEnough = (evidence: Evidence) => isSatisfied(judgementOf(evidence))
    const runner = followed(this.#deps.runner, progress)
    const deps = { ...this.#deps, runner, trust: epoch.trust }
    const evidence = await gatherEvidence(subject, { image, policies, revocations, isEnough }, deps)
    const isWhole = evidence.missing.length === 0
    return { judgement: judgementOf(evidence), signing: signingFacts(evidence.verified), isWhole }
  }

  #decide(epoch: Epoch, image: ImageFacts, evidence: Evidence, reasons: readonly Reason[]): Judgement {
    const name = repositoryName(image)
    const [policies, revocations] = [epoch.matching(name), epoch.revoking(name)]
    const { unmatched } = epoch.policies
    const now = this.#deps.now()
    return decide({ policies, revocations, unmatched, image, now, ...evidence, manifestReasons: reasons })
  }
}

/** Evidence that could not be had, or, where no policy is content, is pushed later may be of somebody who is revoked. */
function isStillRevocable({ epoch, repository }: Question, { judgement, isWhole }: Judged): boolean {
  return (
    !(isSatisfied(judgement) && isWhole) && epoch.revoking(repositoryName(repository)).some(asksForEvidence)
  )
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
