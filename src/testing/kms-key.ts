import {
  constants,
  generateKeyPairSync,
  hash,
  privateEncrypt,
  randomUUID,
  sign,
  type KeyObject,
} from 'node:crypto'
import { p256, p384, p521 } from '@noble/curves/nist.js'

const SPECS = {
  ECC_NIST_P256: ['ECDSA_SHA_256'],
  ECC_NIST_P384: ['ECDSA_SHA_384'],
  ECC_NIST_P521: ['ECDSA_SHA_512'],
  ECC_SECG_P256K1: ['ECDSA_SHA_256'],
  ECC_NIST_EDWARDS25519: ['ED25519_SHA_512', 'ED25519_PH_SHA_512'],
  RSA_2048: rsaAlgorithms(),
  RSA_3072: rsaAlgorithms(),
  RSA_4096: rsaAlgorithms(),
} as const satisfies Record<string, readonly string[]>

export type KmsKeySpec = keyof typeof SPECS

/** A key as KMS has it. */
export type TestKmsKey = {
  readonly keyId: string
  readonly arn: string
  readonly spec: KmsKeySpec
  readonly publicKey: KeyObject
  readonly publicKeyPem: string
  /** In KMS's order: cosign uses the first. */
  readonly algorithms: readonly string[]
  /** As Sign does, by the first algorithm if no other is given: over a message (RAW) or over its digest (DIGEST). */
  sign(bytes: Buffer, options?: SignOptions): Buffer
}

type SignOptions = { readonly algorithm?: string; readonly messageType?: 'RAW' | 'DIGEST' }

function rsaAlgorithms(): readonly string[] {
  const hashes = ['SHA_256', 'SHA_384', 'SHA_512']
  return ['RSASSA_PKCS1_V1_5', 'RSASSA_PSS'].flatMap((scheme) => hashes.map((name) => `${scheme}_${name}`))
}

function generate(spec: KmsKeySpec): { publicKey: KeyObject; privateKey: KeyObject } {
  switch (spec) {
    case 'ECC_NIST_P256':
      return generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
    case 'ECC_NIST_P384':
      return generateKeyPairSync('ec', { namedCurve: 'secp384r1' })
    case 'ECC_NIST_P521':
      return generateKeyPairSync('ec', { namedCurve: 'secp521r1' })
    case 'ECC_SECG_P256K1':
      return generateKeyPairSync('ec', { namedCurve: 'secp256k1' })
    case 'ECC_NIST_EDWARDS25519':
      return generateKeyPairSync('ed25519')
    case 'RSA_2048':
    case 'RSA_3072':
    case 'RSA_4096':
      return generateKeyPairSync('rsa', { modulusLength: Number(spec.slice('RSA_'.length)) })
    default:
      return spec satisfies never
  }
}

export function createKmsKey(
  spec: KmsKeySpec,
  { region, account, keyId = randomUUID() }: { region: string; account: string; keyId?: string | undefined },
): TestKmsKey {
  const { publicKey, privateKey } = generate(spec)
  const algorithms = SPECS[spec]
  return {
    keyId,
    arn: `arn:aws:kms:${region}:${account}:key/${keyId}`,
    spec,
    publicKey,
    publicKeyPem: publicKey.export({ format: 'pem', type: 'spki' }).toString(),
    algorithms,
    sign: (bytes, { algorithm = algorithms[0] ?? '', messageType = 'RAW' } = {}) =>
      messageType === 'RAW'
        ? signMessage(privateKey, bytes, algorithm)
        : signDigest(privateKey, bytes, algorithm),
  }
}

function hashOf(algorithm: string): 'sha256' | 'sha384' | 'sha512' {
  const bits = algorithm.slice(-3)
  if (bits === '256' || bits === '384' || bits === '512') return `sha${bits}`
  throw new Error(`no hash in ${algorithm}`)
}

function signMessage(privateKey: KeyObject, message: Buffer, algorithm: string): Buffer {
  if (algorithm === 'ED25519_SHA_512') return sign(null, message, privateKey)
  if (!algorithm.startsWith('RSASSA_PSS')) return sign(hashOf(algorithm), message, privateKey)
  const { RSA_PKCS1_PSS_PADDING: padding, RSA_PSS_SALTLEN_DIGEST: saltLength } = constants
  return sign(hashOf(algorithm), message, { key: privateKey, padding, saltLength })
}

const CURVES = { ECDSA_SHA_256: p256, ECDSA_SHA_384: p384, ECDSA_SHA_512: p521 }

/** RFC 8017 section 9.2, note 1. */
const DIGEST_INFO = {
  sha256: '3031300d060960864801650304020105000420',
  sha384: '3041300d060960864801650304020205000430',
  sha512: '3051300d060960864801650304020305000440',
}

function signDigest(privateKey: KeyObject, digest: Buffer, algorithm: string): Buffer {
  const name = hashOf(algorithm)
  if (digest.length !== hash(name, '', 'buffer').length) {
    throw new Error(`Digest is invalid length for algorithm ${algorithm}.`)
  }
  if (algorithm.startsWith('RSASSA_PKCS1')) {
    const key = { key: privateKey, padding: constants.RSA_PKCS1_PADDING }
    return privateEncrypt(key, Buffer.concat([Buffer.from(DIGEST_INFO[name], 'hex'), digest]))
  }
  if (algorithm !== 'ECDSA_SHA_256' && algorithm !== 'ECDSA_SHA_384' && algorithm !== 'ECDSA_SHA_512') {
    throw new Error(`no digests are signed here with ${algorithm}`)
  }
  const secret = Buffer.from(privateKey.export({ format: 'jwk' }).d ?? '', 'base64url')
  return Buffer.from(CURVES[algorithm].sign(digest, secret, { prehash: false, lowS: false, format: 'der' }))
}
