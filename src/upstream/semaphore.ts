import { UpstreamError } from './types.ts'

/** Waiting requests beyond this would all miss their deadlines: refusing at once is kinder. */
const WAITERS_MAX = 1_024

type Waiter = { readonly grant: () => void }

/** At most `slots` holders; the others wait in order, as long as their signal lets them. */
export class Semaphore {
  #free: number
  readonly #waiters = new Set<Waiter>()

  constructor(slots: number) {
    this.#free = slots
  }

  /** Resolves to the function that gives the slot back; calling it twice does no harm. */
  async acquire(signal: AbortSignal): Promise<() => void> {
    if (signal.aborted) throw new UpstreamError('deadline', 'the deadline passed before the request was sent')
    if (this.#free > 0) this.#free -= 1
    else await this.#wait(signal)
    let held = true
    return () => {
      if (held) this.#release()
      held = false
    }
  }

  #wait(signal: AbortSignal): Promise<void> {
    if (this.#waiters.size >= WAITERS_MAX) {
      return Promise.reject(new UpstreamError('deadline', 'too many requests wait for this upstream'))
    }
    return new Promise((resolve, reject) => {
      const give = (): void => {
        this.#waiters.delete(waiter)
        reject(new UpstreamError('deadline', 'the deadline passed while waiting for a free connection'))
      }
      const waiter = {
        grant: () => {
          signal.removeEventListener('abort', give)
          resolve()
        },
      }
      this.#waiters.add(waiter)
      signal.addEventListener('abort', give, { once: true })
    })
  }

  #release(): void {
    const [next] = this.#waiters
    if (next === undefined) {
      this.#free += 1
      return
    }
    // The slot passes to the oldest waiter without ever being free, so a newcomer cannot overtake it.
    this.#waiters.delete(next)
    next.grant()
  }
}
