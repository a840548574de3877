import { createPublicKey, hash, type KeyObject } from 'node:crypto'
import { spkiOf } from './encoding.ts'
import type { KeyScheme, PublicKey, Signer } from './types.ts'

/** How a signature is made with the key, where that is not the default of its type. */
export type SchemeOptions = {
  readonly hashAlgorithm?: 'sha256' | 'sha384' | 'sha512' | undefined
  readonly padding?: 'pkcs1' | 'pss' | undefined
}

type Problem = { readonly problem: string }

/** NIST SP 800-131A: shorter moduli are disallowed. */
const RSA_BITS_MIN = 2048
/** Verification time grows with the square of the modulus. */
const RSA_BITS_MAX = 8192
const CURVES: ReadonlySet<string> = new Set(['prime256v1', 'secp384r1', 'secp521r1'])
const PEM_BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----/g

/** Why a key is none that Sigstore's algorithm registry knows and node:crypto verifies; undefined where it is one. */
function faultOf(key: KeyObject): string | undefined {
  const type: string = key.asymmetricKeyType ?? ''
  switch (type) {
    case 'ed25519':
      return undefined
    case 'ec': {
      const curve = key.asymmetricKeyDetails?.namedCurve ?? 'of no name'
      return CURVES.has(curve)
        ? undefined
        : `an EC key on curve ${curve} (P-256, P-384 and P-521 are accepted)`
    }
    case 'rsa':
    case 'rsa-pss':
      return modulusFaultOf(key.asymmetricKeyDetails?.modulusLength ?? 0)
    default:
      return `a key of type ${type} (ec, rsa, rsa-pss and ed25519 are accepted)`
  }
}

function modulusFaultOf(bits: number): string | undefined {
  if (bits < RSA_BITS_MIN) return `an RSA key of ${bits} bits (at least ${RSA_BITS_MIN} are needed)`
  return bits > RSA_BITS_MAX ? `an RSA key of ${bits} bits (at most ${RSA_BITS_MAX} are accepted)` : undefined
}

export function isAcceptedKey(key: KeyObject): boolean {
  return faultOf(key) === undefined
}

/** A scheme that the key cannot use would make every signature of the key invalid. */
function misfitOf(key: KeyObject, { hashAlgorithm, padding }: SchemeOptions): string | undefined {
  const type = key.asymmetricKeyType
  if (type === 'ed25519' && hashAlgorithm !== undefined) {
    return 'found hashAlgorithm with an Ed25519 key, which fixes its own; drop it'
  }
  if (type === 'rsa-pss') {
    if (padding === 'pkcs1') return 'found padding pkcs1 with an RSA-PSS key; drop it'
    const own = key.asymmetricKeyDetails?.hashAlgorithm
    const differs = own !== undefined && hashAlgorithm !== undefined && hashAlgorithm !== own
    return differs
      ? `found hashAlgorithm ${hashAlgorithm} with an RSA-PSS key for ${own}; drop it`
      : undefined
  }
  if (padding === undefined || type === 'rsa') return undefined
  return 'found padding with a key that is not RSA; drop it'
}

/** undefined: what the key's type implies. */
function schemeOf(key: KeyObject, { hashAlgorithm, padding }: SchemeOptions): KeyScheme | undefined {
  const isPssKey = key.asymmetricKeyType === 'rsa-pss'
  if (hashAlgorithm === undefined && (padding !== 'pss' || isPssKey)) return undefined
  const hashName = hashAlgorithm ?? 'sha256'
  return padding === 'pss' || isPssKey ? { hash: hashName, pss: true } : { hash: hashName }
}

/** Tells keys apart as signatures do: one key under two schemes is two, since each counts other signatures. */
export function keyName({ id, scheme }: Pick<PublicKey, 'id' | 'scheme'>): string {
  return scheme === undefined ? id : `${id} ${scheme.hash ?? 'none'}${scheme.pss === true ? ' pss' : ''}`
}

/** Whether it is this key, under this scheme, that verified. */
export function isSignedBy(signer: Signer, key: Pick<PublicKey, 'id' | 'scheme'>): boolean {
  return signer.kind === 'key' && keyName({ ...signer, id: signer.key }) === keyName(key)
}

export function signerOf({ id, scheme }: PublicKey): Extract<Signer, { kind: 'key' }> {
  return scheme === undefined ? { kind: 'key', key: id } : { kind: 'key', key: id, scheme }
}

function wrong(found: string): Problem {
  return { problem: `found ${found}, expected one "-----BEGIN PUBLIC KEY-----" block` }
}

function readKey(pem: string): KeyObject | Problem {
  try {
    return createPublicKey(pem)
  } catch (error) {
    return wrong(`a damaged PEM block (${error instanceof Error ? error.message : 'not readable'})`)
  }
}

/**
 * Reads one PEM public key (SubjectPublicKeyInfo or PKCS#1); a private key or certificate is not taken for one. Without
 * options the key type's own scheme is used: SHA-256 for RSA (PKCS#1 v1.5) and P-256, also the curve's own hash for
 * P-384 and P-521. `problem` says what was found and expected, and quotes nothing of the text.
 */
export function readPublicKey(pem: string, options: SchemeOptions = {}): PublicKey | Problem {
  const labels = [...pem.matchAll(PEM_BLOCK)].map(([, label = '']) => label)
  const [label] = labels
  if (label === undefined) return wrong('no PEM block')
  if (labels.length > 1) return wrong(`${labels.length} PEM blocks; give each key by itself`)
  if (label.includes('PRIVATE KEY'))
    return wrong('a PRIVATE key, which must not be here: replace it and publish none of it')
  if (label !== 'PUBLIC KEY' && label !== 'RSA PUBLIC KEY') return wrong(`a PEM block of type ${label}`)
  const key = readKey(pem)
  if ('problem' in key) return key
  const fault = faultOf(key)
  if (fault !== undefined) return wrong(fault)
  const misfit = misfitOf(key, options)
  if (misfit !== undefined) return { problem: misfit }
  const scheme = schemeOf(key, options)
  const id = `sha256:${hash('sha256', spkiOf(key), 'hex')}`
  return scheme === undefined ? { id, key } : { id, key, scheme }
}
