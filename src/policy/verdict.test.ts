import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import test from 'node:test'
import {
  allOf,
  anyOf,
  atLeast,
  attestationOf,
  held,
  judged,
  keyAuthority,
  keylessAuthority,
  made,
  personal,
  personalAuthority,
  staticAuthority,
} from '../testing/policies.ts'
import { readPublicKey, signerOf } from '../verify/public-key.ts'
import type { PublicKey } from '../verify/types.ts'
import { ANY_IDENTITY } from './identity.ts'
import type { Authority, Cause, Requirement, Verdict } from './types.ts'
import type { JudgedBy } from './verdict.ts'

/** What requirements and static authorities make of evidence, and of what is missing. */

const PROVENANCE = 'https://slsa.dev/provenance/v1'
const SBOM = 'https://spdx.dev/Document'
const DOWN: Cause = { dependency: 'registry', message: 'down' }
const NO_KEY: Cause = { dependency: 'kms', message: 'no key' }

function key(): PublicKey {
  const read = readPublicKey(
    generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({ type: 'spki', format: 'pem' }),
  )
  assert.ok('id' in read)
  return read
}
const ONE = key()

const ana = personalAuthority('ana')
const ben = personalAuthority('ben')
const either = personalAuthority('either', ['ana', 'ben'])
const safe = keyAuthority('safe', [held(ONE)])
const ANA = made(personal('ana'))
const BEN = made(personal('ben'))
const SAFE = made(signerOf(ONE))
const lost = {
  ...keyAuthority('lost', [], { signer: { keyReference: 'awskms:///alias/a' } }),
  unavailable: NO_KEY,
}

type Case = readonly [
  name: string,
  authorities: readonly Authority[],
  requirement: Requirement,
  input: Partial<JudgedBy>,
  kind: Verdict['kind'],
]

