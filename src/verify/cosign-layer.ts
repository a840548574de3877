import type { TransparencyLogEntry } from '@sigstore/bundle'
import { decodeBase64, readPem } from './encoding.ts'
import { EvidenceError } from './evidence-error.ts'
import type { Evidence } from './evidence.ts'
import { at, listAt, parseJson, textAt } from './json.ts'
import { ATTESTATION_BYTES_MAX, MESSAGE_BYTES_MAX } from './limits.ts'

/** cosign specs/SIGNATURE_SPEC.md, "Properties". */
export const ANNOTATION = {
  signature: 'dev.cosignproject.cosign/signature',
  certificate: 'dev.sigstore.cosign/certificate',
  chain: 'dev.sigstore.cosign/chain',
  logEntry: 'dev.sigstore.cosign/bundle',
  timestamp: 'dev.sigstore.cosign/rfc3161timestamp',
} as const

type Annotations = Readonly<Record<string, string>>

function malformed(message: string): EvidenceError {
  return new EvidenceError('malformed', message)
}

/** cosign writes an empty annotation in places where it has nothing to say. */
function annotation(annotations: Annotations, name: string): string | undefined {
  const value = Object.hasOwn(annotations, name) ? annotations[name] : undefined
  return value === '' ? undefined : value
}

function certificatesOf(annotations: Annotations): readonly Buffer[] | undefined {
  const text = annotation(annotations, ANNOTATION.certificate)
  if (text === undefined) return undefined
  const block = readPem(text)
  if (block?.label !== 'CERTIFICATE') throw malformed('certificate annotation is not one PEM certificate')
  return [block.der]
}

function safeInteger(value: unknown, what: string): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0)
    throw malformed(`${what} is not a number`)
  return value
}

/** Rekor's offline proof: a promise (signed entry timestamp) over body, time, index and log id. */
function entriesOf(annotations: Annotations): readonly TransparencyLogEntry[] {
  const text = annotation(annotations, ANNOTATION.logEntry)
  if (text === undefined) return []
  const proof = parseJson(Buffer.from(text), 'Rekor bundle annotation')
  const canonicalizedBody = decodeBase64(at(proof, 'Payload', 'body'), 'Rekor entry body')
  const body = parseJson(canonicalizedBody, 'Rekor entry body')
  const logId = textAt(proof, 'Payload', 'logID')
  if (logId === undefined || !/^[0-9a-f]{64}$/.test(logId))
    throw malformed('Rekor log id is not SHA-256 in hex')
  const signedEntryTimestamp = decodeBase64(at(proof, 'SignedEntryTimestamp'), 'signed entry timestamp')
  return [
    {
      logIndex: String(safeInteger(at(proof, 'Payload', 'logIndex'), 'Rekor log index')),
      integratedTime: String(safeInteger(at(proof, 'Payload', 'integratedTime'), 'Rekor integrated time')),
      logId: { keyId: Buffer.from(logId, 'hex') },
      kindVersion: { kind: textAt(body, 'kind') ?? '', version: textAt(body, 'apiVersion') ?? '' },
      inclusionPromise: { signedEntryTimestamp },
      inclusionProof: undefined,
      canonicalizedBody,
    },
  ]
}

function timestampsOf(annotations: Annotations): readonly Buffer[] {
  const text = annotation(annotations, ANNOTATION.timestamp)
  if (text === undefined) return []
  const json = parseJson(Buffer.from(text), 'timestamp annotation')
  return [decodeBase64(at(json, 'SignedRFC3161Timestamp'), 'RFC 3161 timestamp')]
}

function proofOf(annotations: Annotations): Omit<Evidence, 'content'> {
  return {
    certificates: certificatesOf(annotations),
    chainPem: annotation(annotations, ANNOTATION.chain),
    entries: entriesOf(annotations),
    timestamps: timestampsOf(annotations),
  }
}

/** Reads a layer of `.sig`: the payload is the blob, the signature an annotation. */
export function readSimpleSigning(payload: Buffer, annotations: Annotations): Evidence {
  if (payload.length > MESSAGE_BYTES_MAX) throw malformed('simple signing payload too large')
  const signature = decodeBase64(annotation(annotations, ANNOTATION.signature), 'signature annotation')
  return { content: { kind: 'payload', signature, payload }, ...proofOf(annotations) }
}

/** Reads a layer of `.att`: the blob is a DSSE envelope, which holds its own signature. */
export function readEnvelopeLayer(layer: Buffer, annotations: Annotations): Evidence {
  if (layer.length > ATTESTATION_BYTES_MAX) throw malformed('envelope too large')
  const envelope = parseJson(layer, 'envelope')
  const payloadType = textAt(envelope, 'payloadType')
  if (payloadType === undefined) throw malformed('envelope without a payload type')
  const signatures = listAt(envelope, 'signatures')
  if (signatures.length !== 1) throw malformed(`envelope has ${signatures.length} signatures, expected one`)
  const signature = decodeBase64(at(signatures, 0, 'sig'), 'envelope signature')
  const payload = decodeBase64(at(envelope, 'payload'), 'envelope payload')
  return { content: { kind: 'envelope', signature, payloadType, payload, layer }, ...proofOf(annotations) }
}
