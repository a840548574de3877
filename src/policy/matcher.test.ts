import assert from 'node:assert/strict'
import test from 'node:test'
import { exactMatcher, matchesString, patternMatcher, type MatcherResult } from './matcher.ts'

function matches(result: MatcherResult, text: string): boolean {
  assert.ok(result.ok, result.ok ? '' : result.message)
  return matchesString(result.matcher, text)
}

const RELEASE = 'https://github.com/acme/app/.github/workflows/release.yml@refs/tags/v1.0.0'
const PATTERN = 'https://github\\.com/acme/app/\\.github/workflows/release\\.yml@refs/tags/v.*'

const ANCHORING: readonly (readonly [name: string, pattern: string, text: string, expected: boolean])[] = [
  ['the whole string', PATTERN, RELEASE, true],
  ['text before', PATTERN, `https://evil.example/?${RELEASE}`, false],
  [
    'text after, where the pattern ends',
    'https://github\\.com/acme/app',
    'https://github.com/acme/app-evil',
    false,
  ],
  ['another host by an escaped dot', PATTERN, RELEASE.replace('github.com', 'githubxcom'), false],
  ['an alternative is anchored as a whole', 'a@acme\\.com|b@acme\\.com', 'b@acme.com.evil.com', false],
  ['an alternative is anchored at its front', 'a@acme\\.com|b@acme\\.com', 'evil-b@acme.com', false],
  ['an alternative that matches', 'a@acme\\.com|b@acme\\.com', 'b@acme.com', true],
  ['anchors of its own change nothing', `^${PATTERN}$`, RELEASE, true],
  ['multi-line anchors do not open the end', '(?m)^a@acme\\.com$', 'a@acme.com\nevil@evil.com', false],
  ['multi-line anchors do not open the front', '(?m)^a@acme\\.com$', 'evil@evil.com\na@acme.com', false],
  ['a line break at the end counts', 'a@acme\\.com', 'a@acme.com\n', false],
  ['a dot is no line break', 'a@acme\\.com.*', 'a@acme.com\nevil', false],
  ['case counts', 'a@acme\\.com', 'A@acme.com', false],
]

for (const [name, pattern, text, expected] of ANCHORING) {
  test(`pattern: ${name}`, () => assert.equal(matches(patternMatcher('subject', pattern), text), expected))
}

const EXACT: readonly (readonly [name: string, text: string, expected: boolean])[] = [
  ['itself', RELEASE, true],
  ['a longer one', `${RELEASE}.1`, false],
  ['a shorter one', RELEASE.slice(0, -1), false],
  ['another case', RELEASE.toUpperCase(), false],
  ['dots are no wildcards', RELEASE.replace('github.com', 'githubxcom'), false],
]

for (const [name, text, expected] of EXACT) {
  test(`exact: ${name}`, () => assert.equal(matches(exactMatcher('subject', RELEASE), text), expected))
}

const ANYBODY = [
  '.*',
  '.+',
  '^.*$',
  '(.*)',
  '[\\s\\S]*',
  '\\S+',
  '.*|x',
  'x|.*',
  '.{1,200}',
  'https?://.*',
  '(?s).*',
  '.*@.*',
]

for (const pattern of ANYBODY) {
  test(`a subject pattern that accepts anybody does not compile: ${pattern}`, () => {
    const result = patternMatcher('subject', pattern)
    assert.ok(!result.ok)
    assert.match(result.message, /anybody could sign as; write who may sign, for example https:/)
  })
}

for (const pattern of ['.*', 'https://.*', '^https://']) {
  test(`an issuer pattern that accepts anybody, or nobody, is told apart: ${pattern}`, () => {
    assert.equal(patternMatcher('issuer', pattern).ok, pattern === '^https://')
  })
}

const UNUSABLE: readonly (readonly [name: string, pattern: string])[] = [
  ['an open group', 'a('],
  ['a look-behind, which RE2 has not', '(?<=a)b'],
  ['a back reference, which RE2 has not', '(a)\\1'],
  ['no end', 'a'.repeat(1025)],
]

for (const [name, pattern] of UNUSABLE) {
  test(`pattern with ${name} does not compile`, () =>
    assert.equal(patternMatcher('subject', pattern).ok, false))
}

test('an exact value that looks like a pattern is refused', () => {
  const result = exactMatcher('subject', 'https://github.com/acme/*')
  assert.ok(!result.ok)
  assert.match(result.message, /use subjectPattern/)
})

test('a pattern that backtracks elsewhere is linear here', () => {
  assert.equal(matches(patternMatcher('subject', '(a+)+b'), 'a'.repeat(5000)), false)
})
