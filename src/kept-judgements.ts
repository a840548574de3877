import type { Epoch } from './epoch.ts'
import type { Judged } from './judge.ts'
import { createLru, type Lru } from './lru.ts'
import type { Digest } from './oci/digest.ts'
import { repositoryName, type Repository } from './oci/reference.ts'

/** What a judgement is about. */
export type Subject = {
  readonly epoch: Pick<Epoch, 'key'>
  readonly repository: Repository
  readonly digest: Digest
}

export type Kept = {
  readonly judged: Judged
  /** On the monotonic clock, milliseconds; undefined: for good. Not Infinity, which would be an object for each of them. */
  readonly until: number | undefined
  /** When something in it is too old to count, by the time of day: a clock that is set, and a machine that slept, move it. */
  readonly endsAtMs: number | undefined
  /** Whether another process has found something since that may make it better; undefined: nothing could. */
  readonly isOutdone?: (() => boolean) | undefined
  readonly epochKey: string
  readonly repository: Repository
  /** Replaced, thrown out or reconsidered since. */
  isForgotten: boolean
}

/** A judgement that is known, and whether it still is. */
export type Standing = { readonly judged: Judged; readonly holds: () => boolean }

export type KeptJudgementsDeps = {
  /** Milliseconds, monotonic. */
  elapsed: () => number
  now: () => Date
  /** How many. */
  max: number
}

/** Judgements in memory, each for as long as it counts. */
export class KeptJudgements {
  readonly #deps: KeptJudgementsDeps
  /**
   * By the digest alone, a text that is in memory anyhow: nearly every one is pulled from one repository, in one epoch.
   * A second judgement of it has a longer name, and no subject has two.
   */
  readonly #kept: Lru<string, Kept>

  constructor(deps: KeptJudgementsDeps) {
    this.#deps = deps
    this.#kept = createLru<string, Kept>(deps.max, { dispose: (kept) => (kept.isForgotten = true) })
  }

  /** One that counts now. */
  get(subject: Subject): Kept | undefined {
    const kept = this.#find(subject)
    return kept !== undefined && this.holds(kept) && kept.isOutdone?.() !== true ? kept : undefined
  }

  /** Whether what `get` once gave is still what it would give. */
  holds(kept: Kept): boolean {
    return !kept.isForgotten && this.#isInTime(kept) && this.#isFresh(kept)
  }

  /** One in which nothing is too old by now, though it was to be looked at anew: it stands in where that cannot be done. */
  last(subject: Subject): Judged | undefined {
    const kept = this.#find(subject)
    return kept !== undefined && this.#isFresh(kept) ? kept.judged : undefined
  }

  set(subject: Subject, { judged, until, endsAtMs, isOutdone }: Lasting): void {
    const { epoch, repository, digest } = subject
    const epochKey = epoch.key
    this.#forget(subject)
    const key = this.#kept.peek(digest) === undefined ? digest : nameOf(subject)
    // Spelled out: a copy by spreading takes twice the memory, and there are a hundred thousand.
    this.#kept.set(key, { judged, until, endsAtMs, isOutdone, epochKey, repository, isForgotten: false })
  }

  /** Forgets it, unless it was to be kept for good. */
  reconsider(subject: Subject): void {
    if (this.#find(subject)?.until !== undefined) this.#forget(subject)
  }

  #find(subject: Subject): Kept | undefined {
    return this.#kept.get(this.#keyOf(subject))
  }

  #forget(subject: Subject): void {
    this.#kept.delete(this.#keyOf(subject))
  }

  /** A look counts as no use of what is about another subject: an epoch that is over would never go. */
  #keyOf(subject: Subject): string {
    const kept = this.#kept.peek(subject.digest)
    return kept !== undefined && isAbout(kept, subject) ? subject.digest : nameOf(subject)
  }

  #isInTime({ until }: Kept): boolean {
    return until === undefined || until >= this.#deps.elapsed()
  }

  #isFresh({ endsAtMs }: Kept): boolean {
    return endsAtMs === undefined || endsAtMs > this.#deps.now().getTime()
  }
}

type Lasting = Pick<Kept, 'judged' | 'until' | 'endsAtMs' | 'isOutdone'>

/** One text for one subject. */
export function nameOf({ epoch, repository, digest }: Subject): string {
  return `${epoch.key} ${repositoryName(repository)}@${digest}`
}

function isAbout({ epochKey, repository }: Kept, subject: Subject): boolean {
  if (epochKey !== subject.epoch.key) return false
  const { registry, name } = subject.repository
  return repository === subject.repository || (repository.registry === registry && repository.name === name)
}
