import { hash, verify } from 'node:crypto'
import type { TransparencyLogEntry } from '@sigstore/bundle'
import type { TrustMaterial } from '@sigstore/verify'
import { isBase64 } from './encoding.ts'
import { EvidenceError } from './evidence-error.ts'
import { sameBytes } from './signature-scheme.ts'

type TransparencyLog = TrustMaterial['tlogs'][number]
type InclusionProof = NonNullable<TransparencyLogEntry['inclusionProof']>
type Checkpoint = { readonly size: bigint; readonly rootHash: Buffer }

/** One line of a signed note: an em dash, a name, and base64 of the key's hint (4 bytes) and the signature. */
const SIGNATURE_LINE = /^\u2014 (\S+) (\S+)$/
const HINT_BYTES = 4

function badProof(message: string): EvidenceError {
  return new EvidenceError('log-entry', `inclusion proof: ${message}`)
}

/** Whether one of the signatures of the note is by this log, under a name that is part of its address. */
function isSignedBy(note: string, lines: readonly string[], log: TransparencyLog): boolean {
  return lines.some((line) => {
    const [, name = '', base64 = ''] = SIGNATURE_LINE.exec(line) ?? []
    if (name === '' || !isBase64(base64) || !log.baseURL.includes(name)) return false
    const signed = Buffer.from(base64, 'base64')
    if (!log.logID.subarray(0, HINT_BYTES).equals(signed.subarray(0, HINT_BYTES))) return false
    const algorithm = log.publicKey.asymmetricKeyType === 'ed25519' ? null : 'sha256'
    return verify(algorithm, Buffer.from(note), log.publicKey, signed.subarray(HINT_BYTES))
  })
}

/** C2SP tlog-checkpoint: origin, size and root hash, then signatures of those lines. */
function readCheckpoint(envelope: string, logs: readonly TransparencyLog[]): Checkpoint {
  const end = envelope.indexOf('\n\n')
  if (end === -1) throw badProof('checkpoint without signatures')
  const note = envelope.slice(0, end + 1)
  const [, size = '', rootHash = ''] = note.split('\n')
  if (!/^(?:0|[1-9]\d{0,19})$/.test(size) || !isBase64(rootHash)) throw badProof('malformed checkpoint')
  const lines = envelope.slice(end + 2).split('\n')
  if (!logs.some((log) => isSignedBy(note, lines, log))) throw badProof('checkpoint is not signed by the log')
  return { size: BigInt(size), rootHash: Buffer.from(rootHash, 'base64') }
}

function node(left: Buffer, right: Buffer): Buffer {
  return hash('sha256', Buffer.concat([Buffer.of(1), left, right]), 'buffer')
}

/** RFC 9162 section 2.1.3.2, whose names these are. */
function rootFrom(body: Buffer, { logIndex, hashes }: InclusionProof, size: bigint): Buffer {
  let fn = BigInt(logIndex)
  let sn = size - 1n
  if (fn > sn) throw badProof('index outside of the tree')
  let r: Buffer = hash('sha256', Buffer.concat([Buffer.of(0), body]), 'buffer')
  for (const p of hashes) {
    if (sn === 0n) throw badProof('too many hashes')
    const isRight = (fn & 1n) === 1n
    if (isRight || fn === sn) {
      r = node(p, r)
      while (!isRight && (fn & 1n) === 0n && fn !== 0n) {
        fn >>= 1n
        sn >>= 1n
      }
    } else {
      r = node(r, p)
    }
    fn >>= 1n
    sn >>= 1n
  }
  if (sn !== 0n) throw badProof('too few hashes')
  return r
}

/**
 * Verifies an inclusion proof against a checkpoint that the entry's log has signed. @sigstore/verify does the same for
 * the kinds of entries that it knows. Throws EvidenceError `log-entry`.
 */
export function verifyInclusion(entry: TransparencyLogEntry, logs: readonly TransparencyLog[]): void {
  const proof = entry.inclusionProof
  const envelope = proof?.checkpoint?.envelope
  if (proof === undefined || envelope === undefined) throw badProof('missing')
  const own = logs.filter((log) => log.logID.equals(entry.logId.keyId))
  const { size, rootHash } = readCheckpoint(envelope, own)
  if (!sameBytes(rootFrom(entry.canonicalizedBody, proof, size), rootHash))
    throw badProof('does not lead to the root hash of the checkpoint')
}
