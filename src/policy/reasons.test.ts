import assert from 'node:assert/strict'
import test from 'node:test'
import {
  allOf,
  anyOf,
  atLeast,
  IMAGE,
  judged,
  made,
  personal,
  personalAuthority,
  staticAuthority,
} from '../testing/policies.ts'
import type { Verified } from '../verify/types.ts'
import type { Authority, ClaimCheck, Reason, Requirement, Verdict } from './types.ts'

/** What checks make of evidence, and what is said where a requirement is not met. */

const ana = personalAuthority('ana')
const ben = personalAuthority('ben')
const either = personalAuthority('either', ['ana', 'ben'])
const cloe = personalAuthority('cloe')
const ANA = made(personal('ana'))
const BEN = made(personal('ben'))

function reasonsOf(verdict: Verdict): readonly Pick<Reason, 'code' | 'found' | 'expected'>[] {
  assert.ok(verdict.kind === 'violated')
  return verdict.reasons.map(({ code, found, expected }) => ({ code, found, expected }))
}

/** Of images, so that it is seen which one is asked about; of times, so that two checks can differ. */
const aboutImage: ClaimCheck = {
  canonical: 'image',
  check: (_, image) =>
    image.name === 'acme/app' ? undefined : { found: 'another image', expected: 'acme/app' },
}
const isTimed: ClaimCheck = {
  canonical: 'timed',
  check: ({ times }) =>
    times.length > 0 ? undefined : { found: 'a signature without a time', expected: 'a time' },
}

test('checks: all must hold of one and the same signature, for the image that is judged', () => {
  const checked = { ...ana, checks: [aboutImage, isTimed] }
  const at = (verified: readonly Verified[], name = 'acme/app') =>
    judged([checked], anyOf('ana'), { verified, image: { ...IMAGE, name } })
  assert.equal(at([ANA, made(ANA.signer, [1])]).kind, 'satisfied')
  assert.equal(at([made(ANA.signer, [1])], 'acme/other').kind, 'violated')
  assert.equal(at([made(BEN.signer, [1]), ANA]).kind, 'violated', 'what another one shows does not count')
})

test('checks: the reason is that of the signature that lacks least', () => {
  const checked = { ...ana, checks: [aboutImage, isTimed] }
  const input = { verified: [ANA, made(ANA.signer, [1])], image: { ...IMAGE, name: 'x' } }
  assert.deepEqual(reasonsOf(judged([checked], anyOf('ana'), input)), [
    { code: 'failed-check', found: 'another image, by the right signer', expected: 'acme/app' },
  ])
})

const NOT_ENOUGH: readonly (readonly [
  name: string,
  Authority[],
  Requirement,
  Verified[],
  found: string,
  expected: string,
])[] = [
  [
    'a quorum',
    [ana, ben, cloe],
    atLeast(2, 'ana', 'ben', 'cloe'),
    [ANA],
    'only 1 of 2 (ana); ben: a signature by ana@x.example (issuer https://issuer.example, trust root public-good)',
    '2 of 3 by different signers: ana; ben; cloe',
  ],
  [
    'a quorum of one signer',
    [ana, either],
    atLeast(2, 'ana', 'either'),
    [ANA],
    'only 1 of 2, each by a signer of its own (ana and either)',
    '2 of 2 by different signers: ana; either',
  ],
  [
    'all',
    [ana, staticAuthority('none', 'fail', 'ask first')],
    allOf('ana', 'none'),
    [ANA],
    'only 1 of 2 (ana); none: an image that this policy denies: ask first',
    'both ana and none',
  ],
]

for (const [name, authorities, requirement, verified, found, expected] of NOT_ENOUGH) {
  test(`reasons: not enough for ${name}`, () => {
    const [first] = reasonsOf(judged(authorities, requirement, { verified }))
    assert.deepEqual(first, { code: 'not-enough', found, expected })
  })
}

test('reasons: where nobody is there, each is named alone', () => {
  for (const requirement of [atLeast(2, 'ana', 'cloe'), allOf('ana', 'cloe'), anyOf('ana', 'cloe')])
    assert.deepEqual(
      reasonsOf(judged([ana, cloe], requirement)).map(({ code }) => code),
      ['unsigned', 'unsigned'],
    )
})

test('reasons: a static authority says why', () => {
  assert.deepEqual(reasonsOf(judged([staticAuthority('none', 'fail', 'ask first')], anyOf('none'))), [
    { code: 'denied', found: 'an image that this policy denies: ask first', expected: 'another image' },
  ])
})
