import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compareRequirements, containsIdentity, type Comparison } from './implication.ts'
import { GITHUB, keyless, loaded, policy, RELEASE } from './testing/documents.ts'
import type { IdentityMatcher, Requirement } from './types.ts'

function identityOf(document: Readonly<Record<string, unknown>>): IdentityMatcher {
  const [entry] = loaded([policy('acme', { authorities: [keyless('a', document)] })]).entries
  const signer = entry?.policy.authorities[0]?.signer
  assert.ok(signer?.kind === 'keyless')
  return signer.identities[0] ?? assert.fail()
}

const EXACT = { issuer: GITHUB, subject: RELEASE }
const WIDE = { issuer: GITHUB, subjectPattern: 'https://github\\.com/acme/app/.*' }
const RUNNER = { extensions: { runnerEnvironment: 'github-hosted' } }

const CONTAINED = [
  { name: 'itself', wide: EXACT, narrow: EXACT, expected: true },
  { name: 'an exact one in a pattern', wide: WIDE, narrow: EXACT, expected: true },
  { name: 'no pattern in an exact one', wide: EXACT, narrow: WIDE, expected: false },
  { name: 'equal patterns', wide: WIDE, narrow: { ...WIDE }, expected: true },
  { name: 'one extension more', wide: EXACT, narrow: { ...EXACT, ...RUNNER }, expected: true },
  { name: 'one extension less', wide: { ...EXACT, ...RUNNER }, narrow: EXACT, expected: false },
  {
    name: 'another issuer',
    wide: { ...EXACT, issuer: 'https://issuer.example' },
    narrow: EXACT,
    expected: false,
  },
]

for (const { name, wide, narrow, expected } of CONTAINED) {
  test(`identity contains: ${name}`, () => {
    assert.equal(containsIdentity(identityOf(wide), identityOf(narrow)), expected)
  })
}

const [a, b, c] = (['a', 'b', 'c'] as const).map((name): Requirement => ({ kind: 'authority', name }))
assert.ok(a !== undefined && b !== undefined && c !== undefined)
const any = (...of: Requirement[]): Requirement => ({ kind: 'any', of })
const all = (...of: Requirement[]): Requirement => ({ kind: 'all', of })
const threshold = (count: number): Requirement => ({ kind: 'threshold', count, of: ['a', 'b', 'c'] })

const COMPARED: readonly (readonly [name: string, before: Requirement, after: Requirement, Comparison])[] = [
  ['another order', any(a, b), any(b, a), 'same'],
  ['an alternative more', a, any(a, b), 'laxer'],
  ['an alternative less', any(a, b), b, 'stricter'],
  ['both instead of either', any(a, b), all(a, b), 'stricter'],
  ['another authority', a, b, 'different'],
  ['a higher threshold', threshold(1), threshold(2), 'stricter'],
  [
    'all instead of a threshold of all, as one signer may be several of them',
    threshold(3),
    all(a, b, c),
    'laxer',
  ],
  ['fewer different signers for all', all(a, b, c, threshold(3)), all(a, b, c, threshold(2)), 'laxer'],
  ['a threshold of one is any', threshold(1), any(a, b, c), 'same'],
  ['nested', all(a, any(b, c)), any(all(a, b), all(a, c)), 'same'],
  ['two of three, or both of two', threshold(2), all(a, b), 'different'],
]

for (const [name, before, after, expected] of COMPARED) {
  test(`requirement: ${name} is ${expected}`, () => {
    assert.equal(compareRequirements(before, after), expected)
  })
}
