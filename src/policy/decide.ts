import type { EvidenceFailure, Verified } from '../verify/types.ts'
import { satisfiedBy, untimedCause } from './authority.ts'
import { factVersionsOf } from './fact-versions.ts'
import { reasonsOf } from './reasons.ts'
import type {
  Admission,
  Cause,
  Judgement,
  Mode,
  Outcome,
  Policy,
  PolicyResult,
  Reason,
  Verdict,
} from './types.ts'

/** What could not be had. Where policies are named, it is of no account to the others. */
export type MissingCause = Cause & { readonly policies?: readonly string[] }

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
  readonly missing: readonly MissingCause[]
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
  const results = input.policies.map((policy) => {
    const { name, version, mode, stance, runbook } = policy
    const verdict = judge(policy, input)
    const factVersions = factVersionsOf(policy, verdict)
    return { policy: name, version, factVersions, mode, stance, runbook, verdict }
  })
  return { results: results.length > 0 ? results : [judgeUnmatched(input)] }
}

function judgeUnmatched({ unmatched, manifestReasons }: DecisionInput): PolicyResult {
  const verdict = { kind: 'violated', reasons: [...manifestReasons, NO_POLICY] } as const
  return { policy: UNMATCHED, version: '', mode: unmatched, stance: 'closed', runbook: undefined, verdict }
}

function judge(policy: Policy, input: DecisionInput): Verdict {
  const { verified, failures, missing, manifestReasons } = input
  if (manifestReasons.length > 0) return { kind: 'violated', reasons: manifestReasons }
  const by = policy.authorities.flatMap((authority) => satisfiedBy(authority, verified))
  if (by.length > 0) return { kind: 'satisfied', by }
  // Valid evidence may be among what could not be had, or be that of an authority that nobody can ask now.
  const causes = [
    ...missing.filter(({ policies }) => policies === undefined || policies.includes(policy.name)),
    ...policy.authorities.flatMap(({ unavailable }) => unavailable ?? []),
    ...policy.authorities.flatMap((authority) => untimedCause(authority, verified) ?? []),
  ]
  if (causes.length > 0) return { kind: 'undetermined', causes }
  return {
    kind: 'violated',
    reasons: policy.authorities.flatMap((authority) => reasonsOf(authority, verified, failures)),
  }
}

/** What is known beside the judgement, asked only where a stance needs it. */
export type StanceContext = {
  /** Whether this image satisfied this version of this policy before, and not too long ago: one of `factVersions`. */
  wasSatisfied(result: PolicyResult): boolean
  /** Whether the budget of stance `open` has room for this image. */
  mayOpen(): boolean
}

/** Nothing is known and nothing may be spent: every stance is `closed`. */
const CLOSED: StanceContext = { wasSatisfied: () => false, mayOpen: () => false }

/**
 * What the client gets. Every policy in mode enforce must be satisfied: a violation refuses, and beats an undetermined
 * verdict, which holds unless the policy's stance admits it. In mode observe both only warn; a policy that is off says
 * nothing.
 */
export function enforce({ results }: Judgement, context: StanceContext = CLOSED): Outcome {
  const warnings = results.filter(
    (result) => result.mode === 'observe' && result.verdict.kind !== 'satisfied',
  )
  const violated = enforced(results, 'violated')
  if (violated.length > 0) return { kind: 'refuse', by: violated, warnings }
  const admitted: Admission[] = []
  const held: PolicyResult[] = []
  for (const result of enforced(results, 'undetermined')) {
    const by = admittingStance(result, context)
    if (by === undefined) held.push(result)
    else admitted.push({ result, by })
  }
  if (held.length > 0) return { kind: 'hold', by: held, warnings }
  return { kind: 'serve', warnings, admitted }
}

/** `open` also does what `last-verified` does, and first, because that spends nothing. */
function admittingStance(result: PolicyResult, context: StanceContext): Admission['by'] | undefined {
  if (result.stance === 'closed' || !isOutage(result)) return undefined
  const { factVersions = [result.version] } = result
  if (factVersions.some((version) => context.wasSatisfied({ ...result, version }))) return 'last-verified'
  return result.stance === 'open' && !isClientMade(result) && context.mayOpen() ? 'open' : undefined
}

/** Whoever makes evidence can make it too large or too much to verify: were that let pass, nobody need wait for an outage. */
function isOutage({ verdict }: PolicyResult): boolean {
  if (verdict.kind !== 'undetermined' || verdict.causes.length === 0) return false
  return verdict.causes.every(({ dependency }) => dependency !== 'verifier')
}

/** Whoever pulls often enough uses up a rate limit, or the time of others: what was never verified must not pass by that. */
function isClientMade({ verdict }: PolicyResult): boolean {
  if (verdict.kind !== 'undetermined') return false
  return verdict.causes.some(({ dependency }) => dependency === 'rate-limit' || dependency === 'deadline')
}

function enforced(
  results: readonly PolicyResult[],
  kind: PolicyResult['verdict']['kind'],
): readonly PolicyResult[] {
  return results.filter((result) => result.mode === 'enforce' && result.verdict.kind === kind)
}
