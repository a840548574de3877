import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import test from 'node:test'
import {
  allOf,
  anyOf,
  atLeast,
  attestationOf,
  DAY_MS,
  held,
  judged,
  keyAuthority,
  made,
  NOW,
  personal,
  personalAuthority,
} from '../testing/policies.ts'
import { readPublicKey, signerOf } from '../verify/public-key.ts'
import type { PublicKey, Verified } from '../verify/types.ts'
import type { Authority, Cause, Requirement, Verdict } from './types.ts'

/** How old evidence may be, and when a verdict ends because of it. */

const PROVENANCE = 'https://slsa.dev/provenance/v1'
const SBOM = 'https://spdx.dev/Document'

function key(): PublicKey {
  const read = readPublicKey(
    generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({ type: 'spki', format: 'pem' }),
  )
  assert.ok('id' in read)
  return read
}
const [ONE, OTHER] = [key(), key()]

const ana = personalAuthority('ana')
const ben = personalAuthority('ben')
const safe = keyAuthority('safe', [held(ONE)])
const ANA = made(personal('ana'))
const BEN = made(personal('ben'))
const SAFE = made(signerOf(ONE))

function satisfied(verdict: Verdict): Extract<Verdict, { kind: 'satisfied' }> {
  assert.ok(verdict.kind === 'satisfied')
  return verdict
}

const MONTH = { maxAgeMs: 30 * DAY_MS }

/** Days ago, by which root -> whether that is at most thirty days. */
const AGES: readonly (readonly [name: string, Verified, Verdict['kind'], found?: RegExp])[] = [
  ['yesterday', made(ANA.signer, [1]), 'satisfied'],
  [
    'at no time',
    made(ANA.signer, []),
    'violated',
    /made at a time that trust root public-good does not vouch for$/,
  ],
  [
    'long ago',
    made(ANA.signer, [31]),
    'violated',
    /^a signature by the right signer, made at 2026-05-31T00:00:00\.000Z$/,
  ],
  ['at the last moment', made(ANA.signer, [30]), 'violated', /made at 2026-06-01/],
  ['long ago, and logged again yesterday', made(ANA.signer, [1, 31]), 'violated', /made at 2026-05-31/],
  [
    'yesterday, by the word of another root',
    made(ANA.signer, [1], { trustRoot: 'internal' }),
    'violated',
    /does not vouch for$/,
  ],
]

for (const [name, verified, kind, found] of AGES) {
  test(`maxAge: signed ${name} is ${kind}`, () => {
    const verdict = judged([{ ...ana, ...MONTH }], anyOf('ana'), { verified: [verified] })
    assert.equal(verdict.kind, kind)
    if (found === undefined) return
    const [reason] = verdict.kind === 'violated' ? verdict.reasons : []
    assert.equal(reason?.code, 'too-old')
    assert.match(reason.found, found)
    assert.equal(reason.expected, 'one that is at most 30 days old')
  })
}

test('maxAge: of an attestation counts for that one alone', () => {
  const attestations = [attestationOf('p', PROVENANCE), attestationOf('s', SBOM, MONTH)]
  const old = made(ANA.signer, [99], { predicateType: PROVENANCE })
  for (const [days, kind] of [
    [29, 'satisfied'],
    [99, 'violated'],
  ] as const) {
    const verified = [old, made(ANA.signer, [days], { predicateType: SBOM })]
    assert.equal(judged([{ ...ana, attestations }], anyOf('ana'), { verified }).kind, kind)
  }
})

test('maxAge: of a key asks its trust root for the time, and waits where that cannot be used', () => {
  const timesUnavailable: Cause = { dependency: 'trust', message: 'too old' }
  const keyed = { ...safe, ...MONTH, timesUnavailable }
  assert.deepEqual(judged([keyed], anyOf('safe'), { verified: [SAFE] }), {
    kind: 'undetermined',
    causes: [timesUnavailable],
  })
  assert.equal(judged([keyed], anyOf('safe'), { verified: [made(signerOf(OTHER))] }).kind, 'violated')
})

const in30 = (days: number): Date => new Date(NOW.getTime() + (30 - days) * DAY_MS)

/** Requirement over ana, who signed 10 days ago, and ben, 20 days ago, each for 30 days -> when it ends. */
const ENDS: readonly (readonly [name: string, Requirement, Authority[], until: Date | undefined])[] = [
  [
    'any',
    anyOf('ana', 'ben'),
    [
      { ...ana, ...MONTH },
      { ...ben, ...MONTH },
    ],
    in30(10),
  ],
  [
    'all',
    allOf('ana', 'ben'),
    [
      { ...ana, ...MONTH },
      { ...ben, ...MONTH },
    ],
    in30(20),
  ],
  [
    'two of two',
    atLeast(2, 'ana', 'ben'),
    [
      { ...ana, ...MONTH },
      { ...ben, ...MONTH },
    ],
    in30(20),
  ],
  [
    'one of two',
    atLeast(1, 'ana', 'ben'),
    [
      { ...ana, ...MONTH },
      { ...ben, ...MONTH },
    ],
    in30(10),
  ],
  ['any, one of any age', anyOf('ana', 'ben'), [{ ...ana, ...MONTH }, ben], undefined],
  ['all, one of any age', allOf('ana', 'ben'), [{ ...ana, ...MONTH }, ben], in30(10)],
]

for (const [name, requirement, authorities, until] of ENDS) {
  test(`until: ${name} ends ${until?.toISOString() ?? 'never'}, and not before`, () => {
    const verified = [made(ANA.signer, [10]), made(BEN.signer, [20])]
    const at = (now: Date) => judged(authorities, requirement, { verified, now })
    assert.equal(satisfied(at(NOW)).until?.getTime(), until?.getTime())
    if (until === undefined) return
    assert.equal(at(new Date(until.getTime() - 1)).kind, 'satisfied')
    assert.equal(at(until).kind, 'violated')
  })
}

test('until: of several signatures the youngest counts', () => {
  const verified = [made(ANA.signer, [25]), made(ANA.signer, [5])]
  assert.deepEqual(satisfied(judged([{ ...ana, ...MONTH }], anyOf('ana'), { verified })).until, in30(5))
})
