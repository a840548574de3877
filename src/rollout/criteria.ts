import type { RolloutCriteria } from '../policy/types.ts'

export const DAY_MS = 86_400_000

export type Criterion = {
  readonly name: 'days' | 'pulls' | 'images' | 'would-blocks'
  readonly have: number
  /** At least, of would-blocks at most. */
  readonly need: number
  readonly holds: boolean
}

/** What counts of a stage. */
export type StageFigures = {
  readonly ageMs: number
  readonly pulls: number
  readonly images: number
  readonly wouldBlocks: number
}

export function criteriaOf(
  { minDays, minPulls, minImages, maxWouldBlocks }: RolloutCriteria,
  { ageMs, pulls, images, wouldBlocks }: StageFigures,
): readonly Criterion[] {
  return [
    { name: 'days', have: wholeDays(ageMs), need: minDays, holds: ageMs >= minDays * DAY_MS },
    { name: 'pulls', have: pulls, need: minPulls, holds: pulls >= minPulls },
    { name: 'images', have: images, need: minImages, holds: images >= minImages },
    { name: 'would-blocks', have: wouldBlocks, need: maxWouldBlocks, holds: wouldBlocks <= maxWouldBlocks },
  ]
}

/** Rounded down to a tenth: never more than there were. */
export function wholeDays(ms: number): number {
  return Math.max(0, Math.floor((ms / DAY_MS) * 10) / 10)
}

/** `days: 3.5 of at least 14`. */
export function criterionText({ name, have, need }: Criterion): string {
  return `${name}: ${have} of at ${name === 'would-blocks' ? 'most' : 'least'} ${need}`
}
