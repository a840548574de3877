import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { RE2JS } from 're2js'
import { compileWildcards } from './wildcard.ts'

const CASES: readonly (readonly [source: string, text: string, matches: boolean])[] = [
  ['https://github\\.com/acme/.*', 'https://github.com/acme/app', true],
  ['https://github\\.com/acme/.*', 'https://github.com/acme/', true],
  ['https://github\\.com/acme/.*', 'https://github.com.evil/acme/app', false],
  ['https://github\\.com/acme/.*', ' https://github.com/acme/app', false],
  ['https://github\\.com/acme/.*', 'https://github.com/acme/app\n', false],
  ['a.*b', 'ab', true],
  ['a.*b', 'a', false],
  ['a.*a', 'a', false],
  ['a.*bc.*c', 'abc', false],
  ['a.*bc.*c', 'abcc', true],
  ['a.*b.*b.*c', 'abc', false],
  ['.*', '', true],
  ['.*', '\n', false],
  ['.*.*', 'x', true],
  ['a\\.b', 'a.b', true],
  ['a\\.b', 'axb', false],
  ['a\\\\b', 'a\\b', true],
  ['', '', true],
  ['', 'a', false],
]

for (const [source, text, matches] of CASES) {
  test(`${JSON.stringify(source)} ${matches ? 'matches' : 'does not match'} ${JSON.stringify(text)}`, () => {
    assert.equal(compileWildcards(source)?.(text), matches)
  })
}

for (const source of [
  'a.b',
  'a+',
  'a|b',
  '(a)',
  '[ab]',
  '^a',
  'a$',
  'a?',
  'a{2}',
  '\\d',
  '\\Qa',
  'a*',
  '\\',
  'ä',
  'a\n',
]) {
  test(`${JSON.stringify(source)} is left to RE2`, () => assert.equal(compileWildcards(source), undefined))
}

test('an escaped character is that for RE2 too', () => {
  const characters = Array.from({ length: 95 }, (_, index) => String.fromCharCode(32 + index))
  const escaped = characters.filter((one) => compileWildcards(`\\${one}`) !== undefined)
  assert.equal(escaped.length, 32)
  for (const one of escaped) {
    assert.equal(compileWildcards(`\\${one}`)?.(one), true)
    assert.ok(RE2JS.compile(`\\${one}`).matches(one))
  }
})

test('says what RE2 says, of whatever it does not leave to it', () => {
  const character = fc.constantFrom(...Array.from('ab/.@-\\*+?()[]{}|^$ \n_:"\'<>&%\u{1f600}ä'))
  const token = fc.oneof(fc.constantFrom('.*', '\\.', '\\-', 'a', 'b', '/', '@', '\\@'), character)
  const source = fc.array(token, { maxLength: 8 }).map((tokens) => tokens.join(''))
  const text = fc.array(fc.oneof(fc.constantFrom('a', 'b', '.', '@'), character), { maxLength: 8 })
  let compared = 0
  fc.assert(
    fc.property(source, text, (pattern, characters) => {
      const matches = compileWildcards(pattern)
      if (matches === undefined) return
      compared += 1
      const whole = characters.join('')
      assert.equal(matches(whole), RE2JS.compile(pattern).matches(whole))
    }),
    { numRuns: 5000 },
  )
  assert.ok(compared > 500, `${compared} were compared`)
})

test('takes no quadratic time over a long text', () => {
  const matches = compileWildcards(`${'a.*'.repeat(300)}b`)
  assert.equal(matches?.('a'.repeat(100_000)), false)
})
