import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import test from 'node:test'
import { readPublicKey } from '../verify/public-key.ts'
import type { HeldKey, KeySet } from '../verify/types.ts'
import { bindPolicies, keyReferencesOf, type BindingTrust } from './bind.ts'
import { loadPolicies } from './load.ts'
import { policiesFor, type IndexedPolicySet } from './policy-index.ts'
import type { Authority } from './types.ts'

const PEM = generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'pem' }).toString()
const KMS = 'awskms:///alias/release'

function load(key: string, name = 'acme'): IndexedPolicySet {
  const text = `apiVersion: portcullis.dev/v1alpha1
kind: ImagePolicy
metadata: { name: ${name} }
spec:
  images: [{ glob: ghcr.io/acme/** }]
  authorities: [{ name: a, ${key} }]
`
  const result = loadPolicies({
    files: [{ path: 'a.yaml', text }],
    trustRoots: new Set(['public-good', 'internal']),
    keySets: new Set(['release-keys']),
    rings: new Set(['default']),
    defaultMode: 'enforce',
    unmatched: 'observe',
    defaultStance: 'closed',
    stanceLimit: undefined,
  })
  assert.ok(result.ok)
  return result.set
}

function held(): HeldKey {
  const key = readPublicKey(PEM)
  assert.ok('id' in key)
  return { key, validFrom: undefined, validUntil: new Date(0), isCurrent: false, isRetiring: true }
}

const HELD: KeySet = { kind: 'held', keys: [held()] }
const MISSING: KeySet = { kind: 'missing', dependency: 'kms', message: 'KMS does not answer' }
const NONE: KeySet = { kind: 'held', keys: [] }
const ROOTS = new Map([['public-good', []]])

function trust(changes: Partial<BindingTrust> = {}): BindingTrust {
  return { roots: ROOTS, unusable: new Map([['internal', 'too old']]), keys: new Map(), ...changes }
}

function authorityOf(set: IndexedPolicySet): Authority {
  const authority = policiesFor(set, 'ghcr.io/acme/app')[0]?.authorities[0]
  assert.ok(authority)
  return authority
}

const KEYLESS = (root: string): string =>
  `keyless: { trustRoot: ${root}, identities: [{ issuer: https://i.example, subject: a@b.example }] }`
const DATA = `key: { data: ${JSON.stringify(PEM)}`

type Case = readonly [name: string, key: string, trust: BindingTrust, dependency?: string, message?: RegExp]

const CASES: readonly Case[] = [
  ['keyless, usable root', KEYLESS('public-good'), trust()],
  ['keyless, unusable root', KEYLESS('internal'), trust(), 'trust', /^too old$/],
  [
    'keyless, root not there at all',
    KEYLESS('public-good'),
    trust({ roots: new Map() }),
    'trust',
    /not loaded/,
  ],
  ['a key of its own', `${DATA} }`, trust({ roots: new Map() })],
  [
    'a key that needs a log of an unusable root',
    `${DATA}, transparencyLog: required, trustRoot: internal }`,
    trust(),
    'trust',
    /^too old$/,
  ],
  ['a KMS key that is held', `key: { kms: ${KMS} }`, trust({ keys: new Map([[KMS, HELD]]) })],
  [
    'a KMS key that is missing',
    `key: { kms: ${KMS} }`,
    trust({ keys: new Map([[KMS, MISSING]]) }),
    'kms',
    /^KMS does not answer$/,
  ],
  [
    'a KMS key that nobody keeps',
    `key: { kms: ${KMS} }`,
    trust(),
    'kms',
    /awskms:\/\/\/alias\/release has never been obtained/,
  ],
  [
    'a KMS key that is gone, which is an answer',
    `key: { kms: ${KMS} }`,
    trust({ keys: new Map([[KMS, NONE]]) }),
  ],
  [
    'a KMS key that is gone, its log unusable',
    `key: { kms: ${KMS}, transparencyLog: required, trustRoot: internal }`,
    trust({ keys: new Map([[KMS, NONE]]) }),
  ],
  [
    'a key set that nobody keeps',
    'key: { keySet: release-keys }',
    trust(),
    'trust',
    /keys:release-keys has never/,
  ],
  [
    'a key set that is held',
    'key: { keySet: release-keys }',
    trust({ keys: new Map([['keys:release-keys', HELD]]) }),
  ],
  [
    'a KMS key that is held, its log unusable',
    `key: { kms: ${KMS}, transparencyLog: required, trustRoot: internal }`,
    trust({ keys: new Map([[KMS, HELD]]) }),
    'trust',
    /^too old$/,
  ],
]

