import { median } from '../report.ts'

export type Drift = { readonly early: number; readonly late: number }

/** Of one run, in ten parts: the median of the second, when everything is warm, and that of the last. */
export function driftOf(values: readonly number[]): Drift {
  const part = Math.max(1, Math.floor(values.length / 10))
  return { early: median(values.slice(part, 2 * part)), late: median(values.slice(-part)) }
}
