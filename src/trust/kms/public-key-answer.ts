import { createPublicKey, type KeyObject } from 'node:crypto'
import type { GetPublicKeyCommandOutput } from '@aws-sdk/client-kms'
import { readPublicKey, type SchemeOptions } from '../../verify/public-key.ts'
import type { PublicKey } from '../../verify/types.ts'

type AnsweredKey = { readonly keyId: string; readonly publicKey: PublicKey }
type Problem = { readonly problem: string }

/** An ARN with the longest alias has 336 characters; the API allows 2,048. */
const KEY_ID = /^[\x21-\x7e]{1,2048}$/
/** GetPublicKey, "PublicKey": at most 8,192 bytes. */
const PUBLIC_KEY_BYTES_MAX = 8192

/** Key specs that cosign creates and signs with, and Ed25519; what the key must then be. */
const KEY_SPECS: ReadonlyMap<string, string> = new Map([
  ['ECC_NIST_P256', 'ec prime256v1'],
  ['ECC_NIST_P384', 'ec secp384r1'],
  ['ECC_NIST_P521', 'ec secp521r1'],
  ['ECC_NIST_EDWARDS25519', 'ed25519'],
  ['RSA_2048', 'rsa 2048'],
  ['RSA_3072', 'rsa 3072'],
  ['RSA_4096', 'rsa 4096'],
])

const SCHEMES: ReadonlyMap<string, SchemeOptions> = new Map([
  ['ECDSA_SHA_256', { hashAlgorithm: 'sha256' }],
  ['ECDSA_SHA_384', { hashAlgorithm: 'sha384' }],
  ['ECDSA_SHA_512', { hashAlgorithm: 'sha512' }],
  ['RSASSA_PKCS1_V1_5_SHA_256', { hashAlgorithm: 'sha256', padding: 'pkcs1' }],
  ['RSASSA_PKCS1_V1_5_SHA_384', { hashAlgorithm: 'sha384', padding: 'pkcs1' }],
  ['RSASSA_PKCS1_V1_5_SHA_512', { hashAlgorithm: 'sha512', padding: 'pkcs1' }],
  ['RSASSA_PSS_SHA_256', { hashAlgorithm: 'sha256', padding: 'pss' }],
  ['RSASSA_PSS_SHA_384', { hashAlgorithm: 'sha384', padding: 'pss' }],
  ['RSASSA_PSS_SHA_512', { hashAlgorithm: 'sha512', padding: 'pss' }],
  // Over the message itself. ED25519_PH_SHA_512, over its digest, is another scheme that nothing here verifies.
  ['ED25519_SHA_512', {}],
])

/** Node's words for the key, as in KEY_SPECS. */
function shapeOf({ asymmetricKeyType: type, asymmetricKeyDetails: details }: KeyObject): string {
  const size = details?.namedCurve ?? details?.modulusLength
  return size === undefined ? `${type}` : `${type} ${size}`
}

/**
 * The first algorithm listed, as cosign reads it (sigstore/sigstore pkg/signature/kms/aws): it signs with that one, so
 * any other reading would refuse what it signs. For RSA that is PKCS#1 v1.5 with SHA-256; to accept PSS beside it would
 * let one key mean two things. Should KMS list another one first some day, that counts as a move to another key.
 */
function schemeOf(algorithms: readonly string[]): SchemeOptions | undefined {
  const pure = algorithms.find((name) => name === 'ED25519_SHA_512')
  return SCHEMES.get(pure ?? algorithms[0] ?? '')
}

function readDer(bytes: Uint8Array): KeyObject | Problem {
  try {
    return createPublicKey({ key: Buffer.from(bytes), format: 'der', type: 'spki' })
  } catch {
    return { problem: `answered with ${bytes.length} bytes that are no public key` }
  }
}

type Kind = { readonly spec: string; readonly shape: string; readonly scheme: SchemeOptions }

/** What KMS says that the key is and is for. */
function readKind(answer: GetPublicKeyCommandOutput): Kind | Problem {
  const { KeyUsage: usage, SigningAlgorithms: algorithms } = answer
  if (usage !== 'SIGN_VERIFY') return { problem: `the key is for ${word(usage)}, expected SIGN_VERIFY` }
  // The older name of the same field is all that some implementations send.
  const spec = answer.KeySpec ?? answer.CustomerMasterKeySpec ?? ''
  const shape = KEY_SPECS.get(spec)
  if (shape === undefined) {
    return { problem: `the key spec is ${word(spec)}, expected one of ${[...KEY_SPECS.keys()].join(', ')}` }
  }
  const scheme = Array.isArray(algorithms) ? schemeOf(algorithms) : undefined
  if (scheme !== undefined) return { spec, shape, scheme }
  return { problem: `the first signing algorithm is ${word(algorithms?.[0])}, which cannot be verified` }
}

/** Some implementations name the key by its id alone where AWS sends the ARN. */
function idOf(name: string): string {
  return name.slice(name.lastIndexOf('/') + 1).toLowerCase()
}

/** Whether the answer is about the key that `asked` names. What an alias leads to, only KMS can say. */
function isAbout(asked: string, answered: string): boolean {
  if (/^(?:alias\/|arn:.*:alias\/)/.test(asked)) return true
  if (asked.startsWith('arn:') && answered.startsWith('arn:')) {
    return asked.toLowerCase() === answered.toLowerCase()
  }
  return idOf(asked) === idOf(answered)
}

/**
 * `asked` is what KMS was asked for: a key id, an alias, or the ARN of either. Every field may be missing or anything
 * else: what the SDK declares is not checked by it.
 */
export function readPublicKeyAnswer(asked: string, answer: GetPublicKeyCommandOutput): AnsweredKey | Problem {
  const { KeyId: keyId, PublicKey: bytes } = answer
  if (typeof keyId !== 'string' || !KEY_ID.test(keyId) || !(bytes instanceof Uint8Array)) {
    return { problem: 'answered without a key' }
  }
  if (!isAbout(asked, keyId)) return { problem: `answered with another key, ${keyId.slice(0, 256)}` }
  if (bytes.length > PUBLIC_KEY_BYTES_MAX) return { problem: `answered with a key of ${bytes.length} bytes` }
  const kind = readKind(answer)
  if ('problem' in kind) return kind
  const key = readDer(bytes)
  if ('problem' in key) return key
  if (shapeOf(key) !== kind.shape) {
    return { problem: `answered with a key of type ${shapeOf(key)} that it calls ${kind.spec}` }
  }
  const publicKey = readPublicKey(key.export({ format: 'pem', type: 'spki' }).toString(), kind.scheme)
  return 'problem' in publicKey ? publicKey : { keyId, publicKey }
}

function word(value: unknown): string {
  return typeof value === 'string' && /^\w{1,64}$/.test(value) ? value : 'none that is known'
}
