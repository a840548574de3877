/**
 * How much one evaluation may do: whoever signs chooses how long lists and texts are, and evaluation holds the event loop.
 * A step is about as much as evaluating one node of the expression, some tenths of a microsecond.
 */
const STEPS_MAX = 100_000

/** Counts what an evaluation does; throws where it is more than the budget. */
export class Budget {
  #left = STEPS_MAX

  spend(steps: number): void {
    this.#left -= steps
    if (this.#left < 0) throw new RangeError(`takes more than ${STEPS_MAX} steps`)
  }

  /** For the next evaluation. */
  renew(): void {
    this.#left = STEPS_MAX
  }
}
