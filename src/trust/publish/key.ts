import { createPublicKey, hash, type KeyObject } from 'node:crypto'
import { Key } from '@tufjs/models'
import { PublishError } from './error.ts'

/**
 * The key as TUF metadata writes it (TUF specification 4.2): Ed25519 in hex, ECDSA P-256 as PEM, which tuf-js, go-tuf 0.7
 * and go-tuf 2 all read. `from` names its source in errors. Throws PublishError `key` for any other type.
 */
export function tufKey(publicKey: KeyObject, from: string): Key {
  const form = formOf(publicKey)
  if (form === undefined) {
    const type = publicKey.asymmetricKeyDetails?.namedCurve ?? publicKey.asymmetricKeyType ?? 'symmetric'
    throw new PublishError(
      'key',
      `${from} holds a key of type ${type}; use Ed25519 (openssl genpkey -algorithm ed25519 -out FILE) or ECDSA P-256`,
    )
  }
  return new Key({
    keyID: keyIdOf(form),
    keyType: form.keyType,
    scheme: form.scheme,
    keyVal: { public: form.value },
  })
}

/** Reads a PEM `PUBLIC KEY`. Throws PublishError `key`, above all where it is a private one. */
export function parsePublicKey(pem: string, from: string): Key {
  if (/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(pem)) {
    throw new PublishError(
      'key',
      `${from} is a private key; give the public half: openssl pkey -in ${from} -pubout -out ${from}.pub`,
    )
  }
  if (!pem.includes('-----BEGIN PUBLIC KEY-----')) {
    throw new PublishError('key', `${from} is no public key in PEM (-----BEGIN PUBLIC KEY-----)`)
  }
  try {
    return tufKey(createPublicKey(pem), from)
  } catch (error) {
    if (error instanceof PublishError) throw error
    throw new PublishError('key', `${from} is no public key that can be read`, error)
  }
}

/**
 * True where the key is written as `tufKey` writes it and the ID is the hash of that: one key under two IDs, by other
 * white space or letter case, would count twice towards a threshold.
 */
export function hasOwnId({ keyID, keyType, scheme, keyVal }: Key): boolean {
  const form = { keyType, scheme, value: keyVal['public'] ?? '' }
  return isCanonical(form) && keyID === keyIdOf(form)
}

type Form = { readonly keyType: string; readonly scheme: string; readonly value: string }

const ED25519_HEX = /^[0-9a-f]{64}$/

function isCanonical({ keyType, scheme, value }: Form): boolean {
  if (keyType === 'ed25519') return scheme === 'ed25519' && ED25519_HEX.test(value)
  try {
    const form = formOf(createPublicKey(value))
    return form?.keyType === keyType && form.scheme === scheme && form.value === value
  } catch {
    return false
  }
}

/** RFC 8032 keys end in their 32 raw bytes. */
const ED25519_BYTES = 32

function formOf(key: KeyObject): Form | undefined {
  if (key.asymmetricKeyType === 'ed25519') {
    const raw = key.export({ format: 'der', type: 'spki' }).subarray(-ED25519_BYTES)
    return { keyType: 'ed25519', scheme: 'ed25519', value: raw.toString('hex') }
  }
  if (key.asymmetricKeyDetails?.namedCurve !== 'prime256v1') return undefined
  // By its coordinates: OpenSSL writes a point that it read compressed as compressed again, which is another form.
  const point = createPublicKey({ format: 'jwk', key: key.export({ format: 'jwk' }) })
  const value = point.export({ format: 'pem', type: 'spki' }).toString()
  return { keyType: 'ecdsa', scheme: 'ecdsa-sha2-nistp256', value }
}

/** TUF specification 4.2, KEYID. Canonical JSON escapes only quotes and backslashes, which none of these values has. */
function keyIdOf({ keyType, scheme, value }: Form): string {
  const canonical = `{"keytype":"${keyType}","keyval":{"public":"${value}"},"scheme":"${scheme}"}`
  return hash('sha256', canonical, 'hex')
}

/** Enough of an ID for people: what commands print, and the least that they accept. */
export const KEY_ID_PREFIX_CHARACTERS = 8

export function shortId(keyId: string): string {
  return keyId.slice(0, KEY_ID_PREFIX_CHARACTERS)
}
