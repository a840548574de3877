import assert from 'node:assert/strict'
import test from 'node:test'
import type { SignerIdentity } from '../verify/types.ts'
import {
  ANY_IDENTITY,
  compileIdentity,
  identityCanonical,
  identitySchema,
  identityText,
  isAnybody,
  matchesIdentity,
} from './identity.ts'
import { pathText } from './problem.ts'
import type { IdentityMatcher } from './types.ts'

const ISSUER = 'https://token.actions.githubusercontent.com'
const SUBJECT = 'https://github.com/acme/app/.github/workflows/release.yml@refs/tags/v1'

const SIGNER: SignerIdentity = {
  issuer: ISSUER,
  subject: SUBJECT,
  subjectType: 'uri',
  extensions: {
    sourceRepositoryURI: 'https://github.com/acme/app',
    sourceRepositoryRef: 'refs/tags/v1',
    runnerEnvironment: 'github-hosted',
  },
}

/** The matcher, or all that is wrong. */
function compiled(document: unknown): IdentityMatcher | readonly string[] {
  const parsed = identitySchema.safeParse(document)
  if (!parsed.success) return parsed.error.issues.map(({ message }) => message)
  const problems: string[] = []
  const matcher = compileIdentity(parsed.data, [], (path, message) => {
    problems.push(`${pathText(path)}: ${message}`)
    return undefined
  })
  return matcher ?? problems
}

function matcherOf(document: unknown): IdentityMatcher {
  const matcher = compiled(document)
  if ('issuer' in matcher) return matcher
  assert.fail(JSON.stringify(matcher))
}

const REPOSITORY = { sourceRepositoryURI: 'https://github.com/acme/app' }

const MATCHES: readonly (readonly [name: string, document: object, isMatched: boolean])[] = [
  ['issuer and subject', { issuer: ISSUER, subject: SUBJECT }, true],
  ['another issuer', { issuer: 'https://other.example', subject: SUBJECT }, false],
  ['a part of the subject', { issuer: ISSUER, subject: SUBJECT.slice(0, -1) }, false],
  [
    'patterns of both',
    {
      issuerPattern: 'https://token\\.actions\\..*',
      subjectPattern: 'https://github\\.com/acme/.*@refs/tags/.*',
    },
    true,
  ],
  ['an extension in the place of the subject', { issuer: ISSUER, extensions: REPOSITORY }, true],
  [
    'an extension of another value',
    { issuer: ISSUER, extensions: { sourceRepositoryURI: 'https://github.com/acme/x' } },
    false,
  ],
  [
    'one extension of two',
    { issuer: ISSUER, extensions: { ...REPOSITORY, runnerEnvironment: 'self-hosted' } },
    false,
  ],
  [
    'an extension that the certificate does not have',
    { issuer: ISSUER, extensions: { ...REPOSITORY, buildTrigger: { pattern: '.*' } } },
    false,
  ],
  [
    'the pattern of an extension',
    { issuer: ISSUER, extensions: { ...REPOSITORY, sourceRepositoryRef: { pattern: 'refs/tags/v.*' } } },
    true,
  ],
  [
    'the pattern of an extension that it does not match as a whole',
    { issuer: ISSUER, extensions: { ...REPOSITORY, sourceRepositoryRef: { pattern: 'refs/tags/' } } },
    false,
  ],
]

for (const [name, document, isMatched] of MATCHES) {
  test(`identity: ${name} ${isMatched ? 'matches' : 'does not match'}`, () => {
    assert.equal(matchesIdentity(matcherOf(document), SIGNER), isMatched)
  })
}

const FAULTS: readonly (readonly [name: string, document: object, problem: RegExp])[] = [
  ['no issuer', { subject: SUBJECT }, /^found none, expected exactly one of issuer, issuerPattern$/],
  ['nobody', { issuer: ISSUER }, /^found nothing that says who signed/],
  [
    'only extensions that name nobody',
    { issuer: ISSUER, extensions: { runnerEnvironment: 'github-hosted' } },
    /^found nothing that says who signed/,
  ],
  ['an extension that is none', { issuer: ISSUER, extensions: { sourceRepo: 'x' } }, /sourceRepo/],
  [
    'a repository of anybody',
    { issuer: ISSUER, extensions: { sourceRepositoryURI: { pattern: '.*' } } },
    /^extensions\.sourceRepositoryURI\.pattern: the pattern also accepts https:\/\/attacker\.invalid\/x\/y/,
  ],
  [
    'the number of any repository',
    { issuer: ISSUER, extensions: { sourceRepositoryIdentifier: { pattern: '[0-9]+' } } },
    /^extensions\.sourceRepositoryIdentifier\.pattern: the pattern also accepts/,
  ],
  [
    'a workflow of anybody, though the subject is exact',
    { issuer: ISSUER, subject: SUBJECT, extensions: { buildSignerURI: { pattern: 'https://.*' } } },
    /^extensions\.buildSignerURI\.pattern: the pattern also accepts/,
  ],
  [
    'a glob where a text is compared',
    { issuer: ISSUER, extensions: { sourceRepositoryURI: 'https://github.com/acme/*' } },
    /^extensions\.sourceRepositoryURI: .*compared exactly; write \{pattern: …\}/,
  ],
]

for (const [name, document, problem] of FAULTS) {
  test(`identity: ${name} is refused`, () => {
    const problems = compiled(document)
    assert.ok(Array.isArray(problems))
    assert.match(problems.join('\n'), problem)
  })
}

test('anybody is who asks for nothing, and only that', () => {
  assert.ok(isAnybody(ANY_IDENTITY))
  assert.ok(matchesIdentity(ANY_IDENTITY, SIGNER))
  assert.equal(identityText(ANY_IDENTITY), 'anybody')
  assert.ok(!isAnybody(matcherOf({ issuer: ISSUER, extensions: REPOSITORY })))
})

test('an identity has one canonical form, whatever the order of its extensions, and another meaning another', () => {
  const forms = [
    { ...REPOSITORY, runnerEnvironment: 'x' },
    { runnerEnvironment: 'x', ...REPOSITORY },
    { runnerEnvironment: { pattern: 'x' }, ...REPOSITORY },
    REPOSITORY,
  ].map((extensions) => identityCanonical(matcherOf({ issuer: ISSUER, extensions })))
  assert.equal(forms[0], forms[1])
  assert.equal(new Set(forms).size, 3)
})

test('a message says all that an identity asks for', () => {
  assert.equal(
    identityText(matcherOf({ issuer: ISSUER, extensions: REPOSITORY })),
    `a signer (issuer ${ISSUER}, sourceRepositoryURI https://github.com/acme/app)`,
  )
})
