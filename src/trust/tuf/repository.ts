import type { Metadata, MetaFile, Root, Snapshot, Timestamp } from '@tufjs/models'
import { loadTargetRoles } from './delegations.ts'
import { FileSet } from './file-set.ts'
import { SNAPSHOT_BYTES_MAX, TIMESTAMP_BYTES_MAX } from './limits.ts'
import { assertUnexpired, assertVersion, parseSnapshot, parseTimestamp, refusing } from './metadata.ts'
import { roleFile } from './names.ts'
import type { ReadVerified } from './read-verified.ts'
import { stateOf, type RoleState } from './role-state.ts'
import type { RootChain } from './roots.ts'
import { readTargets } from './target-files.ts'

export type VerifiedRepository = {
  /** Timestamp, snapshot, roles and targets by their path below the repository's URL. */
  readonly files: ReadonlyMap<string, Buffer>
  /** By target path. */
  readonly targets: ReadonlyMap<string, Buffer>
  /** Of targets, by path, where there is one. */
  readonly customs: ReadonlyMap<string, unknown>
  readonly roles: readonly RoleState[]
  /** Until when clients accept it: the earliest of the four top-level roles. */
  readonly expiresAt: Date
  /** Delegated roles that had expired: clients do not take their targets, so neither do we. */
  readonly expired: readonly RoleState[]
}

export type RepositoryInput = {
  /** Its newest root is what everything is verified by. */
  readonly chain: RootChain
  /** Reads timestamp, snapshot and top-level targets: what rollback is judged by. */
  readonly top: ReadVerified
  /** Reads delegated roles and target files: the top-level ones say exactly what these must be. */
  readonly read: ReadVerified
  readonly at: Date
}

const TIMESTAMP_FILE = 'timestamp.json'

/**
 * Verifies one whole repository: every signature, version, length and hash, all delegations and all targets, and that
 * none of the four top-level roles had expired `at` that time. Rejects with TrustError.
 */
export async function verifyRepository(input: RepositoryInput): Promise<VerifiedRepository> {
  const { chain, top, read, at } = input
  const root = chain.newest
  const isConsistent = root.signed.consistentSnapshot
  const files = new FileSet(chain.files)
  refusing('root.json', () => assertUnexpired(root, at))
  const timestamp = await readTimestamp({ root, top, at })
  files.add(TIMESTAMP_FILE, timestamp.bytes)
  const snapshot = await readSnapshot({ root, top, at }, timestamp.value.signed.snapshotMeta)
  files.add(snapshot.file, snapshot.bytes)
  const roles = await loadTargetRoles({ root, top, read, at, snapshot: snapshot.value })
  for (const { file, bytes } of roles.files) files.add(file, bytes)
  const targets = new Map<string, Buffer>()
  const customs = new Map<string, unknown>()
  for await (const target of readTargets(roles.roles, { read, isConsistent })) {
    targets.set(target.path, target.bytes)
    if (target.custom !== undefined) customs.set(target.path, target.custom)
    for (const file of target.files) files.add(file, target.bytes)
  }
  const states = [
    stateOf('root', root),
    stateOf('timestamp', timestamp.value),
    stateOf('snapshot', snapshot.value),
    ...roles.states,
  ]
  // The roles below targets end only what they speak for themselves.
  const ends = states.slice(0, TOP_LEVEL_ROLES).map(({ expires }) => expires.getTime())
  const expiresAt = new Date(Math.min(...ends))
  return { files: files.all, targets, customs, roles: states, expiresAt, expired: roles.expired }
}

/** Root, timestamp, snapshot, and targets, which is always the first of its kind. */
const TOP_LEVEL_ROLES = 4

type TopLevel = Pick<RepositoryInput, 'top' | 'at'> & { readonly root: Metadata<Root> }

async function readTimestamp({
  root,
  top,
  at,
}: TopLevel): Promise<{ bytes: Buffer; value: Metadata<Timestamp> }> {
  return await top({
    files: [TIMESTAMP_FILE],
    bytesMax: TIMESTAMP_BYTES_MAX,
    verify: (bytes) => {
      const timestamp = parseTimestamp(bytes)
      root.verifyDelegate('timestamp', timestamp)
      assertUnexpired(timestamp, at)
      return timestamp
    },
  })
}

async function readSnapshot(
  { root, top, at }: TopLevel,
  meta: MetaFile,
): Promise<{ file: string; bytes: Buffer; value: Metadata<Snapshot> }> {
  const file = roleFile('snapshot', meta.version, root.signed.consistentSnapshot)
  const { bytes, value } = await top({
    files: [file],
    bytesMax: SNAPSHOT_BYTES_MAX,
    verify: (content) => {
      meta.verify(content)
      const snapshot = parseSnapshot(content)
      root.verifyDelegate('snapshot', snapshot)
      assertVersion(snapshot, meta.version)
      assertUnexpired(snapshot, at)
      return snapshot
    },
  })
  return { file, bytes, value }
}
