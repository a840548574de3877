import type { Metrics } from './record/metrics.ts'

/** Milliseconds by step. */
export type Timings = Record<string, number>

/** Runs a step and notes how long it took, whichever way it ends. */
export async function timed<T>(
  step: string,
  to: { timings: Timings; elapsed: () => number; metrics: Pick<Metrics, 'stepDuration'> },
  run: () => Promise<T>,
): Promise<T> {
  const start = to.elapsed()
  try {
    return await run()
  } finally {
    const ms = to.elapsed() - start
    to.timings[step] = Math.round(((to.timings[step] ?? 0) + ms) * 1000) / 1000
    to.metrics.stepDuration.observe({ step }, ms / 1000)
  }
}
