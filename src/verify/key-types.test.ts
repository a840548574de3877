import assert from 'node:assert/strict'
import { constants, generateKeyPairSync, sign } from 'node:crypto'
import { before, suite, test } from 'node:test'
import type { KeyPair } from '../testing/certificate.ts'
import { cosignLayer } from '../testing/cosign-layer.ts'
import { createSigstore, managedSigner, type Sigstore } from '../testing/sigstore.ts'
import { simpleSigningPayload } from '../testing/statements.ts'
import {
  assertAccepted,
  assertRefused,
  bundleCandidate,
  IDENTITY,
  IMAGE,
  layerCandidate,
  publicKeyOf,
  STATEMENT,
  SUBJECT,
  trustRootOf,
} from '../testing/verification.ts'
import type { SchemeOptions } from './public-key.ts'
import type { PublicKey } from './types.ts'
import { verifyCandidate, type SubjectInput } from './verify.ts'

type Hash = 'sha256' | 'sha384' | 'sha512'
const ec = (namedCurve: string): KeyPair => generateKeyPairSync('ec', { namedCurve })
const rsa = (modulusLength: number): KeyPair => generateKeyPairSync('rsa', { modulusLength })
const pss = (pair: KeyPair, hash: Hash) => (data: Buffer) =>
  sign(hash, data, {
    key: pair.privateKey,
    padding: constants.RSA_PKCS1_PSS_PADDING,
    saltLength: constants.RSA_PSS_SALTLEN_DIGEST,
  })
const plain = (pair: KeyPair, hash: Hash | null) => (data: Buffer) => sign(hash, data, pair.privateKey)

type KeyCase = {
  readonly name: string
  readonly pair: KeyPair
  readonly signData: (data: Buffer) => Buffer
  readonly options?: SchemeOptions
  /** Whether a signature over the image verifies where only its SHA-256 digest is known. */
  readonly byDigest: boolean
}

function keyCase(
  name: string,
  pair: KeyPair,
  hash: Hash | null,
  details: { options?: SchemeOptions; byDigest?: boolean } = {},
): KeyCase {
  const { options, byDigest = hash === 'sha256' } = details
  const signData = options?.padding === 'pss' && hash !== null ? pss(pair, hash) : plain(pair, hash)
  return { name, pair, signData, byDigest, ...(options === undefined ? {} : { options }) }
}

const RSA_2048 = rsa(2048)
const RSA_PSS = generateKeyPairSync('rsa-pss', {
  modulusLength: 2048,
  hashAlgorithm: 'sha384',
  mgf1HashAlgorithm: 'sha384',
})
const CASES: readonly KeyCase[] = [
  keyCase('P-256 SHA-256', ec('prime256v1'), 'sha256'),
  keyCase('P-384 SHA-384', ec('secp384r1'), 'sha384'),
  keyCase('P-384 SHA-256, as cosign', ec('secp384r1'), 'sha256'),
  keyCase('P-521 SHA-512', ec('secp521r1'), 'sha512'),
  keyCase('P-521 SHA-256, as cosign', ec('secp521r1'), 'sha256'),
  keyCase('RSA-2048 PKCS#1 SHA-256', RSA_2048, 'sha256'),
  keyCase('RSA-3072 PKCS#1 SHA-256', rsa(3072), 'sha256'),
  keyCase('RSA-2048 PKCS#1 SHA-512, configured', RSA_2048, 'sha512', {
    options: { hashAlgorithm: 'sha512' },
  }),
  keyCase('RSA-4096 PKCS#1 SHA-512, configured', rsa(4096), 'sha512', {
    options: { hashAlgorithm: 'sha512' },
  }),
  keyCase('RSA-2048 PSS SHA-256, configured', RSA_2048, 'sha256', {
    options: { hashAlgorithm: 'sha256', padding: 'pss' },
    byDigest: false,
  }),
  keyCase('RSA-2048 PSS SHA-512, configured', RSA_2048, 'sha512', {
    options: { hashAlgorithm: 'sha512', padding: 'pss' },
  }),
  { name: 'RSA-PSS key', pair: RSA_PSS, signData: plain(RSA_PSS, 'sha384'), byDigest: false },
  keyCase('Ed25519', generateKeyPairSync('ed25519'), null),
]

const keyOf = ({ pair, options }: KeyCase): PublicKey => publicKeyOf(pair.publicKey, options)

