import { hash, type KeyObject } from 'node:crypto'
import { publicKeyOf, readPem, spkiOf } from './encoding.ts'
import type { KeyScheme, PublicKey } from './types.ts'

const ACCEPTED_KEYS = 'ECDSA P-256, P-384 or P-521, RSA of 2048 to 8192 bits (PKCS#1 v1.5 or PSS), or Ed25519'

const CURVES: ReadonlySet<string> = new Set(['prime256v1', 'secp384r1', 'secp521r1'])
const RSA_BITS_MIN = 2048
/** Verification time grows with the square of the modulus. */
const RSA_BITS_MAX = 8192

/** Key types that Sigstore's algorithm registry knows and node:crypto verifies. */
export function isAcceptedKey(key: KeyObject): boolean {
  const details = key.asymmetricKeyDetails
  const type: string = key.asymmetricKeyType ?? ''
  switch (type) {
    case 'ec':
      return CURVES.has(details?.namedCurve ?? '')
    case 'rsa':
    case 'rsa-pss': {
      const bits = details?.modulusLength ?? 0
      return bits >= RSA_BITS_MIN && bits <= RSA_BITS_MAX
    }
    case 'ed25519':
      return true
    default:
      return false
  }
}

/** A scheme that this type of key cannot use would make every signature of the key invalid. */
function isUsableScheme(key: KeyObject, scheme: KeyScheme): boolean {
  if (key.asymmetricKeyType === 'ed25519') return scheme.hash === null && scheme.pss !== true
  if (scheme.hash === null) return false
  return key.asymmetricKeyType === 'ec' ? scheme.pss !== true : true
}

function toPublicKey(
  key: KeyObject,
  scheme: KeyScheme | undefined,
): PublicKey | { readonly problem: string } {
  if (!isAcceptedKey(key)) return { problem: `unsupported public key; accepted are ${ACCEPTED_KEYS}` }
  if (scheme !== undefined && !isUsableScheme(key, scheme)) {
    return { problem: `a key of type ${key.asymmetricKeyType ?? 'unknown'} cannot use this signature scheme` }
  }
  const id = `sha256:${hash('sha256', spkiOf(key), 'hex')}`
  return scheme === undefined ? { id, key } : { id, key, scheme }
}

/** Reads a PEM public key (`PUBLIC KEY` or `RSA PUBLIC KEY`); `problem` says what is wrong with it. */
export function readPublicKey(pem: string, scheme?: KeyScheme): PublicKey | { readonly problem: string } {
  const block = readPem(pem)
  if (block === undefined) return { problem: 'not one PEM block' }
  if (block.label === 'CERTIFICATE') return { problem: 'a certificate, where a public key is needed' }
  if (block.label.includes('PRIVATE')) return { problem: 'a private key, where a public key is needed' }
  const key = publicKeyOf(block)
  if (key === undefined) return { problem: `not a readable public key; accepted are ${ACCEPTED_KEYS}` }
  return toPublicKey(key, scheme)
}
