import assert from 'node:assert/strict'
import { test } from 'node:test'
import { GITHUB, keyless, policy, PROVENANCE, RELEASE, revocation } from './testing/documents.ts'
import {
  identities,
  KEY,
  keyed,
  lintOf,
  OTHER_KEY,
  testLint,
  type Json,
  type LintCase,
} from './testing/lint.ts'

const attested = (more: Json): Json =>
  policy('acme', {
    authorities: [{ ...keyless('release'), attestations: [{ name: 'provenance', ...more }] }],
  })
const REVOKED = { identity: { issuer: GITHUB, subject: RELEASE } }

const CASES: readonly LintCase[] = [
  {
    code: 'short-budget',
    name: 'less than a registry needs to answer',
    severity: 'warning',
    bad: [policy('acme', { mode: 'enforce', verifyBudget: '249ms' })],
    says: /waits only 249 milliseconds/,
    good: [
      policy('acme', { mode: 'enforce', verifyBudget: '250ms' }),
      policy('shown', { mode: 'observe', verifyBudget: '10ms' }),
    ],
  },
  {
    code: 'revoked-signer',
    name: 'an identity of the policy',
    bad: [policy('acme'), revocation('leak', [REVOKED])],
    says: /revocation leak refuses what is signed by https:\/\/github\.com\/acme/,
    good: [policy('acme'), revocation('leak', [REVOKED], { images: [{ glob: 'ghcr.io/other/**' }] })],
  },
  {
    code: 'revoked-signer',
    name: 'a key of the policy, within a window',
    severity: 'note',
    bad: [
      policy('acme', { authorities: [keyed('ops', KEY)] }),
      revocation('leak', [{ key: { data: KEY }, signedFrom: '2026-01-01' }]),
    ],
    says: /refuses what is signed by key sha256:[0-9a-f]{16}, whom authority ops asks for, within a window/,
    good: [
      policy('acme', { authorities: [keyed('ops', KEY)] }),
      revocation('leak', [{ key: { data: OTHER_KEY } }]),
    ],
  },
  {
    code: 'never-satisfied',
    name: 'the only identity is revoked',
    bad: [policy('acme'), revocation('leak', [REVOKED])],
    says: /nothing can satisfy the policy/,
    good: [
      identities({ issuer: GITHUB, subject: RELEASE }, { issuer: GITHUB, subject: `${RELEASE}.1` }),
      revocation('leak', [REVOKED]),
    ],
  },
  {
    code: 'never-satisfied',
    name: 'a static refusal, as a note, for that is what it is for',
    severity: 'note',
    bad: [policy('acme', { authorities: [{ name: 'no', static: { action: 'fail' } }] })],
    says: /nothing can satisfy the policy/,
    good: [policy('acme')],
  },
  {
    code: 'static-pass',
    name: 'everything passes',
    bad: [policy('acme', { authorities: [{ name: 'yes', static: { action: 'pass' } }] })],
    says: /authority yes is satisfied by every image/,
    good: [policy('acme', { authorities: [{ name: 'no', static: { action: 'fail' } }] })],
  },
  {
    code: 'dead-alternative',
    name: 'an alternative that says no to everything',
    bad: [policy('acme', { authorities: [keyless('release'), { name: 'no', static: { action: 'fail' } }] })],
    says: /the alternative "no" can never be met/,
    good: [policy('acme', { authorities: [keyless('release'), keyed('ops', KEY)] })],
  },
  {
    code: 'same-signer',
    name: 'one key under two names, and too few signers',
    severity: 'error',
    bad: [policy('acme', { authorities: [keyed('a', KEY), keyed('b', KEY)], require: { threshold: 2 } })],
    says: /authorities a and b of the threshold 2 of 2 are one and the same signer/,
    good: [
      policy('acme', { authorities: [keyed('a', KEY), keyed('b', OTHER_KEY)], require: { threshold: 2 } }),
    ],
  },
  {
    code: 'same-signer',
    name: 'one identity under two names, and still enough signers',
    severity: 'warning',
    bad: [
      policy('acme', {
        authorities: [keyless('a'), keyless('b'), keyed('c', KEY)],
        require: { threshold: 2 },
      }),
    ],
    says: /authorities a and b of the threshold 2 of 3/,
    good: [
      policy('acme', {
        authorities: [keyless('a'), keyed('b', KEY), keyed('c', OTHER_KEY)],
        require: { threshold: 2 },
      }),
    ],
  },
  {
    code: 'unchecked-attestation',
    name: 'provenance of anything',
    bad: [attested({ predicateType: PROVENANCE })],
    says: /asks for a provenance attestation, and nothing of what it says is checked/,
    good: [attested({ predicateType: PROVENANCE, slsa: { sources: ['https://github.com/acme/app'] } })],
  },
  {
    code: 'unchecked-attestation',
    name: 'a bill of materials, as a note',
    severity: 'note',
    bad: [attested({ predicateType: 'https://spdx.dev/Document' })],
    says: /nothing of what it says is checked/,
    good: [attested({ predicateType: PROVENANCE, slsa: { sources: ['https://github.com/acme/app'] } })],
  },
  {
    code: 'overlap',
    name: 'two policies about the same image, with one to show',
    bad: [
      policy('acme', { images: [{ glob: 'ghcr.io/acme/*/web' }] }),
      policy('web', { images: [{ glob: 'ghcr.io/acme/shop-*/*' }] }),
    ],
    says: /it matches images of (?:acme|web) \(ghcr\.io\/acme\/shop-[a-z]+\/web\)/,
    good: [
      policy('acme', { images: [{ glob: 'ghcr.io/acme/*' }] }),
      policy('web', { images: [{ glob: 'ghcr.io/acme/*/web' }] }),
    ],
  },
  {
    code: 'no-runbook',
    name: 'enforced in one ring',
    bad: [policy('acme', { rings: { canary: 'enforce' } })],
    says: /has no runbook/,
    good: [policy('acme', { rings: { canary: 'enforce' }, runbook: 'https://wiki.example/acme' })],
  },
  {
    code: 'mode-off',
    name: 'off in every ring',
    bad: [policy('acme', { mode: 'off' })],
    says: /the mode is off/,
    good: [policy('acme', { mode: 'off', rings: { canary: 'observe' } })],
  },
  {
    code: 'ring-behind',
    name: 'a later ring is laxer',
    rings: ['canary', 'prod'],
    bad: [policy('acme', { rings: { canary: 'enforce' } })],
    says: /ring prod is still in mode observe, and ring canary before it in mode enforce/,
    good: [policy('acme', { mode: 'enforce' })],
  },
  {
    code: 'ring-ahead',
    name: 'a later ring is stricter',
    rings: ['canary', 'prod'],
    bad: [policy('acme', { rings: { prod: 'enforce' } })],
    says: /ring prod is in mode enforce, and ring canary before it only in mode observe/,
    good: [policy('acme', { rings: { canary: 'enforce' } })],
  },
]

testLint(CASES)

test('the worst comes first, and a catch-all is told once', () => {
  const findings = lintOf([
    policy('everything', { images: [{ glob: '**' }] }),
    ...['a', 'b', 'c', 'd'].map((name) => policy(name)),
    policy('keys', { authorities: [keyed('a', KEY), keyed('b', KEY)], require: { threshold: 2 } }),
  ])
  assert.deepEqual(
    findings.map(({ severity, code, policy: name }) => [severity, code, name]),
    [
      ['error', 'same-signer', 'keys'],
      ['note', 'overlap', 'everything'],
    ],
  )
  assert.match(
    findings[1]?.what ?? '',
    /^it matches images of a \(ghcr\.io\/a\/app\), b .*, c .* and 2 more$/,
  )
})
