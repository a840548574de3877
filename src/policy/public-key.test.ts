import assert from 'node:assert/strict'
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import test from 'node:test'
import type { KeyScheme } from '../verify/types.ts'
import { parsePublicKey, type SchemeOptions } from './public-key.ts'

const NONE: SchemeOptions = { hashAlgorithm: undefined, padding: undefined }

function pemOf(key: KeyObject): string {
  return key.export({ type: 'spki', format: 'pem' }).toString()
}

const ec = (namedCurve: string): string => pemOf(generateKeyPairSync('ec', { namedCurve }).publicKey)
const P256 = ec('P-256')
const RSA = pemOf(generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey)
const RSA_PSS = pemOf(generateKeyPairSync('rsa-pss', { modulusLength: 2048 }).publicKey)
const ED25519 = pemOf(generateKeyPairSync('ed25519').publicKey)

const ACCEPTED: readonly (readonly [string, string, Partial<SchemeOptions>, KeyScheme | undefined])[] = [
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
  ['RSA-PSS', RSA_PSS, {}, { hash: 'sha256', pss: true }],
  ['Ed25519', ED25519, {}, undefined],
]

for (const [name, pem, options, scheme] of ACCEPTED) {
  test(`key: ${name}`, () => {
    const result = parsePublicKey(pem, { ...NONE, ...options })
    assert.ok(result.ok, result.ok ? '' : result.message)
    assert.deepEqual(result.key.scheme, scheme)
    assert.match(result.key.id, /^sha256:[0-9a-f]{64}$/)
  })
}

const REFUSED: readonly (readonly [
  name: string,
  pem: () => string,
  options: Partial<SchemeOptions>,
  message: RegExp,
])[] = [
  ['nothing', () => '', {}, /no PEM block/],
  ['a private key', () => privatePem(), {}, /PRIVATE key, which must not be here/],
  ['two keys', () => P256 + RSA, {}, /2 PEM blocks; write one authority for each key/],
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
]

function privatePem(): string {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' })
    .privateKey.export({ type: 'pkcs8', format: 'pem' })
    .toString()
}

for (const [name, pem, options, message] of REFUSED) {
  test(`no key: ${name}`, () => {
    const result = parsePublicKey(pem(), { ...NONE, ...options })
    assert.ok(!result.ok)
    assert.match(result.message, message)
    assert.ok(!result.message.includes('MI'), 'no key material in messages')
  })
}
