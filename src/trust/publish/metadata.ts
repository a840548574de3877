import { Metadata, MetadataKind, Signature } from '@tufjs/models'
import type { Root, Snapshot, Targets, Timestamp } from '@tufjs/models'
import { PublishError, reasonOf } from './error.ts'
import type { RoleSigner } from './signer.ts'

export type Signed = Root | Timestamp | Snapshot | Targets
export type RoleName = 'root' | 'targets' | 'snapshot' | 'timestamp'
/** The roles whose keys are at hand when the repository is published; the root's are not. */
export const ONLINE_ROLES = ['targets', 'snapshot', 'timestamp'] as const
export type OnlineRole = (typeof ONLINE_ROLES)[number]

/** What this code was written against: https://theupdateframework.github.io/specification/v1.0.31/ */
export const SPEC_VERSION = '1.0.31'

type JsonObject = Parameters<typeof Metadata.fromJSON>[1]

/** `name` is the file's, for the PublishError `invalid` that each of these throws. */
export function readRoot(name: string, bytes: Buffer): Metadata<Root> {
  return read(name, bytes, (json) => Metadata.fromJSON(MetadataKind.Root, json))
}

export function readTimestamp(name: string, bytes: Buffer): Metadata<Timestamp> {
  return read(name, bytes, (json) => Metadata.fromJSON(MetadataKind.Timestamp, json))
}

export function readSnapshot(name: string, bytes: Buffer): Metadata<Snapshot> {
  return read(name, bytes, (json) => Metadata.fromJSON(MetadataKind.Snapshot, json))
}

export function readTargets(name: string, bytes: Buffer): Metadata<Targets> {
  return read(name, bytes, (json) => Metadata.fromJSON(MetadataKind.Targets, json))
}

function read<T>(name: string, bytes: Buffer, parse: (json: JsonObject) => T): T {
  try {
    const json: unknown = JSON.parse(bytes.toString('utf8'))
    if (!isJsonObject(json)) throw new TypeError('it is no JSON object')
    return parse(json)
  } catch (error) {
    throw new PublishError('invalid', `${name} is no TUF metadata of its kind: ${reasonOf(error)}`, error)
  }
}

/** JSON.parse makes nothing but JSON values. */
function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The file's bytes. Indented, because people read these before they sign them. */
export function encode(metadata: Metadata<Signed>): Buffer {
  return Buffer.from(`${JSON.stringify(metadata.toJSON(), undefined, 2)}\n`)
}

/** What a signature covers: the canonical JSON of the models, which they hand to a signer and export no function for. */
export function signedBytes(signed: Signed): Buffer {
  let bytes = Buffer.alloc(0)
  new Metadata(signed).sign((data) => {
    bytes = Buffer.from(data)
    return new Signature({ keyID: '', sig: '' })
  })
  return bytes
}

/** Adds the signer's signature, in place of one that the same key made before. */
export async function addSignature(metadata: Metadata<Signed>, signer: RoleSigner): Promise<void> {
  const sig = await signer.sign(signedBytes(metadata.signed))
  metadata.signatures[signer.key.keyID] = new Signature({ keyID: signer.key.keyID, sig: sig.toString('hex') })
}

/** Whole seconds: go-tuf writes the date back without a fraction before it checks the signature over it. */
export function expiryAfter(now: Date, lifetimeMs: number): string {
  return new Date(now.getTime() + lifetimeMs).toISOString().replace(/\.\d+Z$/, 'Z')
}
