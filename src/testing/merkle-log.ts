import { createHash, generateKeyPairSync, sign, type KeyObject } from 'node:crypto'
import { json } from '@sigstore/core'
import type { TransparencyLogEntry } from '@sigstore/bundle'
import { publicKeyDer } from './certificate.ts'

/** A transparency log as a real Merkle tree (RFC 6962 2.1): version 1 is Rekor's, 2 is Rekor on tiles. */
export type MerkleLog = {
  readonly version: 1 | 2
  readonly url: string
  readonly publicKey: KeyObject
  readonly publicKeyDer: Buffer
  readonly logId: Buffer
  append(body: Buffer, time: Date): TransparencyLogEntry
  /** Leaf hash in hex -> entry, whole: a bundle may leave out what the log can still be asked for. */
  readonly entries: ReadonlyMap<string, TransparencyLogEntry>
  head(): { readonly size: number; readonly rootHash: Buffer; readonly checkpoint: string }
}

type Kind = { readonly kind: string; readonly apiVersion: string }

/** Leaves that were there before: proofs have a real length. */
const FILLER_LEAVES = 1000
/** Rekor v1 has shards: the global index is larger than the one inside the tree. */
const FIRST_GLOBAL_INDEX = 4_163_431
/** Also the first 16 digits, in hex, of an entry's UUID. */
export const TREE_ID = '1193050959916656506'

export function createMerkleLog(url: string, version: 1 | 2): MerkleLog {
  const keyPair =
    version === 1 ? generateKeyPairSync('ec', { namedCurve: 'prime256v1' }) : generateKeyPairSync('ed25519')
  const der = publicKeyDer(keyPair.publicKey)
  const host = new URL(url).host
  // Rekor v1: hash of the key. v2: key id of a C2SP signed note, type 1, over the raw Ed25519 key.
  const logId =
    version === 1 ? sha256(der) : sha256(Buffer.from(`${host}\n\x01`, 'latin1'), der.subarray(-32))
  const tree = merkleTree()
  for (let index = 0; index < FILLER_LEAVES; index++) tree.append(sha256(Buffer.from(`\0filler ${index}`)))
  const signBytes = (bytes: Buffer) => sign(version === 1 ? 'sha256' : null, bytes, keyPair.privateKey)

  const entries = new Map<string, TransparencyLogEntry>()

  const checkpoint = () => {
    const origin = version === 1 ? `${host} - ${TREE_ID}` : host
    const note = `${origin}\n${tree.size()}\n${tree.root().toString('base64')}\n`
    const signature = Buffer.concat([logId.subarray(0, 4), signBytes(Buffer.from(note))])
    return `${note}\n\u2014 ${host} ${signature.toString('base64')}\n`
  }

  return {
    version,
    url,
    publicKey: keyPair.publicKey,
    publicKeyDer: der,
    logId,
    entries,
    head: () => ({ size: tree.size(), rootHash: tree.root(), checkpoint: checkpoint() }),
    append: (body, time) => {
      const leaf = leafHash(body)
      const index = tree.append(leaf)
      const integratedTime = Math.floor(time.getTime() / 1000)
      const logIndex = version === 1 ? index + FIRST_GLOBAL_INDEX : index
      const { kind, apiVersion }: Kind = JSON.parse(body.toString())
      const promise = {
        body: body.toString('base64'),
        integratedTime,
        logID: logId.toString('hex'),
        logIndex,
      }
      const entry: TransparencyLogEntry = {
        logIndex: String(logIndex),
        logId: { keyId: logId },
        kindVersion: { kind, version: apiVersion },
        integratedTime: version === 1 ? String(integratedTime) : '0',
        inclusionPromise:
          version === 1 ? { signedEntryTimestamp: signBytes(canonicalJson(promise)) } : undefined,
        inclusionProof: {
          logIndex: String(index),
          rootHash: tree.root(),
          treeSize: String(tree.size()),
          hashes: tree.path(index),
          checkpoint: { envelope: checkpoint() },
        },
        canonicalizedBody: body,
      }
      entries.set(leaf.toString('hex'), entry)
      return entry
    },
  }
}

/** RFC 6962 2.1; in hex the last 64 digits of the entry's UUID in Rekor v1. */
export function leafHash(body: Buffer): Buffer {
  return sha256(Buffer.of(0), body)
}

/** RFC 8785, as Rekor writes entry bodies and signs promises. */
export function canonicalJson(value: object): Buffer {
  const text: unknown = json.canonicalize(value)
  if (typeof text !== 'string') throw new TypeError('not a JSON value')
  return Buffer.from(text)
}

type MerkleTree = {
  append(leaf: Buffer): number
  size(): number
  root(): Buffer
  path(index: number): Buffer[]
}

/** Keeps the hash of every complete subtree, so that an append costs the logarithm of the size. */
function merkleTree(): MerkleTree {
  const levels: Buffer[][] = [[]]
  const at = (level: number, index: number): Buffer => {
    const hash = levels[level]?.[index]
    if (hash === undefined) throw new RangeError(`no subtree ${index} at level ${level}`)
    return hash
  }
  const size = () => levels[0]?.length ?? 0
  const range = (start: number, end: number): Buffer => {
    const count = end - start
    if (Number.isInteger(Math.log2(count)) && start % count === 0) {
      return at(Math.log2(count), start / count)
    }
    const split = start + largestPowerBelow(count)
    return node(range(start, split), range(split, end))
  }
  const pathIn = (index: number, start: number, end: number): Buffer[] => {
    if (end - start === 1) return []
    const split = start + largestPowerBelow(end - start)
    return index < split
      ? [...pathIn(index, start, split), range(split, end)]
      : [...pathIn(index, split, end), range(start, split)]
  }
  return {
    size,
    append: (leaf) => {
      const index = size()
      let hash = leaf
      for (let level = 0, place = index; ; level++, place = (place - 1) / 2) {
        levels[level] ??= []
        levels[level]?.push(hash)
        if (place % 2 === 0) return index
        hash = node(at(level, place - 1), hash)
      }
    },
    root: () => range(0, size()),
    path: (index) => pathIn(index, 0, size()),
  }
}

function node(left: Buffer, right: Buffer): Buffer {
  return sha256(Buffer.of(1), left, right)
}

function largestPowerBelow(count: number): number {
  return 2 ** (Math.ceil(Math.log2(count)) - 1)
}

function sha256(...parts: readonly Uint8Array[]): Buffer {
  const running = createHash('sha256')
  for (const part of parts) running.update(part)
  return running.digest()
}
