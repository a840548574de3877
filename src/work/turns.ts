import { setImmediate as nextTurn } from 'node:timers/promises'

/**
 * Turns of the event loop for slices of CPU work: resolves one caller at a time, in order, with all waiting I/O served
 * in between. However many verifications run, the loop is held for one slice.
 */
export function createTurns(): () => Promise<void> {
  let last: Promise<void> = Promise.resolve()
  return async function turn() {
    last = last.then(() => nextTurn())
    await last
  }
}
