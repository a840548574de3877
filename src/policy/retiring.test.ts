import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import test from 'node:test'
import { digestOf } from '../oci/digest.ts'
import { readPublicKey } from '../verify/public-key.ts'
import type { HeldKey, Signer, Verified } from '../verify/types.ts'
import { decide } from './decide.ts'
import { exactMatcher } from './matcher.ts'
import { retiringIn } from './retiring.ts'
import type { Authority, Policy, StringMatcher } from './types.ts'

const digest = digestOf(Buffer.from('x'))
const source = { found: 'referrer', manifest: digest, blob: digest } as const

function heldKey(isRetiring: boolean): HeldKey {
  const key = readPublicKey(generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'pem' }))
  assert.ok('id' in key)
  return { key, validFrom: undefined, validUntil: undefined, isCurrent: true, isRetiring }
}

const OLD = heldKey(true)
const NEW = heldKey(false)

function exact(field: 'issuer' | 'subject', value: string): StringMatcher {
  const result = exactMatcher(field, value)
  assert.ok(result.ok)
  return result.matcher
}

const KEYED: Authority = {
  name: 'keyed',
  signer: {
    kind: 'key',
    keys: [OLD, NEW],
    keyReference: 'keys:release',
    transparencyLog: 'optional',
    trustRoot: 'public-good',
  },
  attestations: [],
  unavailable: undefined,
}
const identities = [
  { issuer: exact('issuer', 'https://i.example'), subject: exact('subject', 'a@b.example') },
]
const KEYLESS: Authority = {
  name: 'keyless',
  signer: { kind: 'keyless', trustRoot: 'own', identities },
  attestations: [],
  unavailable: undefined,
}
const PROVEN: Authority = {
  ...KEYED,
  attestations: [
    { name: 'one', predicateType: 'https://one.example' },
    { name: 'two', predicateType: 'https://two.example' },
  ],
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
    const rest = {
      version: 'v',
      mode: 'enforce',
      stance: 'closed',
      runbook: undefined,
      origin: 'a:1',
    } as const
    const policy: Policy = { name: 'p', matches: () => true, authorities: [authority], ...rest }
    const nothing = { failures: [], missing: [], manifestReasons: [] }
    const judgement = decide({ policies: [policy], unmatched: 'observe', verified, ...nothing })
    assert.deepEqual(retiringIn(judgement, [policy]), expected)
  })
}
