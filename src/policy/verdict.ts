import type { EvidenceFailure, Verified } from '../verify/types.ts'
import { isGone, untimedCause, type Occasion } from './authority.ts'
import { requirementReasons } from './requirement-reasons.ts'
import { assess, couldBeMet, satisfactionOf } from './standing.ts'
import type { Authority, Cause, Policy, Reason, Verdict } from './types.ts'

/** What could not be had. Where policies are named, it is of no account to the others. */
export type MissingCause = Cause & { readonly policies?: readonly string[] }

/** What a policy judges by. */
export type JudgedBy = Occasion & {
  readonly verified: readonly Verified[]
  /** Evidence that proves nothing, and why. */
  readonly failures: readonly EvidenceFailure[]
  /** What could not be had, so that its absence proves nothing. */
  readonly missing: readonly MissingCause[]
  /** What the manifest itself is guilty of: no signature mends that. */
  readonly manifestReasons: readonly Reason[]
}

/** Facts about bytes beat facts about the world; neither beats valid evidence. */
export function verdictOf(policy: Policy, input: JudgedBy): Verdict {
  const { verified, failures, manifestReasons } = input
  if (manifestReasons.length > 0) return { kind: 'violated', reasons: manifestReasons }
  const assessment = assess(policy, verified, input)
  const satisfied = satisfactionOf(policy, assessment)
  if (satisfied !== undefined) return satisfied
  const doubts = doubtsOf(policy, input)
  if (couldBeMet(policy, assessment, new Set(doubts.map(({ authority }) => authority)))) {
    return { kind: 'undetermined', causes: [...new Set(doubts.flatMap(({ causes }) => causes))] }
  }
  return { kind: 'violated', reasons: requirementReasons(policy, { assessment, verified, failures }, input) }
}

type Doubt = { readonly authority: string; readonly causes: readonly Cause[] }

/** The authorities of which nobody can say now that they are not satisfied, and why. */
function doubtsOf({ name, authorities }: Policy, input: JudgedBy): readonly Doubt[] {
  const missing = input.missing.filter(({ policies }) => policies === undefined || policies.includes(name))
  return authorities.flatMap((authority) => {
    const causes = [...(isOpen(authority) ? missing : []), ...ownCauses(authority, input)]
    return causes.length === 0 ? [] : [{ authority: authority.name, causes }]
  })
}

/** Whether there could be evidence that satisfies it. */
function isOpen(authority: Authority): boolean {
  return authority.signer.kind !== 'static' && !isGone(authority)
}

/** Valid evidence may be that of an authority that nobody can ask now. */
function ownCauses(authority: Authority, { verified, image, now }: JudgedBy): readonly Cause[] {
  const causes = [authority.unavailable, untimedCause(authority, verified, { image, now })]
  return causes.filter((cause) => cause !== undefined)
}
