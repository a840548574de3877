import type { Outcome, PolicyResult } from '../policy/types.ts'
import type { Decision } from './decision.ts'
import type { Logger } from './log.ts'
import type { Metrics } from './metrics.ts'

type ObservedPull = {
  readonly decision: Decision
  readonly outcome: Outcome
  readonly cache: 'warm' | 'cold'
}

/** Counts every pull, and logs those that are not simply served. */
export function observePull(deps: {
  log: Logger
  metrics: Pick<Metrics, 'pulls' | 'reasons' | 'causes'>
}): (answer: ObservedPull) => void {
  const { log, metrics } = deps
  return (answer) => {
    const { registry } = answer.decision.subject.repository
    metrics.pulls.inc(registry, outcomeLabel(answer), answer.cache)
    const results = unsatisfied(answer)
    if (results.length === 0) return
    for (const { mode, verdict } of results) {
      if (verdict.kind === 'violated')
        for (const { code } of verdict.reasons) metrics.reasons.inc({ reason: code, mode })
      if (verdict.kind === 'undetermined')
        for (const { dependency } of verdict.causes) metrics.causes.inc({ dependency, mode })
    }
    const { id, subject, results: because } = answer.decision
    log.warn(
      { event: 'pull', decision: id, ...subject, outcome: outcomeLabel(answer), results: because },
      'policy not satisfied',
    )
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
