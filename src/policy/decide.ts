import { factVersionsOf } from './fact-versions.ts'
import { revokedBy } from './revocation.ts'
import type {
  Admission,
  Judgement,
  Mode,
  Outcome,
  Policy,
  PolicyResult,
  Reason,
  Revocation,
} from './types.ts'
import { verdictOf, type JudgedBy } from './verdict.ts'

/** All that is known of one digest in one repository. */
export type DecisionInput = JudgedBy & {
  /** Every policy that matches the repository; may be empty. */
  readonly policies: readonly Policy[]
  /** Every revocation likewise. */
  readonly revocations: readonly Revocation[]
  /** Mode of the rule that every image needs a policy. */
  readonly unmatched: Mode
}

/** The name under which the rule for images without a policy judges. */
export const UNMATCHED = 'unmatched'

const NO_POLICY: Reason = {
  code: 'no-policy',
  authority: undefined,
  found: 'no policy matches this image',
  expected: 'a policy that says who may sign it',
}

/** Judges by every policy alone. What a revocation names comes first, and nothing that a policy finds outweighs it. */
export function decide(input: DecisionInput): Judgement {
  const revoked = revokedBy(input.revocations, input)
  const results = input.policies.map((policy) => resultOf(policy, input))
  return { results: [...revoked, ...(results.length > 0 ? results : [judgeUnmatched(input)])] }
}

function resultOf(policy: Policy, input: DecisionInput): PolicyResult {
  const { name, version, mode, modes, stance, runbook } = policy
  const verdict = verdictOf(policy, input)
  const factVersions = factVersionsOf(policy, verdict, input)
  return { policy: name, version, factVersions, mode, modes, stance, runbook, verdict }
}

function judgeUnmatched({ unmatched, manifestReasons }: DecisionInput): PolicyResult {
  return {
    policy: UNMATCHED,
    version: '',
    mode: unmatched,
    modes: { fallback: unmatched, byRing: new Map() },
    stance: 'closed',
    runbook: undefined,
    verdict: { kind: 'violated', reasons: [...manifestReasons, NO_POLICY] },
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
