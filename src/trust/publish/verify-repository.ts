import { hash } from 'node:crypto'
import type { Metadata, Root, Snapshot, TargetFile, Targets, Timestamp } from '@tufjs/models'
import { PublishError, reasonOf } from './error.ts'
import { hasOwnId } from './key.ts'
import { rootPath, snapshotPath, targetPath, targetsPath, TIMESTAMP_PATH } from './layout.ts'
import { readRoot, readSnapshot, readTargets, readTimestamp, type RoleName, type Signed } from './metadata.ts'

/** What is served, by path. */
export type Files = ReadonlyMap<string, Buffer>

/** Everything that a client gets after the root. */
export type Release = {
  readonly timestamp: Metadata<Timestamp>
  readonly snapshot: Metadata<Snapshot>
  readonly targets: Metadata<Targets>
}

/** A repository that a client which started at version 1 has accepted. `roots` is never empty. */
export type Verified = {
  readonly root: Metadata<Root>
  readonly roots: readonly Metadata<Root>[]
  /** Undefined until the first targets are published. */
  readonly release: Release | undefined
}

/**
 * Does what a strict client does that knows version 1 (TUF specification 5.3 to 5.7), expiry apart: see `expiries`.
 * Throws PublishError `invalid`, and `conflict` where no root is published yet.
 */
export function verifyRepository(files: Files): Verified {
  const roots = verifyRoots(files)
  const root = roots.at(-1)
  if (root === undefined) throw new PublishError('conflict', 'no root is published yet')
  return { root, roots, release: verifyRelease(files, root) }
}

/** The chain from version 1: each one signed by the threshold of itself and of the one before it (5.3.4). */
export function verifyRoots(files: Files): readonly Metadata<Root>[] {
  const roots: Metadata<Root>[] = []
  for (let version = 1; ; version += 1) {
    const bytes = files.get(rootPath(version))
    if (bytes === undefined) return roots
    const root = readRoot(rootPath(version), bytes)
    if (root.signed.version !== version)
      throw invalid(rootPath(version), `says version ${root.signed.version}`)
    checkKeys(root)
    verifyRole(root, 'root', root)
    const before = roots.at(-1)
    if (before !== undefined) verifyRole(before, 'root', root)
    roots.push(root)
  }
}

/** Keys under their own IDs, and no role with a key that is not listed: go-tuf refuses the latter. */
export function checkKeys({ signed }: Metadata<Root>): void {
  const name = rootPath(signed.version)
  for (const key of Object.values(signed.keys)) {
    if (!hasOwnId(key))
      throw invalid(
        name,
        `lists a key under ${key.keyID}, which is not its hash in the form that tools agree on`,
      )
  }
  for (const [role, { keyIDs }] of Object.entries(signed.roles)) {
    const unlisted = keyIDs.find((id) => signed.keys[id] === undefined)
    if (unlisted !== undefined) throw invalid(name, `role ${role} names ${unlisted}, which is not listed`)
  }
  if (!signed.consistentSnapshot) throw invalid(name, 'has no consistent snapshots')
}

/** Throws PublishError `invalid` unless the role's threshold signed. */
function verifyRole(root: Metadata<Root>, role: RoleName, metadata: Metadata<Signed>): void {
  try {
    root.verifyDelegate(role, metadata)
  } catch (error) {
    throw invalid(
      `${metadata.signed.version}.${role}.json`,
      `${reasonOf(error)} of ${rootPath(root.signed.version)}`,
    )
  }
}

export function isSignedBy(root: Metadata<Root>, role: RoleName, metadata: Metadata<Signed>): boolean {
  try {
    root.verifyDelegate(role, metadata)
    return true
  } catch {
    return false
  }
}

/**
 * What the next release builds on: as `verifyRepository`, or, where a run was killed between a root that took a lost key
 * away and the timestamp after it, the release as the root before allowed it. Throws like `verifyRepository`.
 */
