import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { RE2JS } from 're2js'
import { findsAnything, wholePattern } from './search-pattern.ts'

describe('a searched pattern as one that must match all', () => {
  const cases: readonly (readonly [string, string, string])[] = [
    ['in the middle', 'acme', '.*acme.*'],
    ['anchored at both ends', '^https://acme$', 'https://acme'],
    ['anchored at the start', '^https://acme/', 'https://acme/.*'],
    ['anchored at the end', '@acme\\.com$', '.*@acme\\.com'],
    ['already open', '.*kubernetes.default.*', '.*kubernetes.default.*'],
    ['a dollar that is escaped', 'costs\\$', '.*costs\\$.*'],
    ['a backslash, then the end', 'path\\\\$', '.*path\\\\'],
    ['an escaped dot before a star', 'a\\.*', '.*a\\.*.*'],
    ['alternatives, which anchors bind tighter than', '^a|b$', '.*(?:^a|b$).*'],
    ['alternatives in a group', '^(a|b)$', '(a|b)'],
    ['alternatives in a class', '^[a|b]$', '[a|b]'],
    ['a class that begins with its own end', '[](]|x', '.*(?:[](]|x).*'],
    ['a flag', '(?i)ACME', '.*(?:(?i)ACME).*'],
    ['lines', '(?m)^acme$', '.*(?:(?m)^acme$).*'],
    ['a quotation', '\\Qa|b\\E', '.*(?:\\Qa|b\\E).*'],
    ['a repeated anchor', '^*a', '.*^*a.*'],
  ]
  for (const [name, search, whole] of cases) {
    it(name, () => assert.equal(wholePattern(search), whole))
  }

  it('matches what the search finds, for any pattern', () => {
    const atom = fc.constantFrom(
      'a',
      'b',
      '.',
      '.*',
      '.+',
      '^',
      '$',
      '\\$',
      '\\.',
      '[ab]',
      '[^a|]',
      '(a|b)',
      '(?:a|^b)',
      '|',
    )
    const text = fc.string({ unit: fc.constantFrom('a', 'b', '.', '$', '|', 'c'), maxLength: 8 })
    fc.assert(
      fc.property(fc.array(atom, { minLength: 1, maxLength: 6 }), text, (atoms, subject) => {
        const search = atoms.join('')
        fc.pre(isPattern(search))
        const whole = RE2JS.compile(wholePattern(search)).matches(subject)
        assert.equal(whole, RE2JS.compile(search).matcher(subject).find())
      }),
      { numRuns: 2_000 },
    )
  })
})

function isPattern(source: string): boolean {
  try {
    return RE2JS.compile(source).pattern() === source
  } catch {
    return false
  }
}

describe('patterns that find something in everything', () => {
  for (const source of ['.*', '.+', '^.*$', '^.+', '(.*)', '.*?', '.*.*']) {
    it(source, () => assert.equal(findsAnything(source), true))
  }
  for (const source of ['a', 'https://.*', '.', '\\.*', '^$x', '.*@acme.com']) {
    it(`not ${source}`, () => assert.equal(findsAnything(source), false))
  }
})
