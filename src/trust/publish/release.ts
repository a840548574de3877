import { hash } from 'node:crypto'
import {
  MetaFile,
  Snapshot,
  Targets,
  Timestamp,
  type Metadata,
  type Root,
  type TargetFile,
} from '@tufjs/models'
import type { SignRole } from './keyring.ts'
import { highestVersion, snapshotPath, targetsPath, TIMESTAMP_PATH } from './layout.ts'
import { encode, expiryAfter, SPEC_VERSION, type OnlineRole, type Signed } from './metadata.ts'
import type { Write } from './repository.ts'
import type { Lifetimes } from './state.ts'
import { isSignedBy, type Files, type Release } from './verify-repository.ts'

/** All targets from now on, and the content of those that are new. */
export type TargetSet = {
  readonly listed: Readonly<Record<string, TargetFile>>
  readonly contents: readonly Write[]
}

export type ReleaseInput = {
  readonly files: Files
  readonly current: Release | undefined
  /** Every root whose clients must accept the release. */
  readonly roots: readonly Metadata<Root>[]
  /** Undefined leaves them as they are. */
  readonly targets?: TargetSet | undefined
  readonly lifetimes: Lifetimes
  readonly now: Date
  readonly sign: SignRole
  /** No version below this one: for a repository that was restored from a backup older than what clients have seen. */
  readonly versionMin?: number | undefined
}

/**
 * The files of the next release, timestamp last. Targets and snapshot are made anew only where they must be: changed,
 * not signed for every one of `roots`, or (the snapshot) ending before the new timestamp does.
 */
export async function makeRelease(input: ReleaseInput): Promise<readonly Write[]> {
  const targets = await makeTargets(input)
  const snapshot = await makeSnapshot(input, targets.metadata)
  const timestamp = await makeTimestamp(input, snapshot.metadata)
  return [...targets.writes, ...snapshot.writes, timestamp]
}

type Made<T extends Signed> = { readonly metadata: Metadata<T>; readonly writes: readonly Write[] }

async function makeTargets(input: ReleaseInput): Promise<Made<Targets>> {
  const before = input.current?.targets
  if (before !== undefined && input.targets === undefined && isAccepted(input, 'targets', before)) {
    return { metadata: before, writes: [] }
  }
  const version = nextVersion(input, 'targets')
  const targets = { ...(input.targets?.listed ?? before?.signed.targets) }
  const metadata = await input.sign('targets', new Targets({ version, ...until(input, 'targets'), targets }))
  const contents = input.targets?.contents ?? []
  return { metadata, writes: [...contents, { path: targetsPath(version), bytes: encode(metadata) }] }
}

async function makeSnapshot(input: ReleaseInput, targets: Metadata<Targets>): Promise<Made<Snapshot>> {
  const before = input.current?.snapshot
  const isCurrent =
    before?.signed.meta['targets.json']?.version === targets.signed.version &&
    Date.parse(before.signed.expires) >= Date.parse(until(input, 'timestamp').expires)
  if (before !== undefined && isCurrent && isAccepted(input, 'snapshot', before)) {
    return { metadata: before, writes: [] }
  }
  const version = nextVersion(input, 'snapshot')
  const meta = { 'targets.json': metaFile(targets) }
  const metadata = await input.sign('snapshot', new Snapshot({ version, ...until(input, 'snapshot'), meta }))
  return { metadata, writes: [{ path: snapshotPath(version), bytes: encode(metadata) }] }
}

async function makeTimestamp(input: ReleaseInput, snapshot: Metadata<Snapshot>): Promise<Write> {
  const version = Math.max((input.current?.timestamp.signed.version ?? 0) + 1, input.versionMin ?? 1)
  const signed = new Timestamp({ version, ...until(input, 'timestamp'), snapshotMeta: metaFile(snapshot) })
  return { path: TIMESTAMP_PATH, bytes: encode(await input.sign('timestamp', signed)) }
}

function isAccepted({ roots }: ReleaseInput, role: OnlineRole, metadata: Metadata<Signed>): boolean {
  return roots.every((root) => isSignedBy(root, role, metadata))
}

function until({ now, lifetimes }: ReleaseInput, role: OnlineRole): { specVersion: string; expires: string } {
  return { specVersion: SPEC_VERSION, expires: expiryAfter(now, lifetimes[role]) }
}

/** Skips the numbers of files that a killed run left behind: published names never change their content. */
function nextVersion({ files, versionMin = 1 }: ReleaseInput, role: 'targets' | 'snapshot'): number {
  return Math.max(highestVersion(files.keys(), role) + 1, versionMin)
}

/** Length and hash as well as version: whoever can only write to the web server cannot swap the file. */
function metaFile(metadata: Metadata<Signed>): MetaFile {
  const bytes = encode(metadata)
  return new MetaFile({
    version: metadata.signed.version,
    length: bytes.length,
    hashes: { sha256: hash('sha256', bytes, 'hex') },
  })
}
