import { Metadata, MetadataKind, type Root, type Snapshot, type Targets, type Timestamp } from '@tufjs/models'
import { TrustError } from '../trust-error.ts'
import { parseModestJson } from './json.ts'
import { textOf } from './message.ts'

type JsonObject = Parameters<typeof Metadata.fromJSON>[1]

export function parseRoot(bytes: Buffer): Metadata<Root> {
  return whole(Metadata.fromJSON(MetadataKind.Root, parseJson(bytes)))
}

export function parseTimestamp(bytes: Buffer): Metadata<Timestamp> {
  return whole(Metadata.fromJSON(MetadataKind.Timestamp, parseJson(bytes)))
}

export function parseSnapshot(bytes: Buffer): Metadata<Snapshot> {
  return whole(Metadata.fromJSON(MetadataKind.Snapshot, parseJson(bytes)))
}

export function parseTargets(bytes: Buffer): Metadata<Targets> {
  return whole(Metadata.fromJSON(MetadataKind.Targets, parseJson(bytes)))
}

/** Throws what `verify` throws as TrustError `refused` with the name of the file before it. */
export function refusing<T>(file: string, verify: () => T): T {
  try {
    return verify()
  } catch (error) {
    if (error instanceof TrustError) throw error
    throw new TrustError('refused', `${file}: ${textOf(error)}`, error)
  }
}

function parseJson(bytes: Buffer): JsonObject {
  const value = parseModestJson(bytes)
  if (!isObject(value)) throw new TypeError('not a JSON object')
  return value
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The models take any number for a version; file names are made of it. */
function whole<T extends { signed: { version: number } }>(metadata: T): T {
  const { version } = metadata.signed
  if (!Number.isSafeInteger(version) || version < 1) throw new RangeError('version is no positive integer')
  return metadata
}

/** TUF specification, sections 5.3.10, 5.4.4, 5.5.6 and 5.6.5. */
export function assertUnexpired({ signed }: AnyMetadata, at: Date): void {
  if (signed.isExpired(at)) throw new Error(`expired at ${signed.expires}`)
}

/** What the snapshot, or the timestamp, says that it is. */
export function assertVersion({ signed }: AnyMetadata, version: number): void {
  if (signed.version !== version) throw new Error(`is version ${signed.version}, expected ${version}`)
}

type AnyMetadata = {
  readonly signed: { readonly version: number; readonly expires: string; isExpired(at: Date): boolean }
}
