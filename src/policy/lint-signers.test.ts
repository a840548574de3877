import assert from 'node:assert/strict'
import { test } from 'node:test'
import { lint } from './lint.ts'
import { GITHUB, loaded, policy, RELEASE } from './testing/documents.ts'
import { identities, KEY, keyed, NOW, testLint, type Json, type LintCase } from './testing/lint.ts'

const pattern = (subjectPattern: string, more: Json = {}): Json =>
  identities({ issuer: GITHUB, subjectPattern, ...more })
const ANYBODY = { name: 'anybody', keyless: { unsafeAnyIdentity: true } }

const CASES: readonly LintCase[] = [
  {
    code: 'any-identity',
    name: 'unsafeAnyIdentity',
    bad: [policy('acme', { authorities: [ANYBODY] })],
    says: /authority anybody accepts whoever has a certificate/,
    good: [identities({ issuer: GITHUB, subject: RELEASE })],
  },
  {
    code: 'broad-pattern',
    name: 'an owner without the slash that ends it',
    bad: [pattern('https://github\\.com/acme.*/release\\.yml@refs/tags/.*')],
    says: /which https:\/\/github\.com\/acme-attacker\/release\.yml@refs\/tags\/x meets/,
    good: [pattern('https://github\\.com/acme/.*/release\\.yml@refs/tags/.*')],
  },
  {
    code: 'broad-pattern',
    name: 'every repository of a host, unless an extension says whose',
    bad: [pattern('https://github\\.com/.*@refs/heads/main')],
    says: /which https:\/\/github\.com\/attacker\/x\/.* meets, too/,
    good: [
      pattern('https://github\\.com/.*@refs/heads/main', {
        extensions: { sourceRepositoryOwnerURI: 'https://github.com/acme' },
      }),
    ],
  },
  {
    code: 'broad-pattern',
    name: 'a mail domain without the @ that begins it',
    bad: [identities({ issuer: 'https://accounts.google.com', subjectPattern: '.*acme\\.example' })],
    says: /attacker@attacker-?acme\.example meets, too/,
    good: [identities({ issuer: 'https://accounts.google.com', subjectPattern: '[^@]*@acme\\.example' })],
  },
  {
    code: 'any-ref',
    name: 'whatever a workflow ran on',
    bad: [pattern('https://github\\.com/acme/app/\\.github/workflows/release\\.yml@.*')],
    says: /whatever the workflow ran on/,
    good: [pattern('https://github\\.com/acme/app/\\.github/workflows/release\\.yml@refs/tags/.*')],
  },
  {
    code: 'any-ref',
    name: 'a ref that an extension binds',
    bad: [pattern('https://github\\.com/acme/.*')],
    says: /whatever the workflow ran on/,
    good: [
      pattern('https://github\\.com/acme/.*', { extensions: { sourceRepositoryRef: 'refs/heads/main' } }),
    ],
  },
  {
    code: 'contained-identity',
    name: 'an exact identity beside a pattern that matches it',
    bad: [
      identities(
        { issuer: GITHUB, subject: RELEASE },
        {
          issuer: GITHUB,
          subjectPattern: 'https://github\\.com/acme/app/\\.github/workflows/release\\.yml@refs/tags/.*',
        },
      ),
    ],
    says: /names https:\/\/github\.com\/acme\/app\/.*v1 .*, whom \/https/,
    good: [
      identities(
        { issuer: GITHUB, subject: RELEASE },
        {
          issuer: GITHUB,
          subjectPattern: 'https://github\\.com/acme/lib/\\.github/workflows/release\\.yml@refs/tags/.*',
        },
      ),
    ],
  },
  {
    code: 'contained-identity',
    name: 'the same identity twice, unless an extension tells them apart',
    bad: [identities({ issuer: GITHUB, subject: RELEASE }, { issuer: GITHUB, subject: RELEASE })],
    says: /it has no effect|names https/,
    good: [
      identities(
        { issuer: GITHUB, subject: RELEASE, extensions: { runnerEnvironment: 'github-hosted' } },
        { issuer: GITHUB, subject: RELEASE, extensions: { runnerEnvironment: 'self-hosted' } },
      ),
    ],
  },
  {
    code: 'expired-key',
    name: 'a window that is over',
    bad: [policy('acme', { authorities: [keyed('ops', KEY, { validUntil: '2026-05-31' })] })],
    says: /of authority ops counts no longer since 2026-05-31T00:00:00\.000Z/,
    good: [policy('acme', { authorities: [keyed('ops', KEY, { validUntil: '2026-08-01' })] })],
  },
  {
    code: 'expiring-key',
    name: 'a window that ends within 30 days',
    bad: [policy('acme', { authorities: [keyed('ops', KEY, { validUntil: '2026-06-30' })] })],
    says: /ends on 2026-06-30T00:00:00\.000Z, and no other one goes on after it/,
    good: [policy('acme', { authorities: [keyed('ops', KEY, { validUntil: '2026-07-02' })] })],
  },
]

testLint(CASES)

test('any-issuer: a name that every issuer can vouch for', () => {
  const { entries } = loaded([policy('acme')])
  const [entry] = entries
  assert.ok(entry)
  const [authority] = entry.policy.authorities
  assert.ok(authority?.signer.kind === 'keyless')
  const identitiesWithout = authority.signer.identities.map((identity) => ({
    ...identity,
    issuer: undefined,
  }))
  const signer = { ...authority.signer, identities: identitiesWithout }
  const changed = { ...entry, policy: { ...entry.policy, authorities: [{ ...authority, signer }] } }
  const codes = (one: typeof entry) =>
    lint({ policies: [one], revocations: [], rings: [], now: NOW }).map(({ code }) => code)
  assert.deepEqual([codes(entry), codes(changed)], [[], ['any-issuer']])
})

test('a key whose successor is there is not about to leave a gap', () => {
  const { entries } = loaded([
    policy('acme', { authorities: [keyed('ops', KEY, { validUntil: '2026-06-10' })] }),
  ])
  const [entry] = entries
  assert.ok(entry)
  const [authority] = entry.policy.authorities
  assert.ok(authority?.signer.kind === 'key')
  const [held] = authority.signer.keys
  assert.ok(held)
  const successor = { ...held, key: { ...held.key, id: 'sha256:2' }, validUntil: undefined }
  const signer = { ...authority.signer, keys: [held, successor] }
  const changed = { ...entry, policy: { ...entry.policy, authorities: [{ ...authority, signer }] } }
  assert.deepEqual(lint({ policies: [changed], revocations: [], rings: [], now: NOW }), [])
})
