import type { Outcome, PolicyResult } from '../policy/types.ts'
import type { Decision } from './decision.ts'
import type { Metrics } from './metrics.ts'

type ObservedPull = {
  readonly decision: Decision
  readonly outcome: Outcome
  readonly cache: 'warm' | 'cold'
}

/** Counts every pull; what was decided and why is in the decision's own event. */
export function observePull(
  metrics: Pick<Metrics, 'pulls' | 'reasons' | 'causes' | 'pullDuration'>,
): (answer: ObservedPull, ms: number) => void {
  return (answer, ms) => {
    const { registry } = answer.decision.subject.repository
    metrics.pulls.inc(registry, outcomeLabel(answer), answer.cache)
    metrics.pullDuration.observe({ cache: answer.cache }, ms / 1000)
    for (const { mode, verdict } of unsatisfied(answer)) {
      if (verdict.kind === 'violated')
        for (const { code } of verdict.reasons) metrics.reasons.inc({ reason: code, mode })
      if (verdict.kind === 'undetermined')
        for (const { dependency } of verdict.causes) metrics.causes.inc({ dependency, mode })
    }
  }
}

function unsatisfied({ outcome }: ObservedPull): readonly PolicyResult[] {
  return outcome.kind === 'serve' ? outcome.warnings : [...outcome.by, ...outcome.warnings]
}

function outcomeLabel({ outcome }: ObservedPull): string {
  if (outcome.kind !== 'serve' || outcome.warnings.length === 0) return outcome.kind
  const violated = outcome.warnings.some(({ verdict }) => verdict.kind === 'violated')
  return violated ? 'would_refuse' : 'would_hold'
}
