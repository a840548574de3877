import { authorityText, demandText, durationText, listed, modesText, requirementShape } from './describe.ts'
import { authorityDifferences } from './diff-authority.ts'
import {
  byRank,
  different,
  laxer,
  listDifferences,
  stricter,
  type Change,
  type Difference,
  type Direction,
} from './diff-change.ts'
import { revocationChanges, type RevocationEntry } from './diff-revocation.ts'
import { globEntry, globsText, modeDifferences, rankOf, runbookDifferences } from './diff-rule.ts'
import type { Glob } from './glob.ts'
import { examplesOf } from './glob-witness.ts'
import { compareRequirements } from './implication.ts'
import { stricterStance } from './stance.ts'
import type { Mode, Policy, Requirement, RolloutCriteria } from './types.ts'

/** Two policy sets, and what becomes stricter, laxer or just different from the one to the other. */

export type PolicySide = {
  readonly policies: readonly { readonly policy: Policy; readonly globs: readonly Glob[] }[]
  readonly revocations: readonly RevocationEntry[]
  readonly unmatched: Mode
  /** Of the set: where it differs, no change may go untold. */
  readonly version: string
}

/** Where versions differ and nothing else here sees why. */
const UNTOLD = 'differs in a way that has no words here'

type Entry = PolicySide['policies'][number]

/** Every change, by policy. Empty exactly where the sets mean the same. */
export function diffPolicies(before: PolicySide, after: PolicySide): readonly Change[] {
  const changes = [
    ...unmatchedChange(before, after),
    ...policyChanges(before, after),
    ...revocationChanges(before.revocations, after.revocations),
  ]
  if (changes.length > 0 || before.version === after.version) return changes
  return [{ policy: 'set', direction: 'different', text: UNTOLD }]
}

function unmatchedChange(before: PolicySide, after: PolicySide): readonly Change[] {
  if (before.unmatched === after.unmatched) return []
  const direction = byRank(rankOf(before.unmatched), rankOf(after.unmatched))
  const text = `images without a policy go from ${before.unmatched} to ${after.unmatched}`
  return [{ policy: 'unmatched', direction, text }]
}

function policyChanges(before: PolicySide, after: PolicySide): readonly Change[] {
  const { gone, come } = listDifferences(before.policies.map(keyed), after.policies.map(keyed))
  return [
    ...gone.flatMap(({ entry }) => removedPolicy(entry, after)),
    ...come.flatMap(({ entry }) => addedPolicy(entry, before)),
    ...after.policies.flatMap((now) => {
      const old = before.policies.find(({ policy }) => policy.name === now.policy.name)
      if (old === undefined) return []
      const differences = [
        ...globDifferences(old, now, { before, after }),
        ...policyDifferences(old.policy, now.policy),
      ]
      const told = differences.length > 0 || old.policy.version === now.policy.version
      return (told ? differences : [different(UNTOLD)]).map((difference) => ({
        policy: now.policy.name,
        ...difference,
      }))
    }),
  ]
}

function keyed(entry: Entry): { readonly key: string; readonly text: string; readonly entry: Entry } {
  return { key: entry.policy.name, text: entry.policy.name, entry }
}

function removedPolicy({ policy, globs }: Entry, after: PolicySide): readonly Change[] {
  const { name, mode } = policy
  const lost = lostOf(globs, () => false)
  const orphans = orphansOf(lost, after)
  const covered = globs.filter((glob) => !orphans.some((orphan) => orphan.glob === glob))
  const text = `is gone: ${globsText(covered)} no longer ${needs(covered)} ${demandText(policy)}`
  const differences: readonly Difference[] = [
    ...(covered.length === 0 ? [] : [mode === 'off' ? different(text) : laxer(text)]),
    ...orphaned(orphans, { was: mode, is: after.unmatched }).map((difference) => ({
      ...difference,
      text: `is gone: ${difference.text}`,
    })),
  ]
  return differences.map((difference) => ({ policy: name, ...difference }))
}