let sigstore: Sigstore
let witness: SubjectInput

before(async () => {
  sigstore = await createSigstore()
  witness = { subject: SUBJECT, roots: [trustRootOf(sigstore.trustedRoot())], keys: [] }
})

for (const entry of CASES) {
  suite(`key ${entry.name}`, () => {
    const key = keyOf(entry)
    const signer = managedSigner(entry.pair, entry.signData)
    const other = keyCase('other', ec('prime256v1'), 'sha256')
    const input = (): SubjectInput => ({ ...witness, keys: [keyOf(other), key] })

    test('an attestation verifies, in a log and without one', async () => {
      const logged = assertAccepted(
        verifyCandidate(bundleCandidate(await sigstore.dsse(STATEMENT, signer)), input()),
      )
      const { scheme } = key
      const expected = { kind: 'key', key: key.id, ...(scheme === undefined ? {} : { scheme }) }
      assert.deepEqual(logged.signer, expected)
      assert.equal(logged.logs.length, 1)
      const bare = assertAccepted(
        verifyCandidate(bundleCandidate(await sigstore.dsse(STATEMENT, signer, { log: 0 })), input()),
      )
      assert.deepEqual([bare.logs, bare.times], [[], []])
    })

    test('a .sig layer verifies', async () => {
      const payload = simpleSigningPayload('r.test/app', SUBJECT)
      const layer = cosignLayer(await sigstore.message(payload, signer), payload)
      assertAccepted(verifyCandidate(layerCandidate(layer), input()))
    })

    test('a signature over the image verifies with its bytes', async () => {
      const bundle = bundleCandidate(await sigstore.message(IMAGE, signer))
      assertAccepted(verifyCandidate(bundle, { ...input(), artifact: IMAGE }))
      assertRefused(
        verifyCandidate(bundle, { ...input(), artifact: IMAGE, keys: [keyOf(other)] }),
        'key',
        /none of the 1 configured keys/,
      )
    })

    test(`a signature over the image ${entry.byDigest ? 'verifies' : 'is refused'} by its digest alone`, async () => {
      const result = verifyCandidate(bundleCandidate(await sigstore.message(IMAGE, signer)), {
        ...witness,
        keys: [key],
      })
      if (entry.byDigest) assertAccepted(result)
      else assert.equal(result.verified.length, 0)
    })

    test('one bit of the signature decides', async () => {
      const damaged = managedSigner(entry.pair, (data) => {
        const signature = entry.signData(data)
        signature.writeUInt8(signature.readUInt8(signature.length - 1) ^ 1, signature.length - 1)
        return signature
      })
      for (const artifact of [{}, { artifact: IMAGE }]) {
        const result = verifyCandidate(bundleCandidate(await sigstore.message(IMAGE, damaged, { log: 0 })), {
          ...input(),
          ...artifact,
        })
        assert.equal(result.verified.length, 0)
      }
      const statement = verifyCandidate(
        bundleCandidate(await sigstore.dsse(STATEMENT, damaged, { log: 0 })),
        input(),
      )
      assertRefused(statement, 'key', /none of the 2/)
    })
  })
}

suite('schemes', () => {
  test('an RSA key verifies nothing but what it is configured for', async () => {
    const signer = managedSigner(RSA_2048, pss(RSA_2048, 'sha256'))
    const bundle = bundleCandidate(await sigstore.dsse(STATEMENT, signer, { log: 0 }))
    const base = { name: '', pair: RSA_2048, signData: plain(RSA_2048, 'sha256'), byDigest: false }
    for (const options of [
      {},
      { hashAlgorithm: 'sha512', padding: 'pss' },
      { hashAlgorithm: 'sha512' },
    ] as const) {
      const key = keyOf({ ...base, options })
      assertRefused(verifyCandidate(bundle, { ...witness, keys: [key] }), 'key', /none of the 1/)
    }
  })

  for (const [curve, hash] of [
    ['P-384', 'sha384'],
    ['P-384', 'sha256'],
    ['P-521', 'sha512'],
  ] as const) {
    test(`a ${curve} certificate with ${hash} verifies`, async () => {
      const bundle = await sigstore.dsse(STATEMENT, sigstore.keyless({ ...IDENTITY, leaf: { curve, hash } }))
      assertAccepted(verifyCandidate(bundleCandidate(bundle), witness))
    })
  }
})
