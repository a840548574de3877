import type { Stance } from './types.ts'

/** From the strictest to the laxest. */
const STANCES: readonly Stance[] = ['closed', 'last-verified', 'open']

/** What counts where two have a say: a policy and the ring, a default and its limit. */
export function stricterStance(one: Stance, other: Stance | undefined): Stance {
  return other !== undefined && STANCES.indexOf(other) < STANCES.indexOf(one) ? other : one
}
