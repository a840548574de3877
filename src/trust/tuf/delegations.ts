import type { Metadata, MetaFile, Root, Snapshot, Targets } from '@tufjs/models'
import { TrustError } from '../trust-error.ts'
import { DELEGATED_ROLES_MAX, DELEGATION_DEPTH_MAX, TARGETS_BYTES_MAX } from './limits.ts'
import { assertUnexpired, assertVersion, parseTargets, refusing } from './metadata.ts'
import { roleFile } from './names.ts'
import type { ReadVerified } from './read-verified.ts'
import { stateOf, type RoleState } from './role-state.ts'

export type TargetRoles = {
  /** Those that speak for targets now, by name. */
  readonly roles: ReadonlyMap<string, Metadata<Targets>>
  readonly files: readonly { readonly file: string; readonly bytes: Buffer }[]
  readonly states: readonly RoleState[]
  /** Delegated roles that are past their time: kept as files, but without a say. */
  readonly expired: readonly RoleState[]
}

export type TargetRolesInput = {
  readonly root: Metadata<Root>
  readonly snapshot: Metadata<Snapshot>
  /** Reads the top-level targets. */
  readonly top: ReadVerified
  /** Reads delegated roles. */
  readonly read: ReadVerified
  readonly at: Date
}

type Edge = {
  readonly delegator: Metadata<Root> | Metadata<Targets>
  readonly name: string
  readonly depth: number
}

type Found = {
  readonly roles: Map<string, Metadata<Targets>>
  readonly files: { file: string; bytes: Buffer }[]
  readonly states: RoleState[]
  readonly expired: RoleState[]
}

/**
 * All roles that speak for targets, from the top-level one down, each signed for by every role that delegates to it.
 * Rejects with TrustError where one is not: leaving it out would let whoever is on the way take its targets away from
 * a mirror that looks fresh. That a delegated role expired is its own signers' doing, and so is only told.
 */
export async function loadTargetRoles(input: TargetRolesInput): Promise<TargetRoles> {
  const found: Found = { roles: new Map(), files: [], states: [], expired: [] }
  const pending: Edge[] = [{ delegator: input.root, name: 'targets', depth: 0 }]
  let edges = 0
  for (let edge = pending.shift(); edge !== undefined; edge = pending.shift()) {
    edges += 1
    if (edges > DELEGATED_ROLES_MAX + 1 || edge.depth > DELEGATION_DEPTH_MAX) {
      throw new TrustError('refused', `delegations: more than ${DELEGATED_ROLES_MAX}, or too deep`)
    }
    pending.push(...(await follow(edge, input, found)))
  }
  return found
}

/** Loads the role at the end of a delegation, and answers with those that it delegates to. */
async function follow(edge: Edge, input: TargetRolesInput, found: Found): Promise<Edge[]> {
  const { delegator, name, depth } = edge
  const known = found.roles.get(name)
  if (known !== undefined) {
    // By another way than the first: the metadata is the same, the keys need not be.
    refusing(`${name}.json`, () => delegator.verifyDelegate(name, known))
    return []
  }
  const meta = input.snapshot.signed.meta[`${name}.json`]
  if (meta === undefined) {
    if (depth === 0) throw new TrustError('refused', 'snapshot.json does not list targets.json')
    // Delegated to, and not published yet.
    return []
  }
  const { file, bytes, role } = await readRole(edge, meta, input)
  const state = stateOf(name, role)
  found.files.push({ file, bytes })
  if (depth > 0 && role.signed.isExpired(input.at)) {
    found.expired.push(state)
    return []
  }
  found.states.push(state)
  found.roles.set(name, role)
  return childrenOf(role).map((child) => ({ delegator: role, name: child, depth: depth + 1 }))
}

async function readRole(
  { delegator, name, depth }: Edge,
  meta: MetaFile,
  { root, top, read, at }: TargetRolesInput,
): Promise<{ file: string; bytes: Buffer; role: Metadata<Targets> }> {
  const file = roleFile(name, meta.version, root.signed.consistentSnapshot)
  const reader = depth === 0 ? top : read
  const { bytes, value } = await reader({
    files: [file],
    bytesMax: meta.length ?? TARGETS_BYTES_MAX,
    verify: (content) => {
      meta.verify(content)
      const role = parseTargets(content)
      delegator.verifyDelegate(name, role)
      assertVersion(role, meta.version)
      if (depth === 0) assertUnexpired(role, at)
      return role
    },
  })
  return { file, bytes, role: value }
}

function childrenOf({ signed: { delegations } }: Metadata<Targets>): string[] {
  if (delegations === undefined) return []
  const { roles, succinctRoles } = delegations
  // The bins of a hash-bin delegation (TAP 15) are 2^bit_length, so they are counted before they are listed.
  if (succinctRoles !== undefined && succinctRoles.numberOfBins > DELEGATED_ROLES_MAX) {
    throw new TrustError('refused', `delegations: more than ${DELEGATED_ROLES_MAX} roles`)
  }
  return roles === undefined ? [...(succinctRoles?.getRoles() ?? [])] : Object.keys(roles)
}
