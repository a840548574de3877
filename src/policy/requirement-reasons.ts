import type { EvidenceFailure, Verified } from '../verify/types.ts'
import { NOT_MET, type Occasion } from './authority.ts'
import { requirementShape } from './describe.ts'
import { quorumOf } from './quorum.ts'
import { listText, mostTelling, reasonsOf } from './reasons.ts'
import { metUntilMs, vouchingIn, type Standing } from './requirement.ts'
import { standingOf, type Assessment } from './standing.ts'
import type { Policy, Reason, Requirement } from './types.ts'

type Threshold = Extract<Requirement, { kind: 'threshold' }>
type Part = { readonly requirement: Requirement; readonly standing: Standing }
type ReasonsOf = (authority: string) => readonly Reason[]

/** Why the requirement of a policy is not met: what is there and not enough, then why each of the others is not there. */
export function requirementReasons(
  { requirement }: Policy,
  found: {
    readonly assessment: Assessment
    readonly verified: readonly Verified[]
    readonly failures: readonly EvidenceFailure[]
  },
  occasion: Occasion,
): readonly Reason[] {
  const { assessment, verified, failures } = found
  const ofAuthority: ReasonsOf = (name) => {
    const authority = assessment.get(name)?.authority
    // Of one that nobody can ask now nothing is known to be wrong.
    if (authority === undefined || authority.unavailable !== undefined) return []
    return reasonsOf(authority, verified, failures, occasion)
  }
  return reasonsIn({ requirement, standing: standingOf(assessment) }, ofAuthority)
}

function reasonsIn({ requirement, standing }: Part, ofAuthority: ReasonsOf): readonly Reason[] {
  switch (requirement.kind) {
    case 'authority':
      return ofAuthority(requirement.name)
    case 'any':
      return requirement.of.flatMap((part) => reasonsIn({ requirement: part, standing }, ofAuthority))
    case 'all':
      return reasonsOfAll(requirement, standing, ofAuthority)
    case 'threshold':
      return reasonsOfThreshold(requirement, standing, ofAuthority)
  }
}

function reasonsOfAll(
  requirement: Extract<Requirement, { kind: 'any' | 'all' }>,
  standing: Standing,
  ofAuthority: ReasonsOf,
): readonly Reason[] {
  const { of } = requirement
  const met = of.filter((part) => metUntilMs(part, standing) > NOT_MET)
  const others = of
    .filter((part) => !met.includes(part))
    .flatMap((part) => reasonsIn({ requirement: part, standing }, ofAuthority))
  if (met.length === 0) return others
  const found = `only ${met.length} of ${of.length} (${listText(met.map(requirementShape), 'and')})`
  return [notEnough(found, requirement, others), ...others]
}

function reasonsOfThreshold(
  requirement: Threshold,
  standing: Standing,
  ofAuthority: ReasonsOf,
): readonly Reason[] {
  const { count, of } = requirement
  const satisfied = of.filter((name) => standing.untilMs(name) > NOT_MET)
  const others = of.filter((name) => !satisfied.includes(name)).flatMap(ofAuthority)
  if (satisfied.length === 0) return others
  const counted = quorumOf(vouchingIn(requirement, standing))
  // Satisfied, but by signers who count already, or by several of whom none alone is enough.
  const isShared = counted < satisfied.length ? ', each by a signer of its own' : ''
  const found = `only ${counted} of ${count}${isShared} (${listText(satisfied, 'and')})`
  return [notEnough(found, requirement, others), ...others]
}

function notEnough(found: string, requirement: Requirement, others: readonly Reason[]): Reason {
  const nearest = mostTelling(others)
  const name = nearest?.authority === undefined ? '' : `${nearest.authority}: `
  const why = nearest === undefined ? '' : `; ${name}${nearest.found}`
  return {
    code: 'not-enough',
    authority: undefined,
    found: `${found}${why}`,
    expected: requirementShape(requirement),
  }
}
