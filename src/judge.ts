import { ancestorsOf } from './ancestors.ts'
import { causeOf } from './cause.ts'
import { closureFrom, type Closure } from './closure.ts'
import { versionsOf, type Epoch, type EpochVersions } from './epoch.ts'
import { NO_EVIDENCE, type Evidence, type EvidenceDeps, type EvidenceSubject } from './evidence.ts'
import { encodeFindings, trustedText } from './findings.ts'
import { shareFlight } from './flight.ts'
import type { Gate } from './gate.ts'
import { HeadStarts } from './head-start.ts'
import { decideIn, guessOf, judgeAlone, type Alone, type Finding } from './judge-alone.ts'
import { KeptJudgements, nameOf, type Kept, type Standing } from './kept-judgements.ts'
import {
  causesOf,
  covered,
  endOf,
  imageOf,
  isCanonical,
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
import { retiringIn, type RetiringKind } from './policy/retiring.ts'
import { asksForEvidence, maybeRevokedBy } from './policy/revocation.ts'
import type { Cause, ImageFacts, Judgement, Reason } from './policy/types.ts'
import type { MissingCause } from './policy/verdict.ts'
import { Progress } from './progress.ts'
import { SharedResults } from './shared-results.ts'
import { NOTHING_SIGNED, type SigningFacts } from './signing.ts'
import type { SharedState } from './store/shared-state.ts'
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
  readonly isEvidence: boolean
  /** What it rests on that is being retired. */
  readonly retiring: readonly RetiringKind[]
  /** Of the manifest itself; nothing where nobody had to look, because no policy asks or its index covers it. */
  readonly signing: SigningFacts
  /** False where some of its evidence could not be had. */
  readonly isWhole: boolean
  /** Milliseconds that each step took, for the record. */
  readonly timings: Timings
  /** What the manifest names. Whoever serves it first takes it away: it is written down by then, and weighs more than the rest. */
  closure: Closure | undefined
}

