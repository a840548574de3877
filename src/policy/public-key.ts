import { createHash, createPublicKey, type KeyObject } from 'node:crypto'
import type { KeyScheme, PublicKey } from '../verify/types.ts'

export type PublicKeyResult =
  | { readonly ok: true; readonly key: PublicKey }
  | { readonly ok: false; readonly message: string }

/** How a signature is made with the key, where that is not the default of its type. */
export type SchemeOptions = {
  readonly hashAlgorithm: 'sha256' | 'sha384' | 'sha512' | undefined
  readonly padding: 'pkcs1' | 'pss' | undefined
}

/** NIST SP 800-131A: shorter moduli are disallowed. */
const RSA_BITS_MIN = 2048
/** A longer modulus costs the verifier time and buys nothing. */
const RSA_BITS_MAX = 8192
const CURVES = new Map([
  ['prime256v1', 'P-256'],
  ['secp384r1', 'P-384'],
  ['secp521r1', 'P-521'],
])
const PEM_BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----/g

/** Parses one PEM public key (SubjectPublicKeyInfo or PKCS#1). A private key or certificate is not taken for one. */
export function parsePublicKey(pem: string, options: SchemeOptions): PublicKeyResult {
  const labels = [...pem.matchAll(PEM_BLOCK)].map(([, label = '']) => label)
  const [label] = labels
  if (label === undefined) return wrong('no PEM block')
  if (labels.length > 1) return wrong(`${labels.length} PEM blocks; write one authority for each key`)
  if (label.includes('PRIVATE KEY'))
    return wrong('a PRIVATE key, which must not be here: replace it and publish none of it')
  if (label !== 'PUBLIC KEY' && label !== 'RSA PUBLIC KEY') return wrong(`a PEM block of type ${label}`)
  const key = readKey(pem)
  if (typeof key === 'string') return wrong(`a damaged PEM block (${key})`)
  const fault = faultOf(key)
  if (fault !== undefined) return wrong(fault)
  const scheme = schemeOf(key, options)
  if (typeof scheme === 'string') return { ok: false, message: scheme }
  const id = `sha256:${createHash('sha256')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest('hex')}`
  return { ok: true, key: { id, key, ...(scheme === undefined ? {} : { scheme }) } }
}

function wrong(found: string): PublicKeyResult {
  return { ok: false, message: `found ${found}, expected one "-----BEGIN PUBLIC KEY-----" block` }
}

function readKey(pem: string): KeyObject | string {
  try {
    return createPublicKey(pem)
  } catch (error) {
    return error instanceof Error ? error.message : 'not readable'
  }
}

/** What is wrong with a key that could be read. Keys that nobody should trust stop the load. */
function faultOf(key: KeyObject): string | undefined {
  const type = key.asymmetricKeyType
  const details = key.asymmetricKeyDetails
  if (type === 'ed25519') return undefined
  if (type === 'ec') {
    const curve = details?.namedCurve ?? 'of no name'
    return CURVES.has(curve) ? undefined : `an EC key on curve ${curve} (P-256, P-384 and P-521 are accepted)`
  }
  if (type !== 'rsa' && type !== 'rsa-pss') {
    return `a key of type ${String(type)} (ec, rsa, rsa-pss and ed25519 are accepted)`
  }
  const bits = details?.modulusLength ?? 0
  if (bits < RSA_BITS_MIN) return `an RSA key of ${bits} bits (at least ${RSA_BITS_MIN} are needed)`
  return bits > RSA_BITS_MAX ? `an RSA key of ${bits} bits (at most ${RSA_BITS_MAX} are accepted)` : undefined
}

/** undefined: the default of the key's type. A string: the options do not fit the key. */
function schemeOf(key: KeyObject, options: SchemeOptions): KeyScheme | string | undefined {
  const { hashAlgorithm, padding } = options
  const misfit = misfitOf(key.asymmetricKeyType, options)
  if (misfit !== undefined) return misfit
  const pss = padding === 'pss' || key.asymmetricKeyType === 'rsa-pss'
  if (hashAlgorithm === undefined && !pss) return undefined
  return { hash: hashAlgorithm ?? 'sha256', ...(pss ? { pss } : {}) }
}

function misfitOf(type: string | undefined, { hashAlgorithm, padding }: SchemeOptions): string | undefined {
  if (type === 'ed25519' && hashAlgorithm !== undefined) {
    return 'found hashAlgorithm with an Ed25519 key, which fixes its own; drop it'
  }
  if (padding === undefined || type === 'rsa') return undefined
  if (type !== 'rsa-pss') return 'found padding with a key that is not RSA; drop it'
  return padding === 'pkcs1' ? 'found padding pkcs1 with an RSA-PSS key; drop it' : undefined
}
