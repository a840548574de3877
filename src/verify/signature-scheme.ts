import { constants, publicDecrypt, timingSafeEqual, verify, type KeyObject } from 'node:crypto'
import { createRequire } from 'node:module'
import type * as Nist from '@noble/curves/nist.js'
import type { DigestAlgorithm } from '../oci/digest.ts'
import { VerifierError } from './evidence-error.ts'
import { isAcceptedKey } from './public-key.ts'
import type { KeyScheme } from './types.ts'

const HASHES: readonly DigestAlgorithm[] = ['sha256', 'sha384', 'sha512']

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b)
}

function ecdsaSchemes(curve: string): readonly KeyScheme[] {
  switch (curve) {
    case 'prime256v1':
      return [{ hash: 'sha256' }]
    // cosign signs with SHA-256 whatever the curve of a key file; a KMS uses the curve's own hash.
    case 'secp384r1':
      return [{ hash: 'sha384' }, { hash: 'sha256' }]
    case 'secp521r1':
      return [{ hash: 'sha512' }, { hash: 'sha256' }]
    default:
      return []
  }
}

/** The schemes that a key of this type may use, preferred one first. RSA with PSS or another hash must be configured. */
export function schemesFor(key: KeyObject, configured: KeyScheme | undefined): readonly KeyScheme[] {
  if (!isAcceptedKey(key)) return []
  if (configured !== undefined) return [configured]
  const details = key.asymmetricKeyDetails
  const type: string = key.asymmetricKeyType ?? ''
  switch (type) {
    case 'ec':
      return ecdsaSchemes(details?.namedCurve ?? '')
    case 'rsa':
      return [{ hash: 'sha256' }]
    case 'rsa-pss': {
      const hash = HASHES.find((name) => name === (details?.hashAlgorithm ?? 'sha256'))
      return hash === undefined ? [] : [{ hash, pss: true }]
    }
    case 'ed25519':
      return [{ hash: null }]
    default:
      return []
  }
}

export function verifyBytes(data: Buffer, key: KeyObject, signature: Buffer, scheme: KeyScheme): boolean {
  try {
    if (scheme.pss !== true) return verify(scheme.hash, data, key, signature)
    const { RSA_PKCS1_PSS_PADDING: padding, RSA_PSS_SALTLEN_AUTO: saltLength } = constants
    return verify(scheme.hash, data, { key, padding, saltLength }, signature)
  } catch {
    return false
  }
}

/** RFC 8017 section 9.2, note 1: the DER in front of the digest. */
const DIGEST_INFO: Readonly<Record<DigestAlgorithm, Buffer>> = {
  sha256: Buffer.from('3031300d060960864801650304020105000420', 'hex'),
  sha384: Buffer.from('3041300d060960864801650304020205000430', 'hex'),
  sha512: Buffer.from('3051300d060960864801650304020305000440', 'hex'),
}

const CURVES = { prime256v1: 'p256', secp384r1: 'p384', secp521r1: 'p521' } as const

const load = createRequire(import.meta.url)

function rawPoint(key: KeyObject): Buffer {
  const { x, y } = key.export({ format: 'jwk' })
  if (x === undefined || y === undefined) throw new TypeError('not an elliptic curve key')
  return Buffer.concat([Buffer.of(4), Buffer.from(x, 'base64url'), Buffer.from(y, 'base64url')])
}

function curveOf(key: KeyObject): (typeof Nist)['p256'] | undefined {
  const name = key.asymmetricKeyDetails?.namedCurve
  if (name !== 'prime256v1' && name !== 'secp384r1' && name !== 'secp521r1') return undefined
  // Loaded here, because so few signatures need it that nobody's start should wait for it.
  try {
    const nist: typeof Nist = load('@noble/curves/nist.js')
    return nist[CURVES[name]]
  } catch (cause) {
    throw new VerifierError('the code of elliptic curves cannot be loaded', { cause })
  }
}

/** True where a signature by such a key can be checked against the digest of what was signed. */
export function signsDigests(key: KeyObject, scheme: KeyScheme): boolean {
  return scheme.hash !== null && scheme.pss !== true && key.asymmetricKeyType !== 'rsa-pss'
}

/**
 * Verifies a signature over bytes of which only the digest is known: node:crypto has no such call for ECDSA. Slower by
 * a factor of thirty (about 3 ms), so only used where the bytes are not at hand.
 */
export function verifyDigest(
  digest: Buffer,
  key: KeyObject,
  signature: Buffer,
  hash: DigestAlgorithm,
): boolean {
  const curve = key.asymmetricKeyType === 'ec' ? curveOf(key) : undefined
  try {
    if (curve !== undefined)
      return curve.verify(signature, digest, rawPoint(key), { prehash: false, lowS: false, format: 'der' })
    if (key.asymmetricKeyType !== 'rsa') return false
    const signed = publicDecrypt({ key, padding: constants.RSA_PKCS1_PADDING }, signature)
    return sameBytes(signed, Buffer.concat([DIGEST_INFO[hash], digest]))
  } catch {
    return false
  }
}
