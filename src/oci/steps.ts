/** Work on bytes of somebody else's choosing, with a step about every millisecond, where others may have their turn. */
export type Steps<T> = Generator<undefined, T, undefined>

/** Bytes between two steps of a loop that looks at each. */
export const STEP_BYTES = 128 * 1024

/** All steps in one go. */
export function finish<T>(steps: Steps<T>): T {
  for (;;) {
    const step = steps.next()
    if (step.done === true) return step.value
  }
}
