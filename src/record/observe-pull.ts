import type { Admission, Outcome, PolicyResult } from '../policy/types.ts'
import type { Decision } from './decision.ts'
import type { Metrics } from './metrics.ts'

type ObservedPull = {
  readonly decision: Decision
  readonly outcome: Outcome
  readonly cache: 'warm' | 'cold'
}

/** Counts every pull; what was decided and why is in the decision's own event. */
export function observePull(
  metrics: Pick<Metrics, 'pulls' | 'reasons' | 'causes' | 'pullLatency' | 'admitted'>,
): (answer: ObservedPull, ms: number) => void {
  return (answer, ms) => {
    const { repository, ring } = answer.decision.subject
    metrics.pulls.inc(repository.registry, outcomeLabel(answer), answer.cache, ring)
    metrics.pullLatency.observe(answer.cache, ms)
    const stance = admittingStance(answer)
    if (stance !== undefined) metrics.admitted.inc({ stance })
    for (const { mode, verdict } of unsatisfied(answer)) {
      if (verdict.kind === 'violated')
        for (const { code } of verdict.reasons) metrics.reasons.inc({ reason: code, mode })
      if (verdict.kind === 'undetermined')
        for (const { dependency } of verdict.causes) metrics.causes.inc({ dependency, mode })
    }
  }
}

function unsatisfied({ outcome }: ObservedPull): readonly PolicyResult[] {
  if (outcome.kind !== 'serve') return [...outcome.by, ...outcome.warnings]
  return [...outcome.admitted.map(({ result }) => result), ...outcome.warnings]
}

function admittingStance({ outcome }: ObservedPull): Admission['by'] | undefined {
  if (outcome.kind !== 'serve' || outcome.admitted.length === 0) return undefined
  return outcome.admitted.some(({ by }) => by === 'open') ? 'open' : 'last-verified'
}

function outcomeLabel({ outcome }: ObservedPull): string {
  if (outcome.kind !== 'serve') return outcome.kind
  if (outcome.admitted.length > 0) return 'admitted'
  if (outcome.warnings.length === 0) return outcome.kind
  const violated = outcome.warnings.some(({ verdict }) => verdict.kind === 'violated')
  return violated ? 'would_refuse' : 'would_hold'
}
