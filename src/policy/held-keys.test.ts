import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import test from 'node:test'
import { digestOf } from '../oci/digest.ts'
import { readPublicKey } from '../verify/public-key.ts'
import type { HeldKey, Verified } from '../verify/types.ts'
import { held, keyAuthority, NOTHING, policyOf } from '../testing/policies.ts'
import { decide } from './decide.ts'
import type { Authority, Cause, Policy, Verdict } from './types.ts'

/** Keys that count for a time only, and keys that are not there. */

const digest = digestOf(Buffer.from('x'))
const source = { found: 'referrer', manifest: digest, blob: digest } as const
const KEY = publicKey()
const OTHER = publicKey()
const NO_KEY: Cause = { dependency: 'kms', message: 'the key was never obtained' }
const MAY = new Date('2026-05-01T00:00:00Z')
const JUNE = new Date('2026-06-01T00:00:00Z')
const ENDED = { validUntil: MAY, isCurrent: false }

function publicKey(): HeldKey['key'] {
  const { publicKey: key } = generateKeyPairSync('ed25519')
  const read = readPublicKey(key.export({ type: 'spki', format: 'pem' }))
  assert.ok('id' in read)
  return read
}

function authority(
  keys: readonly Partial<HeldKey>[],
  {
    unavailable,
    ...others
  }: { unavailable?: Cause | undefined; keyReference?: string; timesUnavailable?: Cause } = {},
): Authority {
  const { keyReference, timesUnavailable } = others
  const own = keys.map((changes) => held(KEY, changes))
  return keyAuthority('ops', own, { signer: { keyReference }, unavailable, timesUnavailable })
}

function signed(times: readonly string[] = [], key = KEY, trustRoot = 'public-good'): Verified {
  const proven = times.map((time) => {
    return { trustRoot, source: 'log', authority: 'aa', time: new Date(time) } as const
  })
  return {
    source,
    signer: { kind: 'key', key: key.id },
    claim: { kind: 'signature' },
    logs: [],
    times: proven,
  }
}

/** Two authorities of one test may be equal, but not in name. */
function policy(name: string, authorities: readonly Authority[]): Policy {
  return policyOf(
    authorities.map((one, index) => (index === 0 ? one : { ...one, name: `${one.name}-${index}` })),
    { name },
  )
}

function verdictOf(authorities: readonly Authority[], verified: readonly Verified[]): Verdict {
  const policies = [policy('p', authorities)]
  const [result] = decide({ ...NOTHING, policies, verified }).results
  assert.ok(result)
  return result.verdict
}

type Case = readonly [name: string, Authority, Verified, Verdict['kind'], found?: RegExp]

const WINDOWS: readonly Case[] = [
  ['inside its window', authority([{ validUntil: MAY }]), signed(), 'satisfied'],
  [
    'whose window ended, at no proven time',
    authority([ENDED]),
    signed(),
    'violated',
    /made at a time that nobody vouches for$/,
  ],
  [
    'whose window ended, at a time inside it',
    authority([ENDED]),
    signed(['2026-04-30T23:59:59Z']),
    'satisfied',
  ],
  [
    'whose window ended, at a time inside it that only another trust root vouches for',
    authority([ENDED]),
    signed(['2026-04-30T23:59:59Z'], KEY, 'development'),
    'violated',
    /made at/,
  ],
  [
    'whose window ended, at the first moment that no longer counts',
    authority([ENDED]),
    signed(['2026-05-01T00:00:00Z']),
    'violated',
    /made at 2026-05-01T00:00:00\.000Z$/,
  ],
  [
    'whose window ended, at a time after it',
    authority([ENDED]),
    signed(['2026-05-02T00:00:00Z']),
    'violated',
    /^a signature by key sha256:[0-9a-f]{16}, made at 2026-05-02T00:00:00\.000Z$/,
  ],
  [
    'whose window ended, at one time inside it and one after',
    authority([ENDED]),
    signed(['2026-05-02T00:00:00Z', '2026-04-30T00:00:00Z']),
    'satisfied',
  ],
  [
    'whose window had not begun',
    authority([{ validFrom: MAY, validUntil: JUNE, isCurrent: false }]),
    signed(['2026-04-30T23:59:59Z']),
    'violated',
    /made at 2026-04-30/,
  ],
  [
    'of which one window fits',
    authority([ENDED, { validFrom: JUNE, isCurrent: false }]),
    signed(['2026-06-02T00:00:00Z']),
    'satisfied',
  ],
  [
    'beside which another has another window',
    authority([ENDED, { key: OTHER }]),
    signed(),
    'violated',
    /nobody vouches/,
  ],
]

for (const [name, keyed, verified, kind, found] of WINDOWS) {
  test(`decide: a signature by a key ${name} is ${kind}`, () => {
    const verdict = verdictOf([keyed], [verified])
    assert.equal(verdict.kind, kind)
    const [reason] = verdict.kind === 'violated' ? verdict.reasons : []
    assert.match(reason?.found ?? '', found ?? /^$/)
    if (reason !== undefined) assert.equal(reason.code, 'wrong-key')
  })
}

