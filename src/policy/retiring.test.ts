import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import test from 'node:test'
import { digestOf } from '../oci/digest.ts'
import { readPublicKey } from '../verify/public-key.ts'
import type { HeldKey, Signer, Verified } from '../verify/types.ts'
import {
  attestationOf,
  held,
  identityOf,
  keyAuthority,
  keylessAuthority,
  NOTHING,
  OCCASION,
  policyOf,
} from '../testing/policies.ts'
import { decide } from './decide.ts'
import { retiringIn } from './retiring.ts'
import type { Authority } from './types.ts'

const digest = digestOf(Buffer.from('x'))
const source = { found: 'referrer', manifest: digest, blob: digest } as const

function heldKey(isRetiring: boolean): HeldKey {
  const key = readPublicKey(generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'pem' }))
  assert.ok('id' in key)
  return held(key, { isRetiring })
}

const OLD = heldKey(true)
const NEW = heldKey(false)

const KEYED = keyAuthority('keyed', [OLD, NEW], { signer: { keyReference: 'keys:release' } })
const KEYLESS = keylessAuthority('keyless', [identityOf('https://i.example', 'a@b.example')], {
  trustRoot: 'own',
})
const PROVEN: Authority = {
  ...KEYED,
  attestations: [attestationOf('one', 'https://one.example'), attestationOf('two', 'https://two.example')],
}

function signed(signer: Signer, predicateType?: string): Verified {
  const claim =
    predicateType === undefined
      ? ({ kind: 'signature' } as const)
      : ({ kind: 'attestation', statement: { predicateType, predicate: {} } } as const)
  return { source, signer, claim, logs: [], times: [] }
}

const byKey = (held: HeldKey): Signer => ({ kind: 'key', key: held.key.id })
const byRoot = (byRetiringRoot: boolean): Signer => ({
  kind: 'keyless',
  trustRoot: 'own',
  identity: { subject: 'a@b.example', subjectType: 'email', issuer: 'https://i.example', extensions: {} },
  byRetiringRoot,
})

const CASES: readonly (readonly [string, Authority, readonly Verified[], readonly string[]])[] = [
  ['the old key alone', KEYED, [signed(byKey(OLD))], ['key']],
  ['the new key alone', KEYED, [signed(byKey(NEW))], []],
  ['both keys', KEYED, [signed(byKey(OLD)), signed(byKey(NEW))], []],
  ['the old root alone', KEYLESS, [signed(byRoot(true))], ['root']],
  ['both roots', KEYLESS, [signed(byRoot(true)), signed(byRoot(false))], []],
  [
    'one of two attestations by the old key alone',
    PROVEN,
    [signed(byKey(OLD), 'https://one.example'), signed(byKey(NEW), 'https://two.example')],
    ['key'],
  ],
  ['nothing that satisfies', KEYED, [], []],
]

for (const [name, authority, verified, expected] of CASES) {
  test(`retiring: ${name} is ${expected.join() || 'none'}`, () => {
    const policies = [policyOf([authority])]
    const judgement = decide({ ...NOTHING, policies, verified })
    assert.deepEqual(retiringIn(judgement, policies, OCCASION), expected)
  })
}
