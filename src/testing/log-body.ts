import { createHash } from 'node:crypto'
import type { Bundle } from '@sigstore/bundle'
import { dsse } from '@sigstore/core'
import { fromPem } from './certificate.ts'

type Hash = { algorithm: string; value: string }

type HashedRekordV1 = {
  apiVersion: '0.0.1'
  kind: 'hashedrekord'
  spec: { data: { hash: Hash }; signature: { content: string; publicKey: { content: string } } }
}

type DsseV1 = {
  apiVersion: '0.0.1'
  kind: 'dsse'
  spec: { envelopeHash: Hash; payloadHash: Hash; signatures: { signature: string; verifier: string }[] }
}

/** What `cosign attest` logged up to 2.1. */
type IntotoV1 = {
  apiVersion: '0.0.1'
  kind: 'intoto'
  spec: { content: { hash: Hash; payloadHash: Hash }; publicKey: string }
}

/** What npm and GitHub logged before `dsse`; the signature is base64 twice. */
type IntotoV2 = {
  apiVersion: '0.0.2'
  kind: 'intoto'
  spec: {
    content: {
      envelope: { payloadType: string; signatures: { keyid?: string; publicKey: string; sig: string }[] }
      hash: Hash
      payloadHash: Hash
    }
  }
}

type LogVerifier = { keyDetails: string } & (
  | { x509Certificate: { rawBytes: string } }
  | { publicKey: { rawBytes: string } }
)

/** Rekor v2 (rekor-tiles); an envelope is logged by the digest of its pre-authentication encoding. */
export type HashedRekordV2 = {
  apiVersion: '0.0.2'
  kind: 'hashedrekord'
  spec: {
    hashedRekordV002: {
      data: { algorithm: 'SHA2_256'; digest: string }
      signature: { content: string; verifier: LogVerifier }
    }
  }
}

/** What clients may send to Rekor v2 in place of a `hashedrekord`. */
export type DsseV2 = {
  apiVersion: '0.0.2'
  kind: 'dsse'
  spec: {
    dsseV002: {
      payloadHash: { algorithm: 'SHA2_256'; digest: string }
      signatures: { content: string; verifier: LogVerifier }[]
    }
  }
}

/** The body of a log entry before it is canonicalized; mutable, so that tests can forge one. */
export type LogBody = HashedRekordV1 | DsseV1 | IntotoV1 | IntotoV2 | HashedRekordV2 | DsseV2

export type BodyForm = 'v1' | 'intoto-0.0.1' | 'intoto-0.0.2' | 'v2'

/** What `form` of log says of signed content; `pem` is the certificate or the public key. */
export function logBody(content: Bundle['content'], pem: string, form: BodyForm): LogBody {
  if (form === 'v2') return hashedRekordV2(content, pem)
  if (content.$case === 'dsseEnvelope') return envelopeBody(content.dsseEnvelope, pem, form)
  const { messageDigest, signature } = content.messageSignature
  return {
    apiVersion: '0.0.1',
    kind: 'hashedrekord',
    spec: {
      data: { hash: { algorithm: 'sha256', value: Buffer.from(messageDigest.digest).toString('hex') } },
      signature: { content: base64(signature), publicKey: { content: base64(pem) } },
    },
  }
}

type Envelope = Extract<Bundle['content'], { $case: 'dsseEnvelope' }>['dsseEnvelope']

function envelopeBody(
  envelope: Envelope,
  pem: string,
  form: 'v1' | 'intoto-0.0.1' | 'intoto-0.0.2',
): LogBody {
  const hash = hashOf(envelopeJson(envelope))
  const payloadHash = hashOf(envelope.payload)
  const signature = base64(envelopeSignature(envelope))
  switch (form) {
    case 'v1':
      return {
        apiVersion: '0.0.1',
        kind: 'dsse',
        spec: { envelopeHash: hash, payloadHash, signatures: [{ signature, verifier: base64(pem) }] },
      }
    case 'intoto-0.0.1':
      return {
        apiVersion: '0.0.1',
        kind: 'intoto',
        spec: { content: { hash, payloadHash }, publicKey: base64(pem) },
      }
    case 'intoto-0.0.2': {
      const signatures = [{ publicKey: base64(pem), sig: base64(signature) }]
      const summary = { payloadType: envelope.payloadType, signatures }
      return {
        apiVersion: '0.0.2',
        kind: 'intoto',
        spec: { content: { envelope: summary, hash, payloadHash } },
      }
    }
  }
}

function hashedRekordV2(content: Bundle['content'], pem: string): HashedRekordV2 {
  const isEnvelope = content.$case === 'dsseEnvelope'
  const digest = isEnvelope
    ? sha256(dsse.preAuthEncoding(content.dsseEnvelope.payloadType, content.dsseEnvelope.payload))
    : content.messageSignature.messageDigest.digest
  const signature = isEnvelope ? envelopeSignature(content.dsseEnvelope) : content.messageSignature.signature
  const rawBytes = base64(fromPem(pem))
  const material = pem.includes('CERTIFICATE')
    ? { x509Certificate: { rawBytes } }
    : { publicKey: { rawBytes } }
  return {
    apiVersion: '0.0.2',
    kind: 'hashedrekord',
    spec: {
      hashedRekordV002: {
        data: { algorithm: 'SHA2_256', digest: base64(digest) },
        signature: {
          content: base64(signature),
          verifier: { keyDetails: 'PKIX_ECDSA_P256_SHA_256', ...material },
        },
      },
    },
  }
}

/** The envelope as cosign stores it in a layer of `.att` and hashes it for the log. */
export function envelopeJson(envelope: Envelope): Buffer {
  return Buffer.from(
    JSON.stringify({
      payloadType: envelope.payloadType,
      payload: base64(envelope.payload),
      signatures: [{ keyid: '', sig: base64(envelopeSignature(envelope)) }],
    }),
  )
}

export function envelopeSignature(envelope: Envelope): Buffer {
  const [signature] = envelope.signatures
  if (signature === undefined) throw new TypeError('the envelope has no signature')
  return signature.sig
}

function hashOf(bytes: Uint8Array): Hash {
  return { algorithm: 'sha256', value: sha256(bytes).toString('hex') }
}

function sha256(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest()
}

function base64(bytes: Uint8Array | string): string {
  return Buffer.from(bytes).toString('base64')
}
