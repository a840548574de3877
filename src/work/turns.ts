import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Steps } from '../oci/steps.ts'

/** What everybody else may have between two callers, in milliseconds. */
export const OTHERS_MS = 10
/** Of what they take beyond that, so much is for more callers. */
const SHARE = 1 / 2

/**
 * Turns of the event loop for slices of CPU work: resolves callers in order, each when the one before has come to its next wait.
 * One caller a turn where all else is quick, so that it stays quick however many callers there are; more where it is not, so that
 * a core that is busy with I/O still has time for them. `elapsed`: milliseconds, monotonic.
 */
export function createTurns(elapsed: () => number = () => performance.now()): () => Promise<void> {
  const waiting: (() => void)[] = []
  let isServing = false
  let othersSinceMs = 0

  function begin(): void {
    const nowMs = elapsed()
    serve(nowMs + Math.max(0, nowMs - othersSinceMs - OTHERS_MS) * SHARE)
  }

  function serve(untilMs: number): void {
    waiting.shift()?.()
    // What the caller does until its next wait are microtasks, and ticks come after all of them.
    queueMicrotask(() => process.nextTick(goOn, untilMs))
  }

  function goOn(untilMs: number): void {
    isServing = waiting.length > 0
    othersSinceMs = elapsed()
    if (!isServing) return
    if (othersSinceMs < untilMs) serve(untilMs)
    else setImmediate(begin)
  }

  return async function turn() {
    const { promise, resolve } = Promise.withResolvers<void>()
    waiting.push(resolve)
    if (!isServing) {
      isServing = true
      othersSinceMs = elapsed()
      setImmediate(begin)
    }
    await promise
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