function needs(globs: readonly Glob[]): string {
  return globs.length === 1 ? 'needs' : 'need'
}

/** A glob that does not match all that it did, and examples of that. */
type Lost = { readonly glob: Glob; readonly examples: readonly string[]; readonly isWhole: boolean }

function lostOf(globs: readonly Glob[], isMatched: (repositoryName: string) => boolean): readonly Lost[] {
  return globs.flatMap((glob) => {
    const all = examplesOf(glob)
    const examples = all.filter((name) => !isMatched(name))
    return examples.length === 0 ? [] : [{ glob, examples, isWhole: examples.length === all.length }]
  })
}

/** What only the rule for images without a policy is left for. */
function orphansOf(lost: readonly Lost[], { policies }: Pick<PolicySide, 'policies'>): readonly Lost[] {
  return lost.flatMap(({ glob, examples, isWhole }) => {
    const alone = examples.filter((name) => !policies.some(({ policy }) => policy.matches(name)))
    return alone.length === 0
      ? []
      : [{ glob, examples: alone, isWhole: isWhole && alone.length === examples.length }]
  })
}

function orphaned(
  lost: readonly Lost[],
  { was, is }: { readonly was: Mode; readonly is: Mode },
): readonly Difference[] {
  if (lost.length === 0) return []
  // Nothing satisfies the rule.
  const direction = is === 'enforce' ? 'stricter' : byRank(rankOf(was), rankOf(is))
  const text = `images ${lostText(lost)} are no longer matched by any policy: rule unmatched (${is}) applies`
  return [{ direction, text }]
}

function lostText(lost: readonly Lost[]): string {
  const texts = lost.map(({ glob, examples, isWhole }) =>
    isWhole ? glob.source : `${glob.source} (some of them, such as ${examples[0]})`,
  )
  return listed(texts, 'and')
}

function addedPolicy({ policy, globs }: Entry, before: PolicySide): readonly Change[] {
  const { name, modes, mode } = policy
  const isFreed = freesSome(globs, before)
  const demand = `is new (${modesText(modes)}): ${globsText(globs)} ${needs(globs)} ${demandText(policy)}`
  const text = isFreed ? `${demand}; ${FREED}` : demand
  return [{ policy: name, direction: isFreed ? 'laxer' : mode === 'off' ? 'different' : 'stricter', text }]
}

const FREED = 'images without a policy were refused before'

/** Whether the globs match images that nothing matched: whatever is asked of them, it can be had. */
function freesSome(globs: readonly Glob[], before: PolicySide): boolean {
  const matched = lostOf(globs, () => false)
  return before.unmatched === 'enforce' && orphansOf(matched, before).length > 0
}

function globDifferences(
  before: Entry,
  after: Entry,
  sets: { readonly before: PolicySide; readonly after: PolicySide },
): readonly Difference[] {
  const { gone, come } = listDifferences(before.globs.map(globEntry), after.globs.map(globEntry))
  const lost = lostOf(
    gone.map(({ glob }) => glob),
    (name) => after.policy.matches(name),
  )
  const orphans = orphansOf(lost, sets.after)
  const others = lost.filter(({ glob }) => !orphans.some((orphan) => orphan.glob === glob))
  const still = gone.filter(({ glob }) => !lost.some((one) => one.glob === glob))
  return [
    ...still.map(({ text }) => different(`the glob ${text} is gone, and others match the same images`)),
    ...(others.length === 0
      ? []
      : [laxer(`images ${lostText(others)} are no longer matched; other policies still match them`)]),
    ...orphaned(orphans, { was: before.policy.mode, is: sets.after.unmatched }),
    ...come.map(({ glob, text }) => {
      if (lostOf([glob], (name) => before.policy.matches(name)).length === 0)
        return different(`the glob ${text} is new, and its images were matched before`)
      const matched = `images ${text} are matched, too`
      return freesSome([glob], sets.before) ? laxer(`${matched}; ${FREED}`) : stricter(matched)
    }),
  ]
}