const pss = { ...ONE, scheme: { hash: 'sha256', pss: true } } as const
const CASES: readonly Case[] = [
  ['all of two, both there', [ana, ben], allOf('ana', 'ben'), { verified: [ANA, BEN] }, 'satisfied'],
  ['all of two, one there', [ana, ben], allOf('ana', 'ben'), { verified: [ANA] }, 'violated'],
  [
    'keyless and key, two of two',
    [ana, safe],
    atLeast(2, 'ana', 'safe'),
    { verified: [ANA, SAFE] },
    'satisfied',
  ],
  [
    'two of three',
    [ana, ben, safe],
    atLeast(2, 'ana', 'ben', 'safe'),
    { verified: [SAFE, BEN] },
    'satisfied',
  ],
  [
    'one of two of three',
    [ana, ben, safe],
    atLeast(2, 'ana', 'ben', 'safe'),
    { verified: [SAFE] },
    'violated',
  ],
  [
    'one signer for two authorities',
    [ana, either],
    atLeast(2, 'ana', 'either'),
    { verified: [ANA] },
    'violated',
  ],
  ['one signer twice', [ana, either], atLeast(2, 'ana', 'either'), { verified: [ANA, ANA] }, 'violated'],
  [
    'two signers for two authorities',
    [ana, either],
    atLeast(2, 'ana', 'either'),
    { verified: [ANA, BEN] },
    'satisfied',
  ],
  [
    'one signer for two that are both needed',
    [ana, either],
    allOf('ana', 'either'),
    { verified: [ANA] },
    'satisfied',
  ],
  [
    'one identity by two trust roots',
    [ana, personalAuthority('own', ['ana'], { trustRoot: 'own' })],
    atLeast(2, 'ana', 'own'),
    { verified: [ANA, made({ ...personal('ana'), trustRoot: 'own' })] },
    'violated',
  ],
  [
    'one key under two schemes',
    [safe, keyAuthority('pss', [held(pss)])],
    atLeast(2, 'safe', 'pss'),
    { verified: [SAFE, made(signerOf(pss))] },
    'violated',
  ],
  [
    'a quorum of which one brings only a part of what is asked',
    [
      ana,
      {
        ...either,
        attestations: [attestationOf('p', PROVENANCE), attestationOf('s', SBOM)],
      },
    ],
    atLeast(2, 'ana', 'either'),
    {
      verified: [
        ANA,
        made(personal('ana'), [], { predicateType: PROVENANCE }),
        made(personal('ben'), [], { predicateType: SBOM }),
      ],
    },
    'violated',
  ],
  ['static pass', [staticAuthority('all', 'pass')], anyOf('all'), {}, 'satisfied'],
  [
    'static pass, though nothing can be had',
    [staticAuthority('all', 'pass')],
    anyOf('all'),
    { missing: [DOWN] },
    'satisfied',
  ],
  [
    'static fail, whoever signs',
    [staticAuthority('none', 'fail')],
    anyOf('none'),
    { verified: [ANA] },
    'violated',
  ],
  [
    'static fail, though nothing can be had',
    [staticAuthority('none', 'fail')],
    anyOf('none'),
    { missing: [DOWN] },
    'violated',
  ],
  [
    'static fail beside somebody',
    [staticAuthority('none', 'fail'), ana],
    anyOf('none', 'ana'),
    { verified: [ANA] },
    'satisfied',
  ],
  [
    'static pass that is needed beside somebody',
    [staticAuthority('all', 'pass'), ana],
    allOf('all', 'ana'),
    {},
    'violated',
  ],
  [
    'a key that nobody has, beside one that is needed and missing',
    [lost, ana],
    allOf('lost', 'ana'),
    {},
    'violated',
  ],
  [
    'a key that nobody has, beside one that is needed and there',
    [lost, ana],
    allOf('lost', 'ana'),
    { verified: [ANA] },
    'undetermined',
  ],
  [
    'a key that nobody has, one of two of three',
    [lost, ana, ben],
    atLeast(2, 'lost', 'ana', 'ben'),
    { verified: [BEN] },
    'undetermined',
  ],
  [
    'a key that nobody has, too few of three all the same',
    [lost, ana, ben],
    atLeast(3, 'lost', 'ana', 'ben'),
    { verified: [BEN] },
    'violated',
  ],
  [
    'enough without the key that nobody has',
    [lost, ana, ben],
    atLeast(2, 'lost', 'ana', 'ben'),
    { verified: [ANA, BEN] },
    'satisfied',
  ],
  [
    'all of two with static fail, and nothing can be had',
    [staticAuthority('none', 'fail'), ana],
    allOf('none', 'ana'),
    { missing: [DOWN] },
    'violated',
  ],
  [
    'a key that is gone, and nothing can be had',
    [keyAuthority('gone', [], { signer: { keyReference: 'awskms:///alias/a' } })],
    anyOf('gone'),
    { missing: [DOWN] },
    'violated',
  ],
  [
    'anybody with a certificate',
    [keylessAuthority('anyone', [ANY_IDENTITY])],
    anyOf('anyone'),
    { verified: [made(personal('stranger'))] },
    'satisfied',
  ],
  [
    'anybody, but a key',
    [keylessAuthority('anyone', [ANY_IDENTITY])],
    anyOf('anyone'),
    { verified: [SAFE] },
    'violated',
  ],
]

for (const [name, authorities, requirement, input, kind] of CASES) {
  test(`verdict: ${name}: ${kind}`, () => {
    assert.equal(judged(authorities, requirement, input).kind, kind)
  })
}

test('what makes a verdict undetermined is what could still change it', () => {
  const verdict = judged([lost, ana, staticAuthority('none', 'fail')], anyOf('lost', 'ana', 'none'), {
    missing: [DOWN, { ...DOWN, policies: ['another'] }],
  })
  assert.deepEqual(verdict, { kind: 'undetermined', causes: [DOWN, NO_KEY] })
})

test('a static authority that passes is named without a signer', () => {
  assert.deepEqual(judged([staticAuthority('all', 'pass')], anyOf('all')), {
    kind: 'satisfied',
    by: [{ authority: 'all', signer: undefined, verified: [] }],
  })
})
