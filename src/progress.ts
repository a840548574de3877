/** What the time of one judgement goes into. */
export class Progress {
  readonly #elapsed: () => number
  readonly #startedAtMs: number
  #verifying = 0
  #sinceMs = 0
  #verifiedMs = 0
  /** That of another one, which this one waits for. */
  joined: Progress | undefined

  /** `elapsed` in milliseconds, monotonic. */
  constructor(elapsed: () => number) {
    this.#elapsed = elapsed
    this.#startedAtMs = elapsed()
  }

  /** Does work whose length whoever makes the evidence decides on. */
  async verifying<T>(work: () => Promise<T>): Promise<T> {
    if (this.#verifying++ === 0) this.#sinceMs = this.#elapsed()
    try {
      return await work()
    } finally {
      if (--this.#verifying === 0) this.#verifiedMs += this.#elapsed() - this.#sinceMs
    }
  }

  /** Whether it is late because of such work: it is at it, or has spent half of its time on it. */
  isHeldUpByVerifying(): boolean {
    if (this.#verifying > 0 || this.joined?.isHeldUpByVerifying() === true) return true
    return this.#verifiedMs > 0 && this.#verifiedMs * 2 >= this.#elapsed() - this.#startedAtMs
  }
}
