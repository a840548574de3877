import type { EvidenceFailure, Verified } from '../verify/types.ts'
import { satisfiedBy } from './authority.ts'
import { reasonsOf } from './reasons.ts'
import type { Cause, Judgement, Mode, Outcome, Policy, PolicyResult, Reason, Verdict } from './types.ts'

/** All that is known of one digest in one repository. */
export type DecisionInput = {
  /** Every policy that matches the repository; may be empty. */
  readonly policies: readonly Policy[]
  /** Mode of the rule that every image needs a policy. */
  readonly unmatched: Mode
  readonly verified: readonly Verified[]
  /** Evidence that proves nothing, and why. */
  readonly failures: readonly EvidenceFailure[]
  /** What could not be had, so that its absence proves nothing. */
  readonly missing: readonly Cause[]
  /** What the manifest itself is guilty of: no signature mends that. */
  readonly manifestReasons: readonly Reason[]
}

/** The name under which the rule for images without a policy judges. */
export const UNMATCHED = 'unmatched'

const NO_POLICY: Reason = {
  code: 'no-policy',
  authority: undefined,
  found: 'no policy matches this image',
  expected: 'a policy that says who may sign it',
}

/** Judges by every policy alone. Facts about bytes beat facts about the world; neither beats valid evidence. */
export function decide(input: DecisionInput): Judgement {
  const results = input.policies.map((policy) => ({
    policy: policy.name,
    mode: policy.mode,
    runbook: policy.runbook,
    verdict: judge(policy, input),
  }))
  return { results: results.length > 0 ? results : [judgeUnmatched(input)] }
}

function judgeUnmatched({ unmatched, manifestReasons }: DecisionInput): Judgement['results'][number] {
  const reasons = [...manifestReasons, NO_POLICY]
  return { policy: UNMATCHED, mode: unmatched, runbook: undefined, verdict: { kind: 'violated', reasons } }
}

function judge(policy: Policy, input: DecisionInput): Verdict {
  const { verified, failures, missing, manifestReasons } = input
  if (manifestReasons.length > 0) return { kind: 'violated', reasons: manifestReasons }
  const by = policy.authorities.flatMap((authority) => satisfiedBy(authority, verified))
  if (by.length > 0) return { kind: 'satisfied', by }
  // Valid evidence may be among what could not be had, so nothing is violated yet.
  if (missing.length > 0) return { kind: 'undetermined', causes: missing }
  return {
    kind: 'violated',
    reasons: policy.authorities.flatMap((authority) => reasonsOf(authority, verified, failures)),
  }
}

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
