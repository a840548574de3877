import type { Progress } from './progress.ts'
import type { Metrics } from './record/metrics.ts'

/** Milliseconds by step. */
export type Timings = Record<string, number>

type TimedTo = {
  /** Where they are added up, beside the metrics. */
  readonly timings?: Timings
  /** Milliseconds, monotonic. */
  readonly elapsed: () => number
  readonly metrics: Pick<Metrics, 'stepDuration'>
}

/** Runs a step and notes how long it took, whichever way it ends. */
export async function timed<T>(
  step: string,
  to: TimedTo & { readonly progress?: Pick<Progress, 'begin'> | undefined },
  run: () => Promise<T>,
): Promise<T> {
  const start = to.elapsed()
  const end = to.progress?.begin(step)
  try {
    return await run()
  } finally {
    end?.()
    note(step, to, start)
  }
}

/** The same for a step that nobody has to wait for. */
export function timedNow<T>(step: string, to: TimedTo, run: () => T): T {
  const start = to.elapsed()
  try {
    return run()
  } finally {
    note(step, to, start)
  }
}

/** A step that is taken twice took as long as both. */
function note(step: string, { timings, elapsed, metrics }: TimedTo, start: number): void {
  const ms = elapsed() - start
  if (timings !== undefined) timings[step] = Math.round(((timings[step] ?? 0) + ms) * 1000) / 1000
  metrics.stepDuration.observe({ step }, ms / 1000)
}