function policyDifferences(before: Policy, after: Policy): readonly Difference[] {
  return [
    ...modeDifferences(before.modes, after.modes),
    ...stanceDifferences(before, after),
    ...budgetDifferences(before, after),
    ...requirementDifferences(before, after),
    ...after.authorities.flatMap((authority) => {
      const old = before.authorities.find(({ name }) => name === authority.name)
      return old === undefined ? [] : authorityDifferences(old, authority)
    }),
    ...rolloutDifferences(before.rollout, after.rollout),
    ...runbookDifferences(before, after),
  ]
}

function stanceDifferences({ stance: was }: Policy, { stance: is }: Policy): readonly Difference[] {
  if (was === is) return []
  const text = `the stance goes from ${was} to ${is}`
  return [stricterStance(was, is) === is ? stricter(text) : laxer(text)]
}

/** Neither stricter nor laxer: the verdict is the same, and what the stance makes of a late one differs. */
function budgetDifferences(before: Policy, after: Policy): readonly Difference[] {
  if (before.verifyBudgetMs === after.verifyBudgetMs) return []
  const [was, is] = [before, after].map(({ verifyBudgetMs: ms }) =>
    ms === undefined ? 'none' : durationText(ms),
  )
  return [different(`the budget for the verdict goes from ${was} to ${is}`)]
}

/** New and dropped authorities mean what the requirement makes of them: an alternative more, or one more thing to have. */
function requirementDifferences(before: Policy, after: Policy): readonly Difference[] {
  const comparison = compareRequirements(before.requirement, after.requirement)
  const { gone, come } = listDifferences(
    before.authorities.map(authorityEntry),
    after.authorities.map(authorityEntry),
  )
  const isPlain = isAnyOfAll(before) && isAnyOfAll(after)
  const direction: Direction = comparison === 'same' || !isPlain ? 'different' : comparison
  const [was, is] = [before, after].map(({ requirement }) => requirementShape(requirement))
  const isReshaped = !isPlain && (comparison !== 'same' || was !== is)
  const shape = `requires now "${is}", and no longer "${was}"`
  return [
    ...gone.map(({ text }) => ({ direction, text: `is no longer satisfied by ${text}` })),
    ...come.map(({ text }) => ({
      direction,
      text: `${isPlain ? 'is also satisfied by' : 'has the new authority:'} ${text}`,
    })),
    ...(isReshaped
      ? [{ direction: comparison === 'same' ? 'different' : comparison, text: shape } as const]
      : []),
  ]
}

function authorityEntry(authority: Policy['authorities'][number]): {
  readonly key: string
  readonly text: string
} {
  return { key: authority.name, text: `${authorityText(authority)} [${authority.name}]` }
}

/** What a policy without `require` means. */
function isAnyOfAll({ requirement, authorities }: Policy): boolean {
  const isAlternative = (part: Requirement): boolean => part.kind === 'authority'
  if (requirement.kind === 'authority') return authorities.length === 1
  if (requirement.kind !== 'any' || !requirement.of.every(isAlternative)) return false
  return requirement.of.length === authorities.length
}

const CRITERIA = [
  ['minDays', 'days', 1],
  ['minPulls', 'pulls', 1],
  ['minImages', 'images', 1],
  ['maxWouldBlocks', 'images that would be blocked at most', -1],
] as const satisfies readonly (readonly [keyof RolloutCriteria, string, number])[]

/** They change no verdict, but when a ring may be promoted. */
function rolloutDifferences(
  before: RolloutCriteria | undefined,
  after: RolloutCriteria | undefined,
): readonly Difference[] {
  if (before === undefined && after === undefined) return []
  if (before === undefined) return [stricter('promotion to the next ring has criteria')]
  if (after === undefined) return [laxer('promotion to the next ring has no criteria any more')]
  return CRITERIA.flatMap(([key, name, sign]) => {
    const [was, is] = [before[key], after[key]]
    if (was === is) return []
    return [
      {
        direction: byRank(sign * was, sign * is),
        text: `promotion needs ${is} ${name}, and no longer ${was}`,
      },
    ]
  })
}
