import type { Judged } from './judge.ts'
import { createLru, type Lru } from './lru.ts'

export type Kept = {
  readonly judged: Judged
  /** On the monotonic clock, milliseconds. */
  readonly until: number
  /** When something in it is too old to count, by the time of day: a clock that is set, and a machine that slept, move it. */
  readonly endsAtMs: number
  /** Whether another process has found something since that may make it better; undefined: nothing could. */
  readonly isOutdone?: (() => boolean) | undefined
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
  readonly #kept: Lru<string, Kept>

  constructor(deps: KeptJudgementsDeps) {
    this.#deps = deps
    this.#kept = createLru<string, Kept>(deps.max, { dispose: (kept) => (kept.isForgotten = true) })
  }

  /** One that counts now. */
  get(key: string): Kept | undefined {
    const kept = this.#kept.get(key)
    return kept !== undefined && this.holds(kept) && kept.isOutdone?.() !== true ? kept : undefined
  }

  /** Whether what `get` once gave is still what it would give. */
  holds(kept: Kept): boolean {
    return !kept.isForgotten && this.#isInTime(kept) && this.#isFresh(kept)
  }

  /** One in which nothing is too old by now, though it was to be looked at anew: it stands in where that cannot be done. */
  last(key: string): Judged | undefined {
    const kept = this.#kept.get(key)
    return kept !== undefined && this.#isFresh(kept) ? kept.judged : undefined
  }

  set(key: string, { judged, until, endsAtMs, isOutdone }: Omit<Kept, 'isForgotten'>): void {
    // Spelled out: a copy by spreading takes twice the memory, and there are a hundred thousand.
    this.#kept.set(key, { judged, until, endsAtMs, isOutdone, isForgotten: false })
  }

  /** Forgets it, unless it was to be kept for good. */
  reconsider(key: string): void {
    if (this.#kept.peek(key)?.until !== Infinity) this.#kept.delete(key)
  }

  #isInTime({ until }: Kept): boolean {
    return until === Infinity || until >= this.#deps.elapsed()
  }

  #isFresh({ endsAtMs }: Kept): boolean {
    return endsAtMs === Infinity || endsAtMs > this.#deps.now().getTime()
  }
}
