import { createLru } from './lru.ts'
import type { Digest } from './oci/digest.ts'
import { repositoryName, type Repository } from './oci/reference.ts'
import { StoreError } from './store/error.ts'
import type { SharedState } from './store/shared-state.ts'
import type { OpenAdmission, StateStore, StoredAdmission } from './store/types.ts'

export type OpenBudgetDeps = {
  state: Pick<StateStore, 'admitOpen' | 'openAdmissions' | 'closeAdmission' | 'admissions' | 'wasRefused'>
  /** Where other processes spend from it, too. */
  others?: OtherSpenders | undefined
  now: () => Date
  /** Distinct images of one registry that one outage may let pass. */
  openImagesMax: number
  /** How long after the first of them. */
  openForMs: number
}

type OtherSpenders = Pick<SharedState, 'admissionsStamp' | 'exclusively'> & {
  /** To be told of what is not on the disk. */
  onJudged(repository: Repository, digest: Digest, kind: 'refused' | 'forgiven'): void
}

export type Finding = NonNullable<StoredAdmission['finding']>

/** Why an image is not let pass. `refused`: it was judged before, and violated its policy. */
export type NoRoom = 'images' | 'time' | 'refused'

/** An image that was let pass. */
type Spent = {
  readonly decision: string
  readonly atMs: number
  /** Undefined: it waits to be judged. */
  verdict: Finding['verdict'] | undefined
}

/** From the first admission until all admissions have been judged. */
type Outage = {
  /** Undefined: it has ended, and what is left of it still counts against the next. */
  startedAtMs: number | undefined
  readonly images: Map<string, Spent>
}

/** Admissions that a start looks at to find out which outages it is in. */
const ADMISSIONS_READ_MAX = 10_000
const REFUSED_MAX = 10_000
/** So many times `openFor` after its admission, an image that nobody could judge holds no outage open any more. */
const STALE_AFTER = 6

/**
 * The budget of stance `open`: images and time, once for each registry and outage. A restart changes nothing of it, nor does
 * it matter which of several processes spends it: the store knows what all of them have admitted.
 */
export class OpenBudget {
  readonly #deps: OpenBudgetDeps
  /** What was judged since the start, or by a review: not each of them is a decision on the disk. */
  readonly #refused = createLru<string, true>(REFUSED_MAX)
  /** By registry: one that stays dead must not take the others with it. */
  readonly #outages = new Map<string, Outage>()
  /** Of the admissions that are known here. */
  #stamp: string | undefined
  /** Ids of admissions that are known here to be violated: what was forgiven since is not refused again for them. */
  #violated = new Set<number>()

  constructor(deps: OpenBudgetDeps) {
    this.#deps = deps
    this.#stamp = deps.others?.admissionsStamp()
    this.#load()
  }

  #load(): void {
    const { state, openForMs } = this.#deps
    const stored = [...state.openAdmissions(), ...state.admissions(ADMISSIONS_READ_MAX)]
    const unsorted = [...new Map(stored.map((admission) => [admission.id, admission])).values()]
    const admissions = unsorted.toSorted((a, b) => a.firstAt.getTime() - b.firstAt.getTime())
    for (const [registry, own] of Map.groupBy(admissions, ({ repository }) => repository.registry))
      this.#outages.set(registry, lastOutage(own, openForMs))
    const violated = admissions.filter(({ finding }) => finding?.verdict === 'violated')
    for (const { id, repository, digest } of violated) {
      if (!this.#violated.has(id)) this.#refused.set(keyOf(repository, digest), true)
    }
    this.#violated = new Set(violated.map(({ id }) => id))
  }

  /** What others have admitted or closed meanwhile. Throws StoreError. */
  #catchUp(): void {
    const stamp = this.#deps.others?.admissionsStamp()
    if (stamp === this.#stamp) return
    this.#load()
    this.#stamp = stamp
  }

