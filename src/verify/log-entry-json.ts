import { hash } from 'node:crypto'
import type { TransparencyLogEntry } from '@sigstore/bundle'
import { EvidenceError } from './evidence-error.ts'
import { at, isRecord, listAt, parseJson, textAt } from './json.ts'
import { CHECKPOINT_BYTES_MAX, LOG_ENTRY_JSON_BYTES_MAX, PROOF_HASHES_MAX } from './limits.ts'

/** One entry as Rekor v1 gives it: rekor openapi.yaml, LogEntry. Bound to its UUID; nothing else of it is verified. */
export type ReadLogEntry = {
  /** 64 hex digits, or 80 with the tree's id in front, as the log wrote it: nobody signs which tree that is. */
  readonly uuid: string
  /** Hex SHA-256 of the leaf (RFC 6962 2.1): the last 64 digits of the UUID. */
  readonly leafHash: string
  readonly logIndex: string
  readonly entry: TransparencyLogEntry
  /** The same entry in Rekor's form, with what verification needs and nothing else. */
  readonly json: string
}

const UUID = /^(?:[0-9a-f]{16})?[0-9a-f]{64}$/
const SHA256_HEX = /^[0-9a-f]{64}$/

function malformed(message: string): EvidenceError {
  return new EvidenceError('malformed', `log entry: ${message}`)
}

function indexAt(value: unknown, ...path: readonly string[]): number {
  const found = at(value, ...path)
  if (typeof found !== 'number' || !Number.isSafeInteger(found) || found < 0)
    throw malformed(`${path.join('.')} is not an index`)
  return found
}

function hexAt(value: unknown, what: string): Buffer {
  if (typeof value !== 'string' || !SHA256_HEX.test(value)) throw malformed(`${what} is not SHA-256 in hex`)
  return Buffer.from(value, 'hex')
}

/** Only the one way to write the bytes: the promise covers the text of the body. */
function base64At(value: unknown, what: string): Buffer {
  const bytes = typeof value === 'string' ? Buffer.from(value, 'base64') : undefined
  if (bytes === undefined || bytes.length === 0 || bytes.toString('base64') !== value)
    throw malformed(`${what} is not base64`)
  return bytes
}

function proofIn(verification: unknown): TransparencyLogEntry['inclusionProof'] {
  const proof = at(verification, 'inclusionProof')
  if (proof === undefined || proof === null) return undefined
  const envelope = textAt(proof, 'checkpoint')
  // Without a checkpoint nobody has signed the root hash, and the proof proves nothing.
  if (envelope === undefined || envelope === '') return undefined
  if (envelope.length > CHECKPOINT_BYTES_MAX) throw malformed('checkpoint too large')
  const hashes = listAt(proof, 'hashes')
  if (hashes.length > PROOF_HASHES_MAX) throw malformed(`${hashes.length} hashes in the inclusion proof`)
  return {
    logIndex: String(indexAt(proof, 'logIndex')),
    treeSize: String(indexAt(proof, 'treeSize')),
    rootHash: hexAt(at(proof, 'rootHash'), 'root hash'),
    hashes: hashes.map((item) => hexAt(item, 'hash of the inclusion proof')),
    checkpoint: { envelope },
  }
}

function promiseIn(verification: unknown): TransparencyLogEntry['inclusionPromise'] {
  const value = at(verification, 'signedEntryTimestamp')
  if (value === undefined || value === null || value === '') return undefined
  return { signedEntryTimestamp: base64At(value, 'signed entry timestamp') }
}

function toEntry(value: unknown): TransparencyLogEntry {
  const canonicalizedBody = base64At(at(value, 'body'), 'body')
  const body = parseJson(canonicalizedBody, 'log entry body')
  const verification = at(value, 'verification')
  const entry = {
    logIndex: String(indexAt(value, 'logIndex')),
    logId: { keyId: hexAt(at(value, 'logID'), 'log id') },
    kindVersion: { kind: textAt(body, 'kind') ?? '', version: textAt(body, 'apiVersion') ?? '' },
    integratedTime: String(indexAt(value, 'integratedTime')),
    inclusionPromise: promiseIn(verification),
    inclusionProof: proofIn(verification),
    canonicalizedBody,
  }
  if (entry.inclusionPromise === undefined && entry.inclusionProof === undefined)
    throw malformed('neither a promise nor an inclusion proof')
  return entry
}

/** Rekor's field order is alphabetical, which is of no matter to anyone but keeps equal entries equal. */
function toJson(uuid: string, entry: TransparencyLogEntry): string {
  const { inclusionProof: proof, inclusionPromise: promise } = entry
  const verification = {
    ...(proof === undefined
      ? {}
      : {
          inclusionProof: {
            checkpoint: proof.checkpoint?.envelope,
            hashes: proof.hashes.map((item) => item.toString('hex')),
            logIndex: Number(proof.logIndex),
            rootHash: proof.rootHash.toString('hex'),
            treeSize: Number(proof.treeSize),
          },
        }),
    ...(promise === undefined
      ? {}
      : { signedEntryTimestamp: promise.signedEntryTimestamp.toString('base64') }),
  }
  const value = {
    body: entry.canonicalizedBody.toString('base64'),
    integratedTime: Number(entry.integratedTime),
    logID: entry.logId.keyId.toString('hex'),
    logIndex: Number(entry.logIndex),
    verification,
  }
  return JSON.stringify({ [uuid]: value })
}

function fromPair(uuid: string, value: unknown): ReadLogEntry {
  if (!UUID.test(uuid)) throw malformed('its UUID is not one')
  const entry = toEntry(value)
  const leafHash = hash('sha256', Buffer.concat([Buffer.of(0), entry.canonicalizedBody]), 'hex')
  if (uuid.slice(-64) !== leafHash) throw malformed('its UUID is of another entry')
  const json = toJson(uuid, entry)
  if (json.length > LOG_ENTRY_JSON_BYTES_MAX) throw malformed('too large')
  return { uuid, leafHash, logIndex: entry.logIndex, entry, json }
}

/** The entry of a parsed LogEntry object, which holds one. Throws EvidenceError `malformed`. */
export function entryInLogEntry(value: unknown): ReadLogEntry {
  if (!isRecord(value)) throw malformed('not an object')
  // Counted before any is read: an answer has room for thousands.
  const [uuid, ...others] = Object.keys(value)
  if (uuid === undefined || others.length > 0) {
    throw malformed(`expected one, found ${uuid === undefined ? 0 : others.length + 1}`)
  }
  return fromPair(uuid, value[uuid])
}

/**
 * The index that a verified entry's promise vouches for. A bare proof vouches for the place in one tree of the log: then
 * `logIndex`, which counts all its trees, is whatever somebody wrote there.
 */
export function promisedIndex({ entry, logIndex }: ReadLogEntry): string | undefined {
  return entry.inclusionPromise === undefined ? undefined : logIndex
}

/** Reads what `ReadLogEntry.json` holds. Throws EvidenceError `malformed`. */
export function readLogEntry(json: string): ReadLogEntry {
  if (json.length > LOG_ENTRY_JSON_BYTES_MAX) throw malformed('too large')
  return entryInLogEntry(parseJson(Buffer.from(json), 'log entry'))
}
