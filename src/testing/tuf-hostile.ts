import { hash } from 'node:crypto'
import { Metadata, MetadataKind, MetaFile, Snapshot, Timestamp } from '@tufjs/models'
import { createTufKey, type TufKey } from './tuf-key.ts'
import { rootBytes } from './tuf-metadata.ts'

type Json = Parameters<typeof Metadata.fromJSON>[1]

type DelegationJson = {
  readonly name: string
  readonly key: TufKey
  readonly paths?: readonly string[]
  readonly terminating?: boolean
}

/** The signed part of targets metadata, as freely as JSON has it. */
export type TargetsJson = {
  readonly targets?: Readonly<Record<string, Json>>
  readonly delegations?: readonly DelegationJson[]
  /** In place of the named ones: 2^bits roles `bin-…`. */
  readonly bins?: { readonly bits: number; readonly key: TufKey }
}

export type HostileRole = TargetsJson & { readonly signers: readonly TufKey[] }

/** How a target is listed that is these bytes. */
export function targetOf(content: string): Json {
  return { length: content.length, hashes: { sha256: hash('sha256', content, 'hex') } }
}

const COMMON = { version: 1, specVersion: '1.0.31', expires: '2099-01-01T00:00:00Z' }

function roleBytes({ targets = {}, delegations = [], bins, signers }: HostileRole): Buffer {
  const keys = [...delegations.map(({ key }) => key), ...(bins === undefined ? [] : [bins.key])]
  const roles =
    bins === undefined
      ? {
          roles: delegations.map(({ name, key, paths = ['*'], terminating = false }) => ({
            name,
            keyids: [key.key.keyID],
            threshold: 1,
            terminating,
            paths: [...paths],
          })),
        }
      : {
          succinct_roles: {
            bit_length: bins.bits,
            name_prefix: 'bin',
            keyids: [bins.key.key.keyID],
            threshold: 1,
          },
        }
  const metadata = Metadata.fromJSON(MetadataKind.Targets, {
    signatures: [],
    signed: {
      _type: 'targets',
      version: COMMON.version,
      spec_version: COMMON.specVersion,
      expires: COMMON.expires,
      targets: { ...targets },
      delegations: {
        keys: Object.fromEntries(keys.map(({ key }) => [key.keyID, key.toJSON()])),
        ...roles,
      },
    },
  })
  for (const signer of signers) metadata.sign(signer.sign)
  return Buffer.from(JSON.stringify(metadata.toJSON()))
}

/** A repository whose top-level roles are signed as they should be, whatever its targets and delegated roles say. */
export function hostileRepository(
  top: TargetsJson,
  roles: Readonly<Record<string, HostileRole>> = {},
): Map<string, Buffer> {
  const key = createTufKey()
  const files = new Map<string, Buffer>()
  const expires = new Date(COMMON.expires)
  const keys = { root: key, timestamp: key, snapshot: key, targets: key }
  files.set(
    '1.root.json',
    rootBytes({ version: 1, expires }, keys, { consistentSnapshot: true, signers: [key] }),
  )
  files.set('1.targets.json', roleBytes({ ...top, signers: [key] }))
  for (const [name, role] of Object.entries(roles)) files.set(`1.${name}.json`, roleBytes(role))
  const names = ['targets', ...Object.keys(roles)]
  const meta = Object.fromEntries(names.map((name) => [`${name}.json`, new MetaFile({ version: 1 })]))
  const snapshot = new Metadata(new Snapshot({ ...COMMON, meta }))
  snapshot.sign(key.sign)
  files.set('1.snapshot.json', Buffer.from(JSON.stringify(snapshot.toJSON())))
  const timestamp = new Metadata(new Timestamp({ ...COMMON, snapshotMeta: new MetaFile({ version: 1 }) }))
  timestamp.sign(key.sign)
  files.set('timestamp.json', Buffer.from(JSON.stringify(timestamp.toJSON())))
  return files
}
