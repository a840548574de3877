import { stricterStance } from './stance.ts'
import type { Judgement, Mode, PolicyResult, RingModes, Stance } from './types.ts'

/** The clients that one request belongs to. */
export type Ring = {
  readonly name: string
  /** The laxest stance that any policy may have in it; undefined: as lax as the policy says. */
  readonly stanceLimit: Stance | undefined
}

/** The ring of clients that belong to no other. */
export const DEFAULT_RING = 'default'

const STRICTNESS: readonly Mode[] = ['off', 'observe', 'enforce']

export function modeIn(modes: RingModes, ring: string): Mode {
  return modes.byRing.get(ring) ?? modes.fallback
}

/** What must be judged for: whoever asks. */
export function strictestOf({ fallback, byRing }: RingModes): Mode {
  return strictest([fallback, ...byRing.values()])
}

export function strictest(modes: readonly Mode[]): Mode {
  return modes.reduce((a, b) => (STRICTNESS.indexOf(b) > STRICTNESS.indexOf(a) ? b : a), 'off')
}

/** The same verdicts with the modes and stances that count in the ring. The same object where nothing changes. */
export function inRing(judgement: Judgement, ring: Ring): Judgement {
  const results = judgement.results.map((result) => resultIn(result, ring))
  return results.every((result, index) => result === judgement.results[index]) ? judgement : { results }
}

function resultIn(result: PolicyResult, { name, stanceLimit }: Ring): PolicyResult {
  const mode = modeIn(result.modes, name)
  const stance = stricterStance(result.stance, stanceLimit)
  return mode === result.mode && stance === result.stance ? result : { ...result, mode, stance }
}
