import { hash } from 'node:crypto'
import { posix } from 'node:path'
import {
  Metadata,
  MetadataKind,
  MetaFile,
  Root,
  Snapshot,
  TargetFile,
  Targets,
  Timestamp,
} from '@tufjs/models'
import type { TufKey } from './tuf-key.ts'

export type SignedRole = { readonly version: number; readonly expires: Date }

export type TopRole = 'root' | 'timestamp' | 'snapshot' | 'targets'

export type DelegationOptions = {
  readonly name: string
  readonly paths: readonly string[]
  readonly targets: TargetContents
  /** Default true. */
  readonly terminating?: boolean
}

/** What each target holds, by its path. */
export type TargetContents = Readonly<Record<string, string | Buffer>>

const SPEC_VERSION = '1.0.31'

/** Seconds, as the specification writes dates. */
function common({ version, expires }: SignedRole) {
  return { version, specVersion: SPEC_VERSION, expires: expires.toISOString().replace(/\.\d+Z$/, 'Z') }
}

function bytesOf(metadata: { toJSON(): unknown }): Buffer {
  return Buffer.from(JSON.stringify(metadata.toJSON()))
}

export function rootBytes(
  role: SignedRole,
  keys: Readonly<Record<TopRole, TufKey>>,
  options: { consistentSnapshot: boolean; signers: readonly TufKey[] },
): Buffer {
  const root = new Root({ ...common(role), consistentSnapshot: options.consistentSnapshot })
  for (const name of ['root', 'timestamp', 'snapshot', 'targets'] as const) root.addKey(keys[name].key, name)
  const metadata = new Metadata(root)
  for (const signer of new Set(options.signers)) metadata.sign(signer.sign)
  return bytesOf(metadata)
}

export function timestampBytes(role: SignedRole, snapshot: Buffer, signer: TufKey): Buffer {
  const { signed } = Metadata.fromJSON(MetadataKind.Snapshot, JSON.parse(snapshot.toString('utf8')))
  const snapshotMeta = new MetaFile({
    version: signed.version,
    length: snapshot.length,
    hashes: { sha256: hash('sha256', snapshot, 'hex') },
  })
  const metadata = new Metadata(new Timestamp({ ...common(role), snapshotMeta }))
  metadata.sign(signer.sign)
  return bytesOf(metadata)
}

export function snapshotBytes(
  role: SignedRole,
  versions: Readonly<Record<string, number>>,
  signer: TufKey,
): Buffer {
  const meta = Object.fromEntries(
    Object.entries(versions).map(([name, version]) => [`${name}.json`, new MetaFile({ version })]),
  )
  const metadata = new Metadata(new Snapshot({ ...common(role), meta }))
  metadata.sign(signer.sign)
  return bytesOf(metadata)
}

export function targetsBytes(
  role: SignedRole,
  contents: TargetContents,
  options: { signer: TufKey; delegation?: DelegationOptions; delegate?: TufKey },
): Buffer {
  const targets = new Targets(common(role))
  for (const [path, content] of Object.entries(contents)) {
    const bytes = Buffer.from(content)
    targets.addTarget(
      new TargetFile({ path, length: bytes.length, hashes: { sha256: hash('sha256', bytes, 'hex') } }),
    )
  }
  const { delegation, delegate } = options
  const json = new Metadata(targets).toJSON()
  const signed = json['signed'] as Record<string, unknown>
  if (delegation !== undefined && delegate !== undefined) {
    signed['delegations'] = {
      keys: { [delegate.key.keyID]: delegate.key.toJSON() },
      roles: [
        {
          name: delegation.name,
          keyids: [delegate.key.keyID],
          threshold: 1,
          terminating: delegation.terminating ?? true,
          paths: [...delegation.paths],
        },
      ],
    }
  }
  const metadata = Metadata.fromJSON(MetadataKind.Targets, json)
  metadata.sign(options.signer.sign)
  return bytesOf(metadata)
}

/** Where a target lies below the repository: consistent snapshots put the hash before the last part of the path. */
export function targetFileName(path: string, bytes: Buffer, consistentSnapshot: boolean): string {
  if (!consistentSnapshot) return posix.join('targets', path)
  const { dir, base } = posix.parse(path)
  return posix.join('targets', dir, `${hash('sha256', bytes, 'hex')}.${base}`)
}
