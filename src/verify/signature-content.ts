import { hash, type KeyObject } from 'node:crypto'
import { dsse } from '@sigstore/core'
import type { SignedEntity } from '@sigstore/verify'
import type { DigestAlgorithm } from '../oci/digest.ts'
import { EvidenceError } from './evidence-error.ts'
import type { SignedContent } from './evidence.ts'
import { sameBytes, schemesFor, signsDigests, verifyBytes, verifyDigest } from './signature-scheme.ts'
import type { KeyScheme } from './types.ts'

/** What @sigstore/verify asks of a signature; its own implementations know SHA-256 and three key types. */
export type SignatureContent = SignedEntity['signature']

const ALGORITHM_BY_LENGTH: Readonly<Record<number, DigestAlgorithm>> = {
  32: 'sha256',
  48: 'sha384',
  64: 'sha512',
}

function isDigestOf(digest: Buffer, bytes: Buffer): boolean {
  const algorithm = ALGORITHM_BY_LENGTH[digest.length]
  return algorithm !== undefined && sameBytes(digest, hash(algorithm, bytes, 'buffer'))
}

function usableSchemes(key: KeyObject, configured: KeyScheme | undefined): readonly KeyScheme[] {
  const schemes = schemesFor(key, configured)
  if (schemes.length === 0) throw new EvidenceError('unsupported', 'signature by an unsupported type of key')
  return schemes
}

function verifyWithKey(
  bytes: Buffer,
  signature: Buffer,
  key: KeyObject,
  scheme: KeyScheme | undefined,
): boolean {
  return usableSchemes(key, scheme).some((candidate) => verifyBytes(bytes, key, signature, candidate))
}

/** A signature over bytes that are at hand. `digest` is what log entries of kind `dsse` and `intoto` call the payload's. */
function overBytes(
  signed: Buffer,
  content: { readonly signature: Buffer; readonly payload: Buffer; readonly stamped: Buffer },
  scheme: KeyScheme | undefined,
): SignatureContent {
  return {
    // The library reads this only as what RFC 3161 timestamps cover.
    signature: content.stamped,
    compareSignature: (signature) => sameBytes(signature, content.signature),
    compareDigest: (digest) => isDigestOf(digest, content.payload),
    compareSignedDigest: (digest) => isDigestOf(digest, signed),
    verifySignature: (key) => verifyWithKey(signed, content.signature, key, scheme),
  }
}

type ArtifactContent = Extract<SignedContent, { kind: 'artifact' }>

/** A signature over something of which only the digest is at hand: the subject of an image signature. */
function overDigest(content: ArtifactContent, scheme: KeyScheme | undefined): SignatureContent {
  const { signature, digest, algorithm } = content
  return {
    signature,
    compareSignature: (other) => sameBytes(other, signature),
    compareDigest: (other) => sameBytes(other, digest),
    compareSignedDigest: (other) => sameBytes(other, digest),
    verifySignature: (key) => {
      const usable = usableSchemes(key, scheme).filter((candidate) => signsDigests(key, candidate))
      if (!usable.some((candidate) => candidate.hash === algorithm)) {
        throw new EvidenceError(
          'unsupported',
          'signature scheme of this key can only be verified with the signed bytes',
        )
      }
      return verifyDigest(digest, key, signature, algorithm)
    },
  }
}

/** `artifact` are the subject's bytes, where the caller has them. `scheme` overrides what the key's type implies. */
export function signatureContent(
  content: SignedContent,
  artifact: Buffer | undefined,
  scheme: KeyScheme | undefined,
): SignatureContent {
  switch (content.kind) {
    case 'envelope': {
      const { signature, payload, layer } = content
      const signed = dsse.preAuthEncoding(content.payloadType, payload)
      // cosign stamps the whole layer of an .att: pkg/cosign/verify.go, VerifyRFC3161Timestamp.
      return overBytes(signed, { signature, payload, stamped: layer ?? signature }, scheme)
    }
    case 'payload': {
      const { signature, payload } = content
      return overBytes(payload, { signature, payload, stamped: signature }, scheme)
    }
    case 'artifact': {
      if (artifact === undefined || !isDigestOf(content.digest, artifact)) return overDigest(content, scheme)
      const { signature } = content
      return overBytes(artifact, { signature, payload: artifact, stamped: signature }, scheme)
    }
  }
}