export function verifyForRelease(files: Files): Verified {
  try {
    return verifyRepository(files)
  } catch (error) {
    const roots = verifyRoots(files)
    const [before, root] = roots.slice(-2)
    if (before === undefined || root === undefined) throw error
    return { root, roots, release: verifyRelease(files, before) }
  }
}

/** Undefined where there is no timestamp. */
function verifyRelease(files: Files, root: Metadata<Root>): Release | undefined {
  const bytes = files.get(TIMESTAMP_PATH)
  if (bytes === undefined) return undefined
  const timestamp = readTimestamp(TIMESTAMP_PATH, bytes)
  verifyRole(root, 'timestamp', timestamp)
  const { snapshotMeta } = timestamp.signed
  const snapshotName = snapshotPath(snapshotMeta.version)
  const snapshotBytes = needed(files, snapshotName)
  matches(snapshotName, () => snapshotMeta.verify(snapshotBytes))
  const snapshot = readSnapshot(snapshotName, snapshotBytes)
  verifyRole(root, 'snapshot', snapshot)
  const targetsMeta = snapshot.signed.meta['targets.json']
  if (targetsMeta === undefined) throw invalid(snapshotName, 'lists no targets.json')
  const targetsName = targetsPath(targetsMeta.version)
  const targetsBytes = needed(files, targetsName)
  matches(targetsName, () => targetsMeta.verify(targetsBytes))
  const targets = readTargets(targetsName, targetsBytes)
  verifyRole(root, 'targets', targets)
  sameVersion(snapshotName, snapshot.signed.version, snapshotMeta.version)
  sameVersion(targetsName, targets.signed.version, targetsMeta.version)
  for (const target of Object.values(targets.signed.targets)) verifyTarget(files, target)
  return { timestamp, snapshot, targets }
}

function verifyTarget(files: Files, target: TargetFile): void {
  const path = targetPath(target)
  const bytes = needed(files, path)
  if (bytes.length !== target.length || hash('sha256', bytes, 'hex') !== target.hashes['sha256']) {
    throw invalid(path, 'is not what the targets metadata lists')
  }
}

function sameVersion(name: string, found: number, expected: number): void {
  if (found !== expected) throw invalid(name, `says version ${found}`)
}

function matches(name: string, check: () => void): void {
  try {
    check()
  } catch (error) {
    throw invalid(name, reasonOf(error))
  }
}

function needed(files: Files, name: string): Buffer {
  const bytes = files.get(name)
  if (bytes === undefined) throw invalid(name, 'is missing')
  return bytes
}

function invalid(name: string, what: string): PublishError {
  return new PublishError('invalid', `${name}: ${what}`)
}

export type Expiry = { readonly role: RoleName; readonly version: number; readonly expires: Date }

/** When each role ends. A client refuses everything from the first of these on (5.3.10, 5.4.4, 5.5.6, 5.6.5). */
export function expiries({ root, release }: Verified): readonly Expiry[] {
  const of = (role: RoleName, { signed }: Metadata<Signed>): Expiry => ({
    role,
    version: signed.version,
    expires: new Date(signed.expires),
  })
  if (release === undefined) return [of('root', root)]
  const { timestamp, snapshot, targets } = release
  return [of('root', root), of('targets', targets), of('snapshot', snapshot), of('timestamp', timestamp)]
}

/** Throws PublishError `invalid` where a client that looks `now` finds something ended. */
export function refuseExpired(verified: Verified, now: Date): void {
  const ended = expiries(verified).find(({ expires }) => expires.getTime() <= now.getTime())
  if (ended === undefined) return
  const advice = {
    root: 'rotate-root',
    targets: 'targets',
    snapshot: 'timestamp',
    timestamp: 'timestamp',
  } as const
  throw new PublishError(
    'invalid',
    `${ended.role} version ${ended.version} ended on ${ended.expires.toISOString()}: ` +
      `run portcullis trust publish ${advice[ended.role]}`,
  )
}
