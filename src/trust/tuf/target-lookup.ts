import type { Metadata, TargetFile, Targets } from '@tufjs/models'

/**
 * Who speaks for a target (TUF specification, section 5.6.7: pre-order, depth first, ends at a terminating delegation).
 * A role that a search meets and `roles` lacks ends that search without a result, as it does for every client.
 */
export function findTarget(
  path: string,
  roles: ReadonlyMap<string, Metadata<Targets>>,
): TargetFile | undefined {
  const pending = ['targets']
  const visited = new Set<string>()
  for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
    if (visited.has(name)) continue
    visited.add(name)
    const role = roles.get(name)?.signed
    if (role === undefined) return undefined
    if (Object.hasOwn(role.targets, path)) return role.targets[path]
    const children: string[] = []
    for (const child of role.delegations?.rolesForTarget(path) ?? []) {
      children.push(child.role)
      if (!child.terminating) continue
      pending.length = 0
      break
    }
    pending.push(...children.toReversed())
  }
  return undefined
}
