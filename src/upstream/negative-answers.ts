import { UpstreamError } from './types.ts'
import { createLru } from '../lru.ts'

/** How long an answer that is no manifest stands. Milliseconds. */
export type NegativeAnswerTimes = {
  /** 404. Default 5 s: what is pushed after a failed pull is there at the next try of a client. */
  readonly notFoundMs: number
  /** 401 and 403. Default 10 s: rights change more slowly than content. */
  readonly deniedMs: number
  /** 429 that names no time. Default 10 s. */
  readonly rateLimitedMs: number
  /** 429 that names one. Default 60 s: upstream controls the value. */
  readonly rateLimitedMsMax: number
}

const NEGATIVE_ANSWER_TIMES: NegativeAnswerTimes = {
  notFoundMs: 5_000,
  deniedMs: 10_000,
  rateLimitedMs: 10_000,
  rateLimitedMsMax: 60_000,
}

type Held = { readonly error: UpstreamError; readonly fromMs: number; readonly untilMs: number }

const ANSWERS_MAX = 10_000

/**
 * What a registry has said no to, by image name, so that a client in a loop asks nobody. Only answers: a failure is
 * never held here, and nothing here says that an image is absent for longer than the registry itself just did.
 */
export class NegativeAnswers {
  readonly #now: () => Date
  readonly #times: NegativeAnswerTimes
  readonly #held = createLru<string, Held>(ANSWERS_MAX)

  constructor(now: () => Date, times: Partial<NegativeAnswerTimes> = {}) {
    this.#now = now
    this.#times = { ...NEGATIVE_ANSWER_TIMES, ...times }
  }

  /** Asks, unless the answer is known to be no. Rejects with what `ask` rejects with, now or the last time. */
  async guard<T>(name: string, ask: () => Promise<T>): Promise<T> {
    const held = this.#get(name)
    if (held !== undefined) throw held
    try {
      return await ask()
    } catch (error) {
      if (error instanceof UpstreamError) this.#note(name, error)
      throw error
    }
  }

  #get(name: string): UpstreamError | undefined {
    const held = this.#held.get(name)
    const now = this.#now().getTime()
    if (held === undefined || now >= held.untilMs || now < held.fromMs) return undefined
    const { error, untilMs } = held
    if (error.code !== 'rate-limited') return error
    const { code, message, status = 429 } = error
    const retryAfterSeconds = Math.ceil((untilMs - now) / 1_000)
    return new UpstreamError(code, message, { status, retryAfterSeconds, cause: error })
  }

  #note(name: string, error: UpstreamError): void {
    const forMs = this.#timeOf(error)
    if (forMs <= 0) return
    const fromMs = this.#now().getTime()
    this.#held.set(name, { error, fromMs, untilMs: fromMs + forMs })
  }

  #timeOf({ code, retryAfterSeconds }: UpstreamError): number {
    const times = this.#times
    switch (code) {
      case 'not-found':
        return times.notFoundMs
      case 'unauthorized':
      case 'forbidden':
        return times.deniedMs
      case 'rate-limited':
        return retryAfterSeconds === undefined
          ? times.rateLimitedMs
          : Math.min(retryAfterSeconds * 1_000, times.rateLimitedMsMax)
      case 'unavailable':
      case 'timeout':
      case 'deadline':
      case 'invalid':
        return 0
    }
  }
}