for (const [name, key, given, dependency, message] of CASES) {
  test(`bind: ${name} is ${dependency === undefined ? 'available' : `unavailable for want of ${dependency}`}`, () => {
    const set = load(key)
    const bound = bindPolicies(set, given)
    const { unavailable, signer } = authorityOf(bound)
    assert.equal(unavailable?.dependency, dependency)
    assert.match(unavailable?.message ?? '', message ?? /^$/)
    assert.deepEqual(
      bound.policies,
      policiesFor(bound, 'ghcr.io/acme/app'),
      'the index has the same policies',
    )
    assert.equal(bound.version, set.version)
    assert.equal(bound.policies[0]?.version, set.policies[0]?.version)
    if (dependency === undefined && signer.kind === 'key')
      assert.equal(signer.keys.length, [...given.keys.values()].includes(NONE) ? 0 : 1)
  })
}

test('what is not bound is not available: it is not known to be wrong', () => {
  const { unavailable } = authorityOf(load(`key: { kms: ${KMS} }`))
  assert.match(unavailable?.message ?? '', /has not been looked up/)
})

test('a bound set can be bound anew', () => {
  const missing = bindPolicies(load(`key: { kms: ${KMS} }`), trust())
  const { unavailable, signer } = authorityOf(bindPolicies(missing, trust({ keys: new Map([[KMS, HELD]]) })))
  assert.equal(unavailable, undefined)
  assert.deepEqual(signer.kind === 'key' && signer.keys, HELD.kind === 'held' && HELD.keys)
})

test('key references are told once each, in one spelling', () => {
  const set = load(`key: { kms: ${KMS} }`)
  const sets = {
    policies: [...set.policies, ...set.policies, ...load('key: { keySet: release-keys }').policies],
  }
  assert.deepEqual(keyReferencesOf(sets), [KMS, 'keys:release-keys'])
  assert.deepEqual(keyReferencesOf(load(`${DATA} }`)), [])
})

test('a key of a reference needs its root for times: told where that is configured and unusable', () => {
  for (const [root, expected] of [
    ['internal', { dependency: 'trust', message: 'too old' }],
    ['public-good', undefined],
  ] as const) {
    const set = load(`key: { keySet: release-keys, trustRoot: ${root} }`)
    for (const roots of [ROOTS, new Map<string, unknown>()]) {
      const { timesUnavailable, unavailable } = authorityOf(
        bindPolicies(set, trust({ roots, keys: new Map([['keys:release-keys', HELD]]) })),
      )
      assert.deepEqual(timesUnavailable, expected)
      assert.equal(unavailable, undefined)
    }
  }
})

const MAY = new Date('2026-05-01T00:00:00Z')
const JUNE = new Date('2026-06-01T00:00:00Z')
const JULY = new Date('2026-07-01T00:00:00Z')

/** Window of the key that is held, and of the document -> what counts. */
const WINDOWS: readonly (readonly [
  name: string,
  held: Partial<HeldKey>,
  document: string,
  window: readonly [from: Date | undefined, until: Date | undefined],
])[] = [
  ['the document alone has', {}, 'validFrom: 2026-05-01, validUntil: 2026-06-01', [MAY, JUNE]],
  ['the document begins later', { validFrom: MAY }, 'validFrom: 2026-06-01', [JUNE, undefined]],
  ['the key begins later', { validFrom: JUNE }, 'validFrom: 2026-05-01', [JUNE, undefined]],
  ['the document ends earlier', { validUntil: JULY }, 'validUntil: 2026-06-01', [undefined, JUNE]],
  ['the key ends earlier', { validUntil: MAY }, 'validUntil: 2026-06-01', [undefined, MAY]],
  ['each has one end', { validUntil: JULY }, 'validFrom: 2026-05-01', [MAY, JULY]],
]

for (const [name, changes, window, expected] of WINDOWS) {
  test(`a key of a reference counts in both windows: ${name}`, () => {
    const key: HeldKey = { ...held(), validUntil: undefined, isCurrent: true, ...changes }
    const set: KeySet = { kind: 'held', keys: [key] }
    const bound = bindPolicies(
      load(`key: { kms: ${KMS}, ${window} }`),
      trust({ keys: new Map([[KMS, set]]) }),
    )
    const { signer } = authorityOf(bound)
    const [own] = signer.kind === 'key' ? signer.keys : []
    assert.deepEqual([own?.validFrom, own?.validUntil], expected)
    assert.equal(own?.isCurrent, false, 'a time must be proven')
  })
}

test('a key in a window needs its root for times, wherever the key is from', () => {
  const key = `${DATA}, validFrom: 2026-05-01, trustRoot: internal }`
  const { timesUnavailable, unavailable } = authorityOf(bindPolicies(load(key), trust()))
  assert.deepEqual([timesUnavailable, unavailable], [{ dependency: 'trust', message: 'too old' }, undefined])
})

test('a static authority needs nothing', () => {
  const bound = bindPolicies(load('static: { action: pass }'), trust({ roots: new Map() }))
  assert.equal(authorityOf(bound).unavailable, undefined)
})
