/** What the time of one judgement goes into. */
export class Progress {
  readonly #elapsed: () => number
  readonly #startedAtMs: number
  #verifying = 0
  #sinceMs = 0
  #verifiedMs = 0
  /** Under way, the last begun at the end. */
  readonly #steps: string[] = []
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

  /** Notes that a step is under way, until what it returns is called. */
  begin(step: string): () => void {
    this.#steps.push(step)
    return () => void this.#steps.splice(this.#steps.lastIndexOf(step), 1)
  }

  /** The step that it would be late for now. */
  step(): string | undefined {
    return this.isHeldUpByVerifying() ? 'verify' : (this.joined?.step() ?? this.#steps.at(-1))
  }

  /** Whether it is late because of such work: it is at it, or has spent half of its time on it. */
  isHeldUpByVerifying(): boolean {
    if (this.#verifying > 0 || this.joined?.isHeldUpByVerifying() === true) return true
    return this.#verifiedMs > 0 && this.#verifiedMs * 2 >= this.#elapsed() - this.#startedAtMs
  }
}