function expectedOf(keyed: Authority, verified: readonly Verified[]): string {
  const verdict = verdictOf([keyed], verified)
  const [reason] = verdict.kind === 'violated' ? verdict.reasons : []
  return reason?.expected ?? ''
}

test('a reason of a missed window says which window', () => {
  assert.equal(
    expectedOf(authority([ENDED]), [signed()]),
    'one made while that key counts: until 2026-05-01T00:00:00.000Z',
  )
})

test('a reason names the reference that a key came by', () => {
  const keyed = authority([{}], { keyReference: 'awskms:///alias/release' })
  assert.equal(expectedOf(keyed, []), `one by key awskms:///alias/release (${KEY.id.slice(0, 23)})`)
})

const WITHOUT_KEY = authority([], { unavailable: NO_KEY })

/** What an authority that nobody can ask makes of its policy. */
const UNAVAILABLE: readonly (readonly [
  string,
  readonly Authority[],
  readonly Verified[],
  Verdict['kind'],
])[] = [
  ['alone', [WITHOUT_KEY], [], 'undetermined'],
  [
    'alone, though something fits the key it had',
    [authority([{}], { unavailable: NO_KEY })],
    [signed()],
    'undetermined',
  ],
  ['beside one that is satisfied', [WITHOUT_KEY, authority([{}])], [signed()], 'satisfied'],
  ['beside one that is not', [WITHOUT_KEY, authority([{}])], [signed([], OTHER)], 'undetermined'],
]

for (const [name, authorities, verified, kind] of UNAVAILABLE) {
  test(`decide: an authority without its key, ${name}, is ${kind}`, () => {
    const verdict = verdictOf(authorities, verified)
    assert.equal(verdict.kind, kind)
    if (verdict.kind === 'undetermined') assert.deepEqual(verdict.causes, [NO_KEY])
  })
}

test('what is missing for one policy is of no account to another', () => {
  const policies = ['one', 'other'].map((name) => policy(name, [authority([{}])]))
  const missing = [{ dependency: 'rekor', message: 'no answer', policies: ['other'] } as const]
  const { results } = decide({ ...NOTHING, policies, missing })
  assert.deepEqual(
    results.map((result) => result.verdict.kind),
    ['violated', 'undetermined'],
  )
})

const TOO_OLD: Cause = { dependency: 'trust', message: 'the trust root is too old' }

test('a root that cannot be used takes the times with it, which only ended keys need', () => {
  const keyed = (changes: Partial<HeldKey>) =>
    authority([changes], { keyReference: 'keys:release', timesUnavailable: TOO_OLD })
  assert.deepEqual(verdictOf([keyed(ENDED)], [signed()]), { kind: 'undetermined', causes: [TOO_OLD] })
  assert.equal(verdictOf([keyed({})], [signed()]).kind, 'satisfied')
  for (const [name, verified] of [
    ['no time would make it another key', [signed([], OTHER)]],
    ['no time would make a signature', []],
  ] as const)
    assert.equal(verdictOf([keyed(ENDED)], verified).kind, 'violated', name)
})

test('a key that is gone satisfies nothing, and that is what the refusal says', () => {
  const verdict = verdictOf([authority([], { keyReference: 'awskms:///alias/release' })], [signed()])
  assert.equal(verdict.kind, 'violated')
  assert.deepEqual(verdict.reasons, [
    {
      authority: 'ops',
      code: 'wrong-key',
      found: 'no key: awskms:///alias/release is gone or disabled',
      expected: 'a key that signatures can be verified with',
    },
  ])
})

test('one key under two schemes is two keys: each authority counts its own', () => {
  const pss = { ...KEY, scheme: { hash: 'sha256', pss: true } } as const
  const byPss: Verified = { ...signed(), signer: { kind: 'key', key: KEY.id, scheme: pss.scheme } }
  for (const [name, key, verified, kind] of [
    ['default by default', KEY, signed(), 'satisfied'],
    ['PSS by PSS', pss, byPss, 'satisfied'],
    ['PSS by default', KEY, byPss, 'violated'],
    ['default by PSS', pss, signed(), 'violated'],
  ] as const)
    assert.equal(verdictOf([authority([{ key }])], [verified]).kind, kind, name)
  assert.equal(
    verdictOf([authority([{ key: { ...KEY, scheme: { hash: 'sha512' } } }])], [byPss]).kind,
    'violated',
  )
  const inWindow = [{ ...ENDED, key: KEY }, { key: pss }]
  assert.equal(verdictOf([authority(inWindow)], [signed()]).kind, 'violated', 'the other one has no window')
  const verdict = verdictOf([authority([{}])], [byPss])
  const [reason] = verdict.kind === 'violated' ? verdict.reasons : []
  assert.match(reason?.found ?? '', /by key sha256:[0-9a-f]{16}, with another hash algorithm or padding$/)
})
