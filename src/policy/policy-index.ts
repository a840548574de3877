import type { Glob } from './glob.ts'
import type { Policy, PolicySet, Revocation } from './types.ts'

/** A policy set that finds what is about an image without asking every one of thousands. */
export type IndexedPolicySet = PolicySet & {
  /** Of `policies` and of `revocations`: by position, so it stays good where each is replaced by one with the same globs. */
  readonly policyGlobs: GlobIndex
  readonly revocationGlobs: GlobIndex
}

/** Globs by their literal beginning. */
type GlobIndex = {
  readonly byLiteral: ReadonlyMap<string, readonly IndexedGlob[]>
  /** Of the literals, in characters, each once, ascending: a name is looked up under so many of its beginnings. */
  readonly lengths: readonly number[]
}

type IndexedGlob = { readonly glob: Glob; readonly position: number }

/** The globs of each policy and each revocation, in the order of the set. */
export type SetGlobs = {
  readonly policies: readonly (readonly Glob[])[]
  readonly revocations: readonly (readonly Glob[])[]
}

export function indexPolicies(set: PolicySet, { policies, revocations }: SetGlobs): IndexedPolicySet {
  return { ...set, policyGlobs: indexGlobs(policies), revocationGlobs: indexGlobs(revocations) }
}

/** Every policy that matches `repositoryName` (`registry/name`, canonical), by name. All of them must be satisfied. */
export function policiesFor(
  { policies, policyGlobs }: Pick<IndexedPolicySet, 'policies' | 'policyGlobs'>,
  repositoryName: string,
): readonly Policy[] {
  return positionsOf(policyGlobs, repositoryName).flatMap((position) => policies[position] ?? [])
}

/** Every revocation likewise. */
export function revocationsFor(
  { revocations, revocationGlobs }: Pick<IndexedPolicySet, 'revocations' | 'revocationGlobs'>,
  repositoryName: string,
): readonly Revocation[] {
  return positionsOf(revocationGlobs, repositoryName).flatMap((position) => revocations[position] ?? [])
}

function indexGlobs(groups: readonly (readonly Glob[])[]): GlobIndex {
  const entries = groups.flatMap((globs, position) => globs.map((glob) => ({ glob, position })))
  const byLiteral = Map.groupBy(entries, ({ glob }) => glob.literal)
  const lengths = new Set([...byLiteral.keys()].map(({ length }) => length))
  return { byLiteral, lengths: [...lengths].toSorted((a, b) => a - b) }
}

function positionsOf({ byLiteral, lengths }: GlobIndex, repositoryName: string): readonly number[] {
  const found: number[] = []
  for (const length of lengths) {
    if (length > repositoryName.length) break
    for (const { glob, position } of byLiteral.get(repositoryName.slice(0, length)) ?? []) {
      if (glob.matches(repositoryName)) found.push(position)
    }
  }
  // Several globs of one policy may match.
  return found.toSorted((a, b) => a - b).filter((position, index, all) => position !== all[index - 1])
}
