/** When a dependency is left alone, and for how long. */
export type BreakerLimits = {
  /** Failures in a row that open it. Default 5: one unlucky request with its retries is no outage. */
  readonly failuresInARow: number
  /** The first pause. Default 1 s: what restarts is back soon. */
  readonly openMsMin: number
  /** Each failed attempt doubles the pause up to this. Default 30 s: the longest that a recovery goes unnoticed. */
  readonly openMsMax: number
}

export const BREAKER_LIMITS: BreakerLimits = { failuresInARow: 5, openMsMin: 1_000, openMsMax: 30_000 }

/** Why a dependency is not asked. Times are milliseconds of the clock that the breaker was given. */
export type Outage = {
  readonly dependency: string
  /** The first of the failures in a row. */
  readonly sinceMs: number
  /** What the last attempt met, in a few words. */
  readonly why: string
  /** Undefined while one call is on its way to find out. */
  readonly nextAttemptMs: number | undefined
}

/**
 * What a call says of its dependency. `answered`: it works, whatever it said. `abandoned`: nothing, because the caller
 * went away first. Failures about one and the same thing count once: one broken image is no broken registry.
 */
export type CallResult = 'answered' | 'abandoned' | { readonly failed: string; readonly about?: string }

/** `end` is called once, with what came of the call. */
export type Passage =
  | { readonly ok: true; end(result: CallResult): void }
  | { readonly ok: false; readonly outage: Outage }

export type BreakerDeps = {
  /** Milliseconds. A clock that is set back costs one attempt too many, never a pause too long. */
  readonly now: () => number
  /** In [0, 1). */
  readonly random: () => number
  /** Told when it opens and when it closes, not of each attempt between. */
  readonly onChange?: (change: { readonly state: 'open' | 'closed'; readonly outage: Outage }) => void
}

type Open = Outage & { readonly attempts: number; readonly fromMs: number; readonly untilMs: number }

/** A call that was not made. */
export class BreakerError extends Error {
  override readonly name = 'BreakerError'
  readonly code = 'open'
  readonly outage: Outage

  constructor(outage: Outage) {
    super(outageText(outage))
    this.outage = outage
  }
}

/** One line without times: decisions that quote it are the same decision in every outage. */
export function outageText({ dependency, why }: Outage): string {
  return `${dependency} does not answer (${why})`
}

/** Asks a dependency that keeps failing only now and then, one call at a time, so that the others fail at once. */
export class Breaker {
  readonly #dependency: string
  readonly #deps: BreakerDeps
  readonly #limits: BreakerLimits
  /** What failed since the last answer. */
  readonly #failed = new Set<string>()
  #sinceMs = 0
  #open: Open | undefined
  /** A call that began before the last change of state says nothing about now. */
  #epoch = 0

  constructor(dependency: string, deps: BreakerDeps, limits: BreakerLimits = BREAKER_LIMITS) {
    this.#dependency = dependency
    this.#deps = deps
    this.#limits = limits
  }

  /** Whether it is open, though a call may be due to find out. */
  get isOpen(): boolean {
    return this.#open !== undefined
  }

  /** How many different things failed since the last answer. */
  get failures(): number {
    return this.#failed.size
  }

  /** Why a call would not be made now; undefined where it would. */
  outage(): Outage | undefined {
    const open = this.#open
    if (open === undefined) return undefined
    const now = this.#deps.now()
    return now >= open.untilMs || now < open.fromMs ? undefined : open
  }

  enter(): Passage {
    const outage = this.outage()
    if (outage !== undefined) return { ok: false, outage }
    // Half open: this call finds out for everybody. Should it never end, another may try after the longest pause.
    if (this.#open !== undefined)
      this.#pause({ ...this.#open, nextAttemptMs: undefined }, this.#limits.openMsMax)
    const epoch = this.#epoch
    return {
      ok: true,
      end: (result) => {
        if (epoch === this.#epoch) this.#end(result)
      },
    }
  }

  /**
   * Does the work, or rejects with BreakerError at once. `judge` tells what a rejection says of the dependency; default:
   * that it failed. The work must carry a time limit of its own, and failing by that limit is a failure.
   */
  async run<T>(work: () => Promise<T>, judge: (error: unknown) => CallResult = failedBy): Promise<T> {
    const passage = this.enter()
    if (!passage.ok) throw new BreakerError(passage.outage)
    try {
      const value = await work()
      passage.end('answered')
      return value
    } catch (error) {
      passage.end(judge(error))
      throw error
    }
  }

  /** Forgets all failures. */
  reset(): void {
    const outage = this.#open
    this.#failed.clear()
    if (outage === undefined) return
    this.#open = undefined
    this.#epoch += 1
    this.#deps.onChange?.({ state: 'closed', outage })
  }

  #end(result: CallResult): void {
    if (result === 'answered') this.reset()
    else if (result !== 'abandoned') this.#fail(result.failed, result.about)
    else if (this.#open !== undefined) this.#pause({ ...this.#open }, 0)
  }

  #fail(why: string, about = String(this.#failed.size)): void {
    if (this.#failed.size === 0) this.#sinceMs = this.#deps.now()
    this.#failed.add(about)
    const { failuresInARow, openMsMin, openMsMax } = this.#limits
    const before = this.#open
    if (before === undefined && this.#failed.size < failuresInARow) return
    const attempts = before === undefined ? 0 : before.attempts + 1
    const longestMs = Math.min(openMsMax, openMsMin * 2 ** attempts)
    // Between half and all of it: edges that lost a registry together do not come back to it together.
    const forMs = longestMs * (0.5 + this.#deps.random() / 2)
    const outage = { dependency: this.#dependency, sinceMs: this.#sinceMs, why, attempts }
    const open = this.#pause({ ...outage, nextAttemptMs: this.#deps.now() + forMs }, forMs)
    if (before === undefined) this.#deps.onChange?.({ state: 'open', outage: open })
  }

  #pause(open: Omit<Open, 'fromMs' | 'untilMs'>, forMs: number): Open {
    const fromMs = this.#deps.now()
    this.#epoch += 1
    this.#open = { ...open, fromMs, untilMs: fromMs + forMs }
    return this.#open
  }
}

function failedBy(error: unknown): CallResult {
  return { failed: error instanceof Error ? error.message : 'an unknown failure' }
}
