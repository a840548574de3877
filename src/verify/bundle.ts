import { bundleFromJSON, type Bundle, type TransparencyLogEntry } from '@sigstore/bundle'
import { HashAlgorithm } from '@sigstore/protobuf-specs'
import type { DigestAlgorithm } from '../oci/digest.ts'
import { isBase64 } from './encoding.ts'
import { EvidenceError, quote } from './evidence-error.ts'
import type { Evidence, SignedContent } from './evidence.ts'
import { at, isRecord, listAt, parseJson, textAt } from './json.ts'
import {
  ATTESTATION_BYTES_MAX,
  CERTIFICATES_MAX,
  CHECKPOINT_BYTES_MAX,
  LOG_ENTRIES_MAX,
  MESSAGE_BYTES_MAX,
  PROOF_HASHES_MAX,
  TIMESTAMPS_MAX,
} from './limits.ts'

/** The library takes any version; an unknown one may carry rules that nobody here checks. */
const MEDIA_TYPES: ReadonlySet<string> = new Set([
  'application/vnd.dev.sigstore.bundle+json;version=0.1',
  'application/vnd.dev.sigstore.bundle+json;version=0.2',
  'application/vnd.dev.sigstore.bundle+json;version=0.3',
  'application/vnd.dev.sigstore.bundle.v0.3+json',
])

function malformed(message: string, cause?: unknown): EvidenceError {
  return new EvidenceError('malformed', message, { cause })
}

/** A protobuf `oneof` with two members set would mean something else to every reader. */
function assertOneOf(value: unknown, what: string, members: readonly string[]): void {
  const set = members.filter((name) => at(value, name) !== undefined && at(value, name) !== null)
  if (set.length !== 1) throw malformed(`${what} must hold one of ${members.join(', ')}`)
}

function assertCount(list: readonly unknown[], max: number, what: string): void {
  if (list.length > max) throw malformed(`${list.length} ${what}, at most ${max} are read`)
}

/** Unsigned 64 bit integers, as JSON strings or small numbers. BigInt of a long text takes quadratic time. */
function assertIndex(value: unknown, what: string): void {
  if (value === undefined) return
  const text = typeof value === 'number' ? String(value) : value
  if (typeof text !== 'string' || !/^\d{1,20}$/.test(text)) throw malformed(`${what} is not a number`)
}

function assertEntry(entry: unknown): void {
  if (!isRecord(entry)) throw malformed('log entry is not an object')
  assertIndex(entry['logIndex'], 'log index')
  assertIndex(entry['integratedTime'], 'integrated time')
  const proof = at(entry, 'inclusionProof')
  assertIndex(at(proof, 'logIndex'), 'log index of the proof')
  assertIndex(at(proof, 'treeSize'), 'tree size of the proof')
  assertCount(listAt(proof, 'hashes'), PROOF_HASHES_MAX, 'hashes in an inclusion proof')
  const checkpoint = textAt(proof, 'checkpoint', 'envelope')
  if (checkpoint !== undefined && checkpoint.length > CHECKPOINT_BYTES_MAX)
    throw malformed('checkpoint too large')
}

/** Every `bytes` field of the bundle, protobuf-specs sigstore_bundle.proto and what it imports. */
function bytesFields(bundle: unknown): readonly unknown[] {
  const material = at(bundle, 'verificationMaterial')
  const entries = listAt(material, 'tlogEntries')
  return [
    at(bundle, 'messageSignature', 'signature'),
    at(bundle, 'messageSignature', 'messageDigest', 'digest'),
    at(bundle, 'dsseEnvelope', 'payload'),
    ...listAt(bundle, 'dsseEnvelope', 'signatures').map((signature) => at(signature, 'sig')),
    at(material, 'certificate', 'rawBytes'),
    ...listAt(material, 'x509CertificateChain', 'certificates').map((item) => at(item, 'rawBytes')),
    ...listAt(material, 'timestampVerificationData', 'rfc3161Timestamps').map((item) =>
      at(item, 'signedTimestamp'),
    ),
    ...entries.flatMap((entry) => [
      at(entry, 'logId', 'keyId'),
      at(entry, 'canonicalizedBody'),
      at(entry, 'inclusionPromise', 'signedEntryTimestamp'),
      at(entry, 'inclusionProof', 'rootHash'),
      ...listAt(entry, 'inclusionProof', 'hashes'),
    ]),
  ]
}

