import type { Judgement, Outcome, PolicyResult } from './types.ts'

/**
 * What the client gets. Every policy in mode enforce must be satisfied: a violation refuses, and beats an undetermined
 * verdict, which holds. In mode observe both only warn, and a policy that is off says nothing.
 */
export function enforce({ results }: Judgement): Outcome {
  const warnings = results.filter(
    (result) => result.mode === 'observe' && result.verdict.kind !== 'satisfied',
  )
  const violated = enforced(results, 'violated')
  if (violated.length > 0) return { kind: 'refuse', by: violated, warnings }
  const undetermined = enforced(results, 'undetermined')
  if (undetermined.length > 0) return { kind: 'hold', by: undetermined, warnings }
  return { kind: 'serve', warnings }
}

function enforced(
  results: readonly PolicyResult[],
  kind: PolicyResult['verdict']['kind'],
): readonly PolicyResult[] {
  return results.filter((result) => result.mode === 'enforce' && result.verdict.kind === kind)
}