export type JudgeDeps = Omit<EvidenceDeps, 'trust'> & {
  /** The epoch of now. What began in another one ends in that. */
  epoch: () => Epoch
  gate: Pick<Gate, 'peek' | 'noteJudged'>
  manifests: Pick<ManifestSource, 'fetch'>
  state: Pick<StateStore, 'parentsOfManifest'>
  /** Where other processes judge, too; see shared-state.ts. */
  supportFor?: SharedState['supportFor'] | undefined
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

/** `isOutdone`: as in Kept; `atMs` on the monotonic clock. */
type Start = { readonly atMs: number; readonly isOutdone: Kept['isOutdone'] }

type Cover = {
  readonly root: Digest | undefined
  readonly judgement: Judgement | undefined
  /** Indexes that name the manifest and of which nothing is known now: they might cover it. */
  readonly missing: readonly MissingCause[]
}

/** Of nothing: no manifest has it. */
const NO_DIGEST = digestOf(Buffer.alloc(0))

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
  readonly #cache: KeptJudgements
  /** What could not be determined a moment ago: nothing that is known, and never served from memory. */
  readonly #lately: KeptJudgements
  readonly #shared = new SharedResults()
  readonly #flights = new Map<string, Promise<Judged>>()
  readonly #progress = new Map<string, Progress>()
  readonly #headStarts = new HeadStarts()

  constructor(deps: JudgeDeps) {
    this.#deps = deps
    this.#cache = new KeptJudgements({ ...deps, max: JUDGED_MAX })
    this.#lately = new KeptJudgements({ ...deps, max: LATELY_MAX })
  }

  /** All that is known. */
  get kept(): KeptJudgements {
    return this.#cache
  }

  /** The cached judgement, if there is one: no I/O, no crypto. */
  known(repository: Repository, digest: Digest): Judged | undefined {
    return this.standing(repository, digest)?.judged
  }

  /** The same, for whoever keeps what follows from it. */
  standing(repository: Repository, digest: Digest): Standing | undefined {
    const epoch = this.#deps.epoch()
    const kept = this.#cache.get({ epoch, repository, digest })
    if (kept === undefined) return undefined
    const { key } = epoch
    return { judged: kept.judged, holds: () => this.#deps.epoch().key === key && this.#cache.holds(kept) }
  }

  /** Rejects with UpstreamError where the manifest itself cannot be had. */
  async judge(repository: Repository, digest: Digest): Promise<Judged> {
    return await this.#judge({ epoch: this.#deps.epoch(), repository, digest })
  }

  /** Whether a judgement that is still under way is late for the evidence's sake, and not for the world's. */
  isHeldUpByVerifying(repository: Repository, digest: Digest): boolean {
    const key = nameOf({ epoch: this.#deps.epoch(), repository, digest })
    return this.#progress.get(key)?.isHeldUpByVerifying() ?? false
  }

  /** The step that a judgement under way is at; undefined where there is none. */
  stepOf(repository: Repository, digest: Digest): string | undefined {
    return this.#progress.get(nameOf({ epoch: this.#deps.epoch(), repository, digest }))?.step()
  }

  /** Forgets what was held against these manifests: something that may cover them has been let in. */
  reconsider(repository: Repository, digests: readonly Digest[]): void {
    const epoch = this.#deps.epoch()
    for (const digest of digests) {
      const question = { epoch, repository, digest }
      this.#cache.reconsider(question)
      this.#lately.reconsider(question)
    }
  }

  /**
   * The judgement for an image that could not be judged. What its manifest, where it is at hand, is guilty of counts, and
   * so does a revocation of its digest, and where only its bytes could tell, every one that may be; `digest` is undefined
   * where that is not known either.
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
    const { results } = this.#decide(epoch, image, evidence, reasons)
    const isKnown = manifest !== undefined || digest === undefined || isCanonical(digest)
    const maybe = isKnown ? [] : maybeRevokedBy(epoch.revoking(repositoryName(image)), cause)
    return { ...versionsOf(epoch), judgement: { results: [...maybe, ...results] } }
  }

  async #judge(question: Question, chain?: Chain): Promise<Judged> {
    const known = this.#cache.get(question) ?? this.#lately.get(question)
    if (known !== undefined) return known.judged
    const key = nameOf(question)
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
    const key = nameOf(question)
    const start = this.#startOf(question)
    const chain = above ?? this.#chainOf(question)
    this.#progress.set(key, chain.progress)
    try {
      return this.#remember(question, await this.#judgeCold(question, chain), start)
    } finally {
      this.#progress.delete(key)
    }
  }

  /** Only what no index that was left out could change counts beyond the question. */
  async #judgeInPart(question: Question, chain: Chain): Promise<Judged> {
    const start = this.#startOf(question)
    const judged = await this.#judgeCold(question, chain)
    return isSatisfied(judged.judgement) ? this.#remember(question, judged, start) : judged
  }

  #startOf({ repository, digest }: Question): Start {
    const { supportFor, elapsed } = this.#deps
    const support = supportFor?.(repository, digest)
    const isOutdone = supportFor === undefined ? undefined : () => supportFor(repository, digest) !== support
    return { atMs: elapsed(), isOutdone }
  }

  #chainOf({ repository, digest }: Question): Chain {
    const { digests, isWhole } = ancestorsOf(this.#deps.state, repository, digest)
    const progress = new Progress(this.#deps.elapsed)
    return { ancestors: digests, isWhole, judgements: new Map(), limit: this.#deps.workLimit(), progress }
  }

  /** An outage changes no verdict already reached: what cannot be determined now is what it was before. */
  #remember(question: Question, judged: Judged, { atMs, isOutdone }: Start): Judged {
    const { repository, digest } = question
    this.#deps.gate.noteJudged(repository, digest, judged.judgement)
    const nowMs = this.#deps.elapsed()
    const kept = isDetermined(judged.judgement) ? judged : this.#cache.last(question)
    if (kept === undefined) {
      if (nowMs - atMs >= LATELY_FROM_MS)
        this.#lately.set(question, { judged, until: nowMs + LATELY_MS, endsAtMs: undefined, isOutdone })
      return judged
    }
    const isLasting = isSettled(kept.judgement) && !isStillRevocable(question, kept)
    this.#cache.set(question, {
      judged: kept,
      until: isLasting ? undefined : nowMs + this.#deps.violatedTtlMs,
      endsAtMs: endOf(kept.judgement)?.getTime(),
      isOutdone: isLasting ? undefined : isOutdone,
    })
    return kept
  }

  async #judgeCold(question: Question, chain: Chain): Promise<Judged> {
    const { repository, digest } = question
    const { ancestors, progress } = chain
    const timings: Timings = {}
    using ahead = this.#headStarts.of(guessOf({ ...question, progress }, this.#deps))
    const manifest = await timed('fetch', { ...this.#deps, timings, progress }, () =>
      this.#deps.manifests.fetch(repository, digest, () => {
        // An index may cover it: then its own evidence is not looked at.
        if (ancestors.size === 0) ahead.begin()
      }),
    )
    const judged = await this.#judgeManifest(question, chain, { repository, manifest, timings, ahead })
    await manifest.kept
    return judged
  }

  async #judgeManifest(question: Question, chain: Chain, given: EvidenceSubject): Promise<Judged> {
    const { epoch, repository, digest } = question
    const { manifest, timings } = given
    const image = imageOf(repository, manifest)
    const closure = closureFrom(manifest)
    const nothing = { retiring: [], signing: NOTHING_SIGNED, isWhole: true, coveredBy: undefined }
    const { isEvidence } = closure
    const known = { ...versionsOf(epoch), digest, isEvidence, closure, timings, ...nothing }
    if (isEvidence) return { ...known, judgement: { results: revocationsOf(epoch, image) } }
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
    const found = await this.#judgementUnder(cover, { ...given, epoch, progress: chain.progress })
    const retiring = retiringIn(found.judgement, epoch.matching(repositoryName(image)), {
      image,
      now: this.#deps.now(),
    })
    // By its proofs it is found out whether what an index covers rests on what is being retired.
    const judgement = retiring.length > 0 ? found.judgement : this.#shared.of(found.judgement, epoch)
    return { ...known, ...found, judgement, retiring, coveredBy: cover.root }
  }

  /**
   * An object of its own for each manifest, though the results may be those of its index. What an index vouches for may
   * itself be revoked.
   */
  async #judgementUnder(cover: Cover, subject: Alone): Promise<Finding> {
    if (cover.judgement === undefined || !isSatisfied(cover.judgement)) {
      const own = await judgeAlone(subject, cover.missing, this.#deps)
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

  #decide(epoch: Epoch, image: ImageFacts, evidence: Evidence, reasons: readonly Reason[]): Judgement {
    return decideIn(epoch, image, evidence, { now: this.#deps.now(), reasons })
  }
}

/** Evidence that could not be had, or, where no policy is content, is pushed later may be of somebody who is revoked. */
function isStillRevocable({ epoch, repository }: Question, { judgement, isWhole }: Judged): boolean {
  return (
    !(isSatisfied(judgement) && isWhole) && epoch.revoking(repositoryName(repository)).some(asksForEvidence)
  )
}

function lateCause(progress: Progress): Cause {
  const dependency = progress.isHeldUpByVerifying() ? 'verifier' : 'deadline'
  return { dependency, message: 'the indexes that name it could not all be judged in time' }
}
