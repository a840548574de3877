import { prefixesOf, type Glob } from './glob.ts'
import type { Policy, PolicySet } from './types.ts'

/** A policy set that finds the policies of an image without asking every one of them. */
export type IndexedPolicySet = PolicySet & {
  /** Policies by the literal prefix of their globs: ``, `ghcr.io` or `ghcr.io/acme`. In the order of the set. */
  readonly byPrefix: ReadonlyMap<string, readonly Policy[]>
}

export function indexPolicies(
  set: PolicySet,
  entries: readonly { policy: Policy; globs: readonly Glob[] }[],
): IndexedPolicySet {
  const byPrefix = new Map<string, Policy[]>()
  for (const { policy, globs } of entries) {
    for (const prefix of new Set(globs.map((glob) => glob.prefix))) {
      const policies = byPrefix.get(prefix) ?? []
      policies.push(policy)
      byPrefix.set(prefix, policies)
    }
  }
  return { ...set, byPrefix }
}

/** Every policy that matches `repositoryName` (`registry/name`, canonical), by name. All of them must be satisfied. */
export function policiesFor(set: IndexedPolicySet, repositoryName: string): readonly Policy[] {
  const candidates = prefixesOf(repositoryName).flatMap((prefix) => set.byPrefix.get(prefix) ?? [])
  const matching = [...new Set(candidates)].filter((policy) => policy.matches(repositoryName))
  return matching.toSorted((a, b) => (a.name < b.name ? -1 : 1))
}
