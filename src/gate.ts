import { ancestorsOf } from './ancestors.ts'
import type { Epoch } from './epoch.ts'
import { createLru } from './lru.ts'
import type { Digest } from './oci/digest.ts'
import { repositoryName, type Repository } from './oci/reference.ts'
import type { Finding, NoRoom, OpenBudget } from './open-budget.ts'
import { enforce } from './policy/decide.ts'
import type { Ring } from './policy/ring.ts'
import type { Admission, Judgement, Outcome } from './policy/types.ts'
import { StoreError } from './store/error.ts'
import type { StateStore, StoredAdmission } from './store/types.ts'
import type { VerifiedBefore } from './verified-before.ts'

export type GateEvent =
  /** An image that nobody could judge leaves. Once a minute for each client and image. */
  | {
      readonly kind: 'admitted'
      readonly repository: Repository
      readonly digest: Digest
      readonly admitted: readonly Admission[]
      readonly decision: string
      readonly client: string
    }
  /** An image that stance `open` would let pass is held. */
  | {
      readonly kind: 'no-room'
      readonly repository: Repository
      readonly digest: Digest
      readonly why: NoRoom
    }
  /** An admission that waits for so long to be judged that it does not hold an outage open any more. */
  | { readonly kind: 'stale'; readonly admission: StoredAdmission }
  /** What an admitted image turned out to be. */
  | { readonly kind: 'judged'; readonly admission: StoredAdmission; readonly finding: Finding }
  /** How many images wait to be judged now. */
  | { readonly kind: 'waiting'; readonly count: number }

export type GateDeps = {
  epoch: () => Pick<Epoch, 'key'>
  state: Pick<StateStore, 'parentsOfManifest' | 'noteUse'>
  before: VerifiedBefore
  budget: OpenBudget
  now: () => Date
  onEvent: (event: GateEvent) => void
}

/** A pull that is let through though nobody could judge the image. */
export type AdmittedPull = {
  readonly repository: Repository
  readonly digest: Digest
  /** As it is for all rings. */
  readonly judgement: Judgement
  /** Empty where no policy that is enforced was asked. */
  readonly admitted: readonly Admission[]
  /** Id of the decision. */
  readonly decision: string
  /** Address of who pulls. */
  readonly client: string
  readonly ring: Ring
}

/** Images that stance `open` would have let pass in pulls that nobody made, and their registries. */
export type Trial = Map<string, string>

type Serve = Extract<Outcome, { kind: 'serve' }>
type Lately = { readonly judgement: Judgement; readonly epoch: string; readonly untilMs: number }

/** Pulls under way that are remembered so that their blobs need no judgement each. */
const LATELY_MAX = 10_000
const LATELY_MS = 60_000
/** How often the same client and image are recorded and told of again. */
const REPEAT_MS = 60_000

/** Step 8 with all that it must know beside the verdict: what was verified before, and what the budget of `open` allows. */
export class Gate {
  readonly #deps: GateDeps
  readonly #lately = createLru<string, Lately>(LATELY_MAX)
  /** When which client was last recorded, and by which decision. */
  readonly #told = createLru<string, { atMs: number; decision: string }>(LATELY_MAX)
  readonly #toldStale = createLru<number, true>(LATELY_MAX)

  constructor(deps: GateDeps) {
    this.#deps = deps
    deps.onEvent({ kind: 'waiting', count: deps.budget.waiting })
  }