  /** Durable when it returns; what is known here must not change before. Throws what `work` throws, and StoreError. */
  #write<T>(work: () => T): T {
    const { others } = this.#deps
    if (others === undefined) return work()
    // Nearly all of what others have written is read before they have to wait.
    this.#catchUp()
    const [result, stamp] = others.exclusively(() => {
      this.#catchUp()
      return [work(), others.admissionsStamp()] as const
    })
    this.#stamp = stamp
    return result
  }

  /** Images that were let pass and wait to be judged. */
  get waiting(): number {
    this.#catchUp()
    const images = [...this.#outages.values()].flatMap((outage) => [...outage.images.values()])
    return images.filter(({ verdict }) => verdict === undefined).length
  }

  /** Whether the image was let pass in this outage, is not judged yet, and may still be served. */
  isAdmitted(repository: Repository, digest: Digest): boolean {
    this.#catchUp()
    const outage = this.#current(repository)
    const image = outage?.images.get(keyOf(repository, digest))
    return (
      image !== undefined &&
      this.#isWaiting(image) &&
      !this.#isOver(outage) &&
      !this.wasRefused(repository, digest)
    )
  }

  /** Why the image may not be let pass now, after `others` more of its registry; undefined where it may. */
  noRoomFor(repository: Repository, digest: Digest, others = 0): NoRoom | undefined {
    this.#catchUp()
    if (this.wasRefused(repository, digest)) return 'refused'
    const outage = this.#current(repository)
    const image = outage?.images.get(keyOf(repository, digest))
    // One that nobody could judge for so long does not pass again before somebody can, whatever outage it is.
    const isStale = image !== undefined && image.verdict === undefined && !this.#isWaiting(image)
    if (isStale || this.#isOver(outage)) return 'time'
    const images = [...(outage?.images.values() ?? [])]
    const spent = images.filter((one) => one.verdict !== undefined || this.#isWaiting(one)).length
    return image === undefined && spent + others >= this.#deps.openImagesMax ? 'images' : undefined
  }

  /**
   * Durable before it returns, and only then spent; `record` writes what else must be on the disk by then, once there is
   * room. One record an image and outage. Throws StoreError, also where another process has spent the last of it meanwhile.
   */
  admit(admission: Omit<OpenAdmission, 'at'>, record: () => void = () => undefined): void {
    const { repository, digest } = admission
    const key = keyOf(repository, digest)
    const at = this.#deps.now()
    const spent = this.#write(() => {
      const why = this.#deps.others === undefined ? undefined : this.noRoomFor(repository, digest)
      if (why !== undefined) throw new StoreError('full', `no room in the budget of stance open: ${why}`)
      const known = this.#current(repository)?.images.get(key)
      const isKnown = known !== undefined && known.verdict === undefined
      const next = isKnown ? known : { decision: admission.decision, atMs: at.getTime(), verdict: undefined }
      record()
      this.#deps.state.admitOpen({ ...admission, decision: next.decision, at })
      return next
    })
    const outage = this.#current(repository) ?? { startedAtMs: undefined, images: new Map<string, Spent>() }
    outage.startedAtMs ??= at.getTime()
    outage.images.set(key, spent)
    this.#outages.set(repository.registry, outage)
  }

  /** What an admission turned out to be. Durable. The last one ends the outage. Throws StoreError. */
  close({ id, repository, digest }: StoredAdmission, finding: Finding): void {
    this.#write(() => this.#deps.state.closeAdmission(id, finding))
    const image = this.#outages.get(repository.registry)?.images.get(keyOf(repository, digest))
    if (image !== undefined) image.verdict = finding.verdict
    if (finding.verdict !== 'violated') return
    this.#violated.add(id)
    this.refuse(repository, digest)
  }

  /** Whether an admission waits for so long that it holds no outage open any more. */
  isStale(firstAtMs: number): boolean {
    // Either way: a clock that was wrong for a while must not make anything last for ever.
    return Math.abs(this.#deps.now().getTime() - firstAtMs) > this.#deps.openForMs * STALE_AFTER
  }

  /** Whether the image was found to violate its policy. */
  wasRefused(repository: Repository, digest: Digest): boolean {
    return this.#refused.has(keyOf(repository, digest)) || this.#deps.state.wasRefused(repository, digest)
  }

  /** A violation: no outage lets the image pass, until it is satisfied. */
  refuse(repository: Repository, digest: Digest): void {
    this.hear(repository, digest, 'refused')
    this.#deps.others?.onJudged(repository, digest, 'refused')
  }

  forgive(repository: Repository, digest: Digest): void {
    this.#catchUpIfPossible()
    if (this.#refused.delete(keyOf(repository, digest)))
      this.#deps.others?.onJudged(repository, digest, 'forgiven')
  }

  /** What another process has found out. */
  hear(repository: Repository, digest: Digest, kind: 'refused' | 'forgiven'): void {
    const key = keyOf(repository, digest)
    if (kind === 'refused') return void this.#refused.set(key, true)
    this.#catchUpIfPossible()
    this.#refused.delete(key)
  }

  /** Before something is forgiven: a violation that is read only afterwards would count as a later one. */
  #catchUpIfPossible(): void {
    try {
      this.#catchUp()
    } catch (error) {
      if (!(error instanceof StoreError)) throw error
    }
  }

  #current({ registry }: Repository): Outage | undefined {
    const outage = this.#outages.get(registry)
    if (outage === undefined || [...outage.images.values()].some((image) => this.#isWaiting(image)))
      return outage
    outage.startedAtMs = undefined
    giveBack(outage, this.#deps.now().getTime(), this.#deps.openForMs)
    return outage
  }

  #isWaiting({ verdict, atMs }: Spent): boolean {
    return verdict === undefined && !this.isStale(atMs)
  }

  /** A start that lies ahead was told by a clock that was wrong: nobody knows how long ago it was. */
  #isOver(outage: Outage | undefined): boolean {
    if (outage?.startedAtMs === undefined) return false
    const sinceMs = this.#deps.now().getTime() - outage.startedAtMs
    return sinceMs < 0 || sinceMs > this.#deps.openForMs
  }
}

/**
 * Images that are free again when an outage has ended. Who pushes what violates its policy, and is slow to judge, would
 * otherwise have a new budget as soon as it was found out.
 */
function giveBack({ images }: Outage, nowMs: number, openForMs: number): void {
  for (const [key, { verdict, atMs }] of images) {
    const isCharged = verdict === 'violated' && Math.abs(nowMs - atMs) <= openForMs
    if (verdict !== undefined && !isCharged) images.delete(key)
  }
}

/** The last outage of a registry, with those of its images that were judged already. `admissions` are in their order. */
function lastOutage(admissions: readonly StoredAdmission[], openForMs: number): Outage {
  const outage: Outage = { startedAtMs: undefined, images: new Map() }
  let endedAtMs = -Infinity
  for (const { repository, digest, decision, firstAt, finding } of admissions) {
    const atMs = firstAt.getTime()
    if (atMs > endedAtMs) {
      outage.startedAtMs = atMs
      giveBack(outage, atMs, openForMs)
    }
    const key = keyOf(repository, digest)
    const known = outage.images.get(key)
    const isKnown = known !== undefined && known.verdict === undefined
    outage.images.set(key, isKnown ? known : { decision, atMs, verdict: finding?.verdict })
    const staleAtMs = atMs + openForMs * STALE_AFTER
    endedAtMs = Math.max(endedAtMs, Math.min(finding?.at.getTime() ?? Infinity, staleAtMs))
  }
  return outage
}

function keyOf(repository: Repository, digest: Digest): string {
  return `${repositoryName(repository)}@${digest}`
}
