import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Steps } from '../oci/steps.ts'

/**
 * Turns of the event loop for slices of CPU work: resolves one caller at a time, in order, with all waiting I/O served
 * in between. However many callers there are, the loop is held for one slice.
 */
export function createTurns(): () => Promise<void> {
  let last: Promise<void> = Promise.resolve()
  return async function turn() {
    last = last.then(() => nextTurn())
    await last
  }
}

/** Finishes the steps, one a turn. */
export async function finishInTurns<T>(steps: Steps<T>): Promise<T> {
  for (;;) {
    const step = steps.next()
    if (step.done === true) return step.value
    // oxlint-disable-next-line no-await-in-loop -- one step after the other is the point
    await nextTurn()
  }
}

/** Runs at most `max` works at a time, in the order in which they come. */
export function createLanes(max: number): <T>(work: () => Promise<T>) => Promise<T> {
  const lanes = Array.from({ length: max }, () => Promise.resolve<unknown>(undefined))
  return async function run(work) {
    const before = lanes.shift()
    const result = before === undefined ? work() : before.then(work)
    lanes.push(result.catch(() => undefined))
    return await result
  }
}
