import { UNMATCHED } from '../policy/decide.ts'
import { DEFAULT_RING, modeIn } from '../policy/ring.ts'
import type { Policy, PolicySet } from '../policy/types.ts'
import type { RolloutStage, StageKey, StateStore } from '../store/types.ts'

/** What goes from ring to ring: a policy, or the rule that every image needs one. */
export type Rule = Pick<Policy, 'name' | 'version' | 'mode' | 'modes' | 'rollout' | 'origin'>

export function rulesOf({ policies, unmatched }: PolicySet): readonly Rule[] {
  const modes = { fallback: unmatched, byRing: new Map() }
  const rest = { version: '', mode: unmatched, modes, rollout: undefined, origin: 'policies.unmatched' }
  return [...policies, { name: UNMATCHED, ...rest }]
}

/** The order in which rings get something new: as they are configured, and those that nobody put in a ring last. */
export function ringOrder(names: readonly string[]): readonly string[] {
  return [...names.filter((name) => name !== DEFAULT_RING), DEFAULT_RING]
}

export function stageKey({ policy, ring }: StageKey): string {
  return `${policy} ${ring}`
}

/**
 * To be called with every set that comes into force: a stage begins where a policy demands something else than before, or
 * has another mode in the ring. A restart with the same policies begins none. Throws StoreError.
 */
export function noteStages(
  set: PolicySet,
  now: Date,
  {
    rings,
    state,
  }: { rings: readonly string[]; state: Pick<StateStore, 'rolloutStages' | 'changeRolloutStages'> },
): void {
  const change = changeOf(stagesAt(set, rings, now), state.rolloutStages())
  if (change.begun.length + change.ended.length > 0) state.changeRolloutStages(change)
}

function stagesAt(set: PolicySet, rings: readonly string[], since: Date): readonly RolloutStage[] {
  return rulesOf(set).flatMap(({ name, version, modes }) =>
    rings.map((ring) => ({ policy: name, ring, version, mode: modeIn(modes, ring), since })),
  )
}

function changeOf(
  current: readonly RolloutStage[],
  known: readonly RolloutStage[],
): { begun: readonly RolloutStage[]; ended: readonly StageKey[] } {
  const before = new Map(known.map((stage) => [stageKey(stage), stage]))
  const keys = new Set(current.map(stageKey))
  return {
    begun: current.filter((stage) => {
      const same = before.get(stageKey(stage))
      return same?.version !== stage.version || same.mode !== stage.mode
    }),
    ended: known.filter((stage) => !keys.has(stageKey(stage))),
  }
}
