import assert from 'node:assert/strict'
import { createHash, generateKeyPairSync, type KeyObject } from 'node:crypto'
import test from 'node:test'
import { readPublicKey, type SchemeOptions } from './public-key.ts'
import type { KeyScheme } from './types.ts'

function pemOf(key: KeyObject): string {
  return key.export({ type: 'spki', format: 'pem' }).toString()
}

const ec = (namedCurve: string): string => pemOf(generateKeyPairSync('ec', { namedCurve }).publicKey)
const P256 = ec('P-256')
const RSA = pemOf(generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey)
const RSA_PSS = pemOf(generateKeyPairSync('rsa-pss', { modulusLength: 2048 }).publicKey)
const RSA_PSS_384 = pemOf(
  generateKeyPairSync('rsa-pss', {
    modulusLength: 2048,
    hashAlgorithm: 'sha384',
    mgf1HashAlgorithm: 'sha384',
  }).publicKey,
)
const ED25519 = pemOf(generateKeyPairSync('ed25519').publicKey)

const ACCEPTED: readonly (readonly [string, string, SchemeOptions, KeyScheme | undefined])[] = [
  ['EC P-256', P256, {}, undefined],
  ['EC P-384', ec('P-384'), {}, undefined],
  ['EC P-521', ec('P-521'), {}, undefined],
  ['EC with another hash', P256, { hashAlgorithm: 'sha384' }, { hash: 'sha384' }],
  ['RSA', RSA, {}, undefined],
  ['RSA with pkcs1', RSA, { padding: 'pkcs1' }, undefined],
  ['RSA with pss', RSA, { padding: 'pss' }, { hash: 'sha256', pss: true }],
  [
    'RSA with pss and sha512',
    RSA,
    { padding: 'pss', hashAlgorithm: 'sha512' },
    { hash: 'sha512', pss: true },
  ],
  ['RSA-PSS', RSA_PSS, {}, undefined],
  ['RSA-PSS with pss', RSA_PSS, { padding: 'pss' }, undefined],
  ['RSA-PSS with sha512', RSA_PSS, { hashAlgorithm: 'sha512' }, { hash: 'sha512', pss: true }],
  ['RSA-PSS for SHA-384', RSA_PSS_384, {}, undefined],
  ['Ed25519', ED25519, {}, undefined],
]

for (const [name, pem, options, scheme] of ACCEPTED) {
  test(`key: ${name}`, () => {
    const key = readPublicKey(pem, options)
    assert.ok('id' in key, 'problem' in key ? key.problem : '')
    assert.deepEqual(key.scheme, scheme)
    const spki = key.key.export({ type: 'spki', format: 'der' })
    assert.equal(key.id, `sha256:${createHash('sha256').update(spki).digest('hex')}`)
  })
}

const REFUSED: readonly (readonly [
  name: string,
  pem: () => string,
  options: SchemeOptions,
  message: RegExp,
])[] = [
  ['nothing', () => '', {}, /no PEM block/],
  ['a private key', () => privatePem(), {}, /PRIVATE key, which must not be here/],
  ['two keys', () => P256 + RSA, {}, /2 PEM blocks; give each key by itself/],
  ['a certificate', () => P256.replaceAll('PUBLIC KEY', 'CERTIFICATE'), {}, /type CERTIFICATE/],
  ['damage', () => P256.replace('MFkw', 'AAAA'), {}, /damaged/],
  [
    'a short RSA key',
    () => pemOf(generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey),
    {},
    /1024 bits/,
  ],
  ['a Bitcoin curve', () => ec('secp256k1'), {}, /secp256k1/],
  ['X25519', () => pemOf(generateKeyPairSync('x25519').publicKey), {}, /type x25519/],
  ['Ed25519 with a hash', () => ED25519, { hashAlgorithm: 'sha512' }, /fixes its own/],
  ['EC with padding', () => P256, { padding: 'pss' }, /not RSA/],
  ['RSA-PSS with pkcs1', () => RSA_PSS, { padding: 'pkcs1' }, /RSA-PSS/],
  [
    'RSA-PSS for another hash',
    () => RSA_PSS_384,
    { hashAlgorithm: 'sha256' },
    /sha256 with an RSA-PSS key for sha384/,
  ],
]

function privatePem(): string {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' })
    .privateKey.export({ type: 'pkcs8', format: 'pem' })
    .toString()
}

for (const [name, pem, options, message] of REFUSED) {
  test(`no key: ${name}`, () => {
    const result = readPublicKey(pem(), options)
    const problem = 'problem' in result ? result.problem : ''
    assert.match(problem, message)
    assert.ok(!problem.includes('MI'), 'no key material in messages')
  })
}

test('a PKCS#1 key is the same key', () => {
  const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const pkcs1 = readPublicKey(publicKey.export({ format: 'pem', type: 'pkcs1' }).toString())
  const spki = readPublicKey(pemOf(publicKey))
  assert.ok('id' in pkcs1 && 'id' in spki)
  assert.equal(pkcs1.id, spki.id)
})