/** What the protobuf reader would let pass: it converts where it can and ignores what it does not know. */
function assertShape(json: unknown, sizeBytes: number): void {
  const mediaType = textAt(json, 'mediaType')
  if (mediaType === undefined || !MEDIA_TYPES.has(mediaType)) {
    throw new EvidenceError('unsupported', `unsupported bundle media type ${quote(mediaType ?? '(none)')}`)
  }
  assertOneOf(json, 'bundle', ['messageSignature', 'dsseEnvelope'])
  if (at(json, 'messageSignature') !== undefined && sizeBytes > MESSAGE_BYTES_MAX)
    throw malformed('bundle too large')
  const material = at(json, 'verificationMaterial')
  assertOneOf(material, 'verification material', ['publicKey', 'x509CertificateChain', 'certificate'])
  const entries = listAt(material, 'tlogEntries')
  assertCount(entries, LOG_ENTRIES_MAX, 'log entries')
  const timestamps = listAt(material, 'timestampVerificationData', 'rfc3161Timestamps')
  assertCount(timestamps, TIMESTAMPS_MAX, 'timestamps')
  assertCount(listAt(material, 'x509CertificateChain', 'certificates'), CERTIFICATES_MAX, 'certificates')
  entries.forEach(assertEntry)
  for (const value of bytesFields(json)) {
    if (value === undefined || value === null) continue
    if (typeof value !== 'string' || !isBase64(value))
      throw malformed('bundle has a field that is not base64')
  }
}

const HASH_NAMES: Readonly<Partial<Record<HashAlgorithm, DigestAlgorithm>>> = {
  [HashAlgorithm.SHA2_256]: 'sha256',
  [HashAlgorithm.SHA2_384]: 'sha384',
  [HashAlgorithm.SHA2_512]: 'sha512',
}

function contentOf(bundle: Bundle): SignedContent {
  if (bundle.content.$case === 'dsseEnvelope') {
    const { payloadType, payload, signatures } = bundle.content.dsseEnvelope
    const [signature] = signatures
    if (signature === undefined || signatures.length !== 1)
      throw malformed('envelope must have one signature')
    return { kind: 'envelope', signature: signature.sig, payloadType, payload, layer: undefined }
  }
  const { messageDigest, signature } = bundle.content.messageSignature
  const algorithm = HASH_NAMES[messageDigest.algorithm]
  if (algorithm === undefined) throw new EvidenceError('unsupported', 'unsupported message digest algorithm')
  return { kind: 'artifact', signature, digest: messageDigest.digest, algorithm }
}

function certificatesOf(bundle: Bundle): readonly Buffer[] | undefined {
  const { content } = bundle.verificationMaterial
  switch (content.$case) {
    case 'certificate':
      return [content.certificate.rawBytes]
    case 'x509CertificateChain':
      return content.x509CertificateChain.certificates.map((certificate) => certificate.rawBytes)
    case 'publicKey':
      return undefined
  }
}

/** Bundle v0.1 allows a proof without checkpoint; it proves nothing, the promise carries the entry. */
function withUsableProof(entry: TransparencyLogEntry): TransparencyLogEntry {
  if (entry.canonicalizedBody.length === 0) throw malformed('log entry without a body')
  if (entry.inclusionProof === undefined || entry.inclusionProof.checkpoint !== undefined) return entry
  if (entry.inclusionPromise === undefined) throw malformed('inclusion proof without a checkpoint')
  return { ...entry, inclusionProof: undefined }
}

const V02 = 'application/vnd.dev.sigstore.bundle+json;version=0.2'

/** The library's rules for v0.2 and v0.3 differ in nothing but the chain. */
function hasStrayChain(json: unknown): boolean {
  const isV03 = textAt(json, 'mediaType')?.includes('0.3') === true
  return isV03 && isRecord(at(json, 'verificationMaterial', 'x509CertificateChain'))
}

function fromJson(json: unknown): Bundle {
  try {
    return bundleFromJSON(hasStrayChain(json) && isRecord(json) ? { ...json, mediaType: V02 } : json)
  } catch (cause) {
    throw malformed(
      `not a Sigstore bundle: ${cause instanceof Error ? quote(cause.message) : 'invalid'}`,
      cause,
    )
  }
}

/** Reads a Sigstore bundle v0.1 to v0.3. Throws EvidenceError `malformed` or `unsupported`. */
export function readBundle(bytes: Buffer): Evidence {
  if (bytes.length > ATTESTATION_BYTES_MAX) throw malformed('bundle too large')
  const json = parseJson(bytes, 'bundle')
  assertShape(json, bytes.length)
  const bundle = fromJson(json)
  const { tlogEntries, timestampVerificationData } = bundle.verificationMaterial
  return {
    content: contentOf(bundle),
    certificates: certificatesOf(bundle),
    hasStrayChain: hasStrayChain(json),
    entries: tlogEntries.map(withUsableProof),
    timestamps: (timestampVerificationData?.rfc3161Timestamps ?? []).map((item) => item.signedTimestamp),
  }
}