  /** What a pull of the image gets, by what the judgement comes to in its ring. Where it is `admitted`, nothing may leave before `admit` has returned. */
  outcome(repository: Repository, digest: Digest, judgement: Judgement): Outcome {
    return this.#enforce(repository, digest, judgement, (images) => {
      if (this.#isAdmitted(repository, images)) return true
      const why = this.#deps.budget.noRoomFor(repository, digest)
      if (why !== undefined) this.#deps.onEvent({ kind: 'no-room', repository, digest, why })
      return why === undefined
    })
  }

  /** The same for its blobs and children: only what a pull has let through already, and no budget is spent. */
  peek(repository: Repository, digest: Digest, judgement: Judgement): Outcome {
    return this.#enforce(repository, digest, judgement, (images) => this.#isAdmitted(repository, images))
  }

  /** What a pull would get that nobody makes, after those of the trial: nothing is told and nothing spent. */
  rehearse(repository: Repository, digest: Digest, judgement: Judgement, trial: Trial): Outcome {
    const { registry } = repository
    return this.#enforce(repository, digest, judgement, (images) => {
      if (this.#isAdmitted(repository, images)) return true
      const others = [...trial.values()].filter((one) => one === registry).length
      const why = this.#deps.budget.noRoomFor(repository, digest, others)
      const isTried = images.some((image) => trial.has(keyOf(repository, image)))
      if (isTried ? why === 'refused' : why !== undefined) return false
      if (!isTried) trial.set(keyOf(repository, digest), registry)
      return true
    })
  }

  /** The judgement, for all rings, under which a pull was admitted a moment ago: its blobs need not be judged each. */
  admittedLately(repository: Repository, digest: Digest): Judgement | undefined {
    const lately = this.#lately.get(keyOf(repository, digest))
    if (lately === undefined || lately.epoch !== this.#deps.epoch().key) return undefined
    return this.#deps.now().getTime() <= lately.untilMs ? lately.judgement : undefined
  }

  /** To be told of a pull that another process has admitted under the epoch of now: its blobs are asked for here. */
  noteAdmitted(repository: Repository, digest: Digest, judgement: Judgement): void {
    const untilMs = this.#deps.now().getTime() + LATELY_MS
    this.#lately.set(keyOf(repository, digest), { judgement, epoch: this.#deps.epoch().key, untilMs })
  }

  /**
   * Records the admission durably, and tells of it: once a minute for each client and image. Returns the decision that
   * is on record. `record` writes the decision itself, where there is room for what it lets pass. Throws StoreError: then
   * nothing may leave.
   */
  admit(pulled: AdmittedPull, record: () => void): string {
    const { repository, digest, judgement, admitted, decision, client, ring } = pulled
    const { budget, onEvent } = this.#deps
    const nowMs = this.#deps.now().getTime()
    const epoch = this.#deps.epoch().key
    const opened = admitted.filter(({ by }) => by === 'open').map(({ result }) => result.policy)
    // What an index covers is recorded under the index: it is one image to whoever pulls it.
    const image = this.#withAncestors(repository, digest).find((one) => budget.isAdmitted(repository, one))
    const isRecorded = opened.length === 0 || image !== undefined
    // What is let pass for another reason is another thing to tell.
    const teller = `${keyOf(repository, digest)} ${ring.name} ${client} ${opened.join()} ${epoch}`
    let told = this.#told.get(teller)
    if (!isRecorded || told === undefined || Math.abs(nowMs - told.atMs) >= REPEAT_MS) {
      if (opened.length === 0) record()
      else {
        budget.admit({ repository, digest: image ?? digest, policies: opened, decision, client }, record)
        this.countWaiting()
      }
      this.#told.set(teller, (told = { atMs: nowMs, decision }))
      // What only observes has let nothing pass.
      if (admitted.length > 0) onEvent({ kind: 'admitted', repository, digest, admitted, decision, client })
    }
    this.noteAdmitted(repository, digest, judgement)
    return told.decision
  }

  /**
   * To be told, by the judgement for all rings, of every image that is served on its own merits. On the way of every warm
   * request: no I/O.
   */
  noteServed(repository: Repository, digest: Digest, judgement: Judgement): void {
    const isNew = this.#deps.before.note(repository, digest, judgement)
    if (!isNew) return
    // That some ring does not enforce what the image violates makes it no better.
    if (enforce(judgement).kind === 'serve') this.#deps.budget.forgive(repository, digest)
    // What is only ever served from memory must not look unused to eviction.
    this.#deps.state.noteUse(repository, digest)
  }

  /** To be told of every judgement once, whoever waits for it still: what is violated ends whatever a stance rests on. */
  noteJudged(repository: Repository, digest: Digest, judgement: Judgement): void {
    this.#deps.before.end(repository, digest, judgement)
    const { kind } = enforce(judgement)
    if (kind === 'serve') this.noteServed(repository, digest, judgement)
    if (kind !== 'refuse') return
    this.#deps.budget.refuse(repository, digest)
    this.#lately.delete(keyOf(repository, digest))
  }

  /** To be told of what still waits to be judged, every now and then: tells once of each that waits for very long. */
  noteWaiting(admissions: readonly StoredAdmission[]): void {
    for (const admission of admissions) {
      if (!this.#deps.budget.isStale(admission.firstAt.getTime()) || this.#toldStale.has(admission.id))
        continue
      this.#toldStale.set(admission.id, true)
      this.#deps.onEvent({ kind: 'stale', admission })
    }
  }

  /** Tells what an admission turned out to be, and closes it durably: told twice rather than never. Throws StoreError. */
  close(admission: StoredAdmission, finding: Finding): void {
    const { budget, onEvent } = this.#deps
    onEvent({ kind: 'judged', admission, finding })
    budget.close(admission, finding)
    this.#lately.delete(keyOf(admission.repository, admission.digest))
    this.countWaiting()
  }

  /**
   * Tells how many images wait to be judged: where other processes admit them, too, nobody else does. What was told last
   * counts on where the disk does not say.
   */
  countWaiting(): void {
    const { budget, onEvent } = this.#deps
    let count: number
    try {
      count = budget.waiting
    } catch (error) {
      if (error instanceof StoreError) return
      throw error
    }
    onEvent({ kind: 'waiting', count })
  }

  /** Writes what has only been noted in memory. To be called every few seconds. */
  flush(): void {
    this.#deps.before.flush()
  }

  #enforce(
    repository: Repository,
    digest: Digest,
    judgement: Judgement,
    mayOpen: (images: readonly Digest[]) => boolean,
  ): Outcome {
    const outcome = enforce(judgement)
    // Nearly always: what is known needs no stance.
    if (outcome.kind !== 'hold') return outcome
    const images = this.#withAncestors(repository, digest)
    const wasRefused = (): boolean => this.#deps.budget.wasRefused(repository, digest)
    // Of several policies the first that asks has the answer for all.
    let isOpen: boolean | undefined
    return enforce(judgement, {
      wasSatisfied: ({ policy, version: policyVersion }) =>
        this.#deps.before.isRecentIn(images, { repository, policy, policyVersion }, wasRefused),
      mayOpen: () => (isOpen ??= mayOpen(images)),
    })
  }

  /** Whether the image, or an index that names it, was let pass in this outage and still may. */
  #isAdmitted(repository: Repository, images: readonly Digest[]): boolean {
    const [own] = images
    const { budget } = this.#deps
    if (own !== undefined && budget.wasRefused(repository, own)) return false
    return images.some((image) => budget.isAdmitted(repository, image))
  }

  /**
   * The image, and the indexes of this repository that were let through and name it. What an index lists never changes,
   * so what was true of the index was true of the image.
   */
  #withAncestors(repository: Repository, digest: Digest): readonly Digest[] {
    return [digest, ...ancestorsOf(this.#deps.state, repository, digest).digests]
  }
}

/** Whether a policy is content with what is served, now or when it last could say: not merely let pass. */
export function isVouchedFor({ admitted }: Serve): boolean {
  return admitted.every(({ by }) => by === 'last-verified')
}

function keyOf(repository: Repository, digest: Digest): string {
  return `${repositoryName(repository)}@${digest}`
}
