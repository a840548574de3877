import { identityCanonical } from './identity.ts'
import { matchesString } from './matcher.ts'
import type { IdentityMatcher, Requirement, StringMatcher } from './types.ts'

/** What follows from what. Never claimed where it is not so; between two patterns it is only seen where they are equal. */

/** Whether everything that `narrow` matches is matched by `wide`. Undefined matches anything. */
function contains(wide: StringMatcher | undefined, narrow: StringMatcher | undefined): boolean {
  if (wide === undefined) return true
  if (narrow === undefined) return false
  if (narrow.kind === 'exact') return matchesString(wide, narrow.value)
  return wide.kind === 'pattern' && wide.source === narrow.source
}

/** Whether whoever `narrow` names is also named by `wide`. */
export function containsIdentity(wide: IdentityMatcher, narrow: IdentityMatcher): boolean {
  if (identityCanonical(wide) === identityCanonical(narrow)) return true
  return (
    contains(wide.issuer, narrow.issuer) &&
    contains(wide.subject, narrow.subject) &&
    wide.extensions.every(({ name, matcher }) =>
      contains(matcher, narrow.extensions.find((extension) => extension.name === name)?.matcher),
    )
  )
}

/** Whether the requirement holds where just these authorities are satisfied, together by so many signers: else each by its own. */
export function holdsWith(
  requirement: Requirement,
  satisfied: (authority: string) => boolean,
  signers = Infinity,
): boolean {
  switch (requirement.kind) {
    case 'authority':
      return satisfied(requirement.name)
    case 'any':
      return requirement.of.some((part) => holdsWith(part, satisfied, signers))
    case 'all':
      return requirement.of.every((part) => holdsWith(part, satisfied, signers))
    case 'threshold':
      return Math.min(requirement.of.filter(satisfied).length, signers) >= requirement.count
  }
}

/** Every authority that it names, each once. */
export function namedIn(requirement: Requirement): ReadonlySet<string> {
  switch (requirement.kind) {
    case 'authority':
      return new Set([requirement.name])
    case 'threshold':
      return new Set(requirement.of)
    case 'any':
    case 'all':
      return new Set(requirement.of.flatMap((part) => [...namedIn(part)]))
  }
}

export type Comparison = 'same' | 'stricter' | 'laxer' | 'different'

/** So many authorities make 4096 cases to compare. */
const COMPARED_MAX = 12

/** How `after` compares with `before`, authority for authority of the same name. */
export function compareRequirements(before: Requirement, after: Requirement): Comparison {
  const names = [...new Set([...namedIn(before), ...namedIn(after)])]
  if (names.length > COMPARED_MAX) return 'different'
  const cases = Array.from({ length: 2 ** names.length }, (_, bits) => {
    const satisfied = (name: string): boolean => ((bits >> names.indexOf(name)) & 1) === 1
    const holds = (requirement: Requirement, one: number) => holdsWith(requirement, satisfied, one + 1)
    return names.map((_name, one) => ({ before: holds(before, one), after: holds(after, one) }))
  }).flat()
  const loses = cases.some((one) => one.before && !one.after)
  const gains = cases.some((one) => !one.before && one.after)
  if (loses) return gains ? 'different' : 'stricter'
  return gains ? 'laxer' : 'same'
}
