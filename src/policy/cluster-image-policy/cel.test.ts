import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { celOfCue } from './cue.ts'
import { celOfRego } from './rego.ts'

const TYPE = 'https://cosign.sigstore.dev/attestation/v1'

describe('CUE as CEL', () => {
  const derived: readonly (readonly [string, string, readonly string[]])[] = [
    ['nothing but the type', `predicateType: "${TYPE}"`, []],
    ['another type', 'predicateType: "x"', ['statement.predicateType == "x"']],
    ['a path', 'predicate: Data: "foobar"', ['statement.predicate.Data == "foobar"']],
    [
      'a struct',
      'predicate: {\n  a: "x" // why\n  "b-c": d: true, e: null\n}',
      [
        'statement.predicate.a == "x"',
        'statement.predicate["b-c"].d == true',
        'statement.predicate.e == null',
      ],
    ],
    ['comparisons', 'predicate: n: >=1 & <10', ['statement.predicate.n >= 1', 'statement.predicate.n < 10']],
    [
      'patterns',
      'predicate: s: =~"^a" & !~"b$"',
      ['statement.predicate.s.matches("^a")', '!statement.predicate.s.matches("b$")'],
    ],
    ['alternatives', 'predicate: s: "a" | "b"', ['statement.predicate.s in ["a", "b"]']],
    ['a list', 'predicate: l: ["a", 1]', ['statement.predicate.l == ["a", 1]']],
    ['a type', 'predicate: s: string', ['type(statement.predicate.s) == string']],
    [
      'a time',
      'import "time"\nbefore: time.Parse(time.RFC3339, "2049-10-09T17:10:27Z")\npredicate: Timestamp: <before',
      ['timestamp(statement.predicate.Timestamp) < timestamp("2049-10-09T17:10:27Z")'],
    ],
    ['a constant', 'limit: 3\npredicate: n: <limit', ['statement.predicate.n < 3']],
    ['a word of CEL', 'predicate: in: 1', ['statement.predicate["in"] == 1']],
  ]
  for (const [name, source, conditions] of derived) {
    it(name, () => assert.deepEqual(celOfCue(source, TYPE), { ok: true, conditions }))
  }

  const unknown: readonly (readonly [string, string, RegExp])[] = [
    ['a condition', 'if true { predicate: 1 }', /more than a field/],
    ['a library', 'import "list"\npredicate: l: list.MaxItems(1)', /imports more/],
    ['an optional field', 'predicate: a?: 1', /more than a value/],
    ['a definition', '#a: 1', /more than a field/],
    ['an interpolation', 'predicate: s: "\\(x)"', /interpolations/],
    ['an open list', 'predicate: l: [...string]', /plain values/],
    ['a default', 'predicate: s: *"a" | "b"', /more than a value/],
    ['an empty struct', 'predicate: {}', /without fields/],
    ['a constant twice', 'a: 1\na: 2', /twice/],
    ['a damaged time', 'import "time"\nt: time.Parse(time.RFC3339, "soon")\npredicate: x: <t', /computes/],
    ['an unused import', `import "time"\npredicateType: "${TYPE}"`, /imports/],
    ['an unknown name', 'predicate: x: <y', /no value/],
    ['an end that is missing', 'predicate: {a: 1', /does not end/],
    ['an end too many', 'predicate: a: 1 }', /out of place/],
    ['depth', `predicate: ${'a: '.repeat(100)}1`, /nested/],
    ['length', `predicate: a: "${'a'.repeat(20_000)}"`, /characters/],
  ]
  for (const [name, source, why] of unknown) {
    it(`${name} is not derived`, () => {
      const result = celOfCue(source, TYPE)
      assert.ok(!result.ok)
      assert.match(result.why, why)
    })
  }
})

describe('Rego as CEL', () => {
  const rule = (body: string) => `package sigstore\ndefault isCompliant = false\nisCompliant {\n${body}\n}\n`
  const derived: readonly (readonly [string, string, readonly string[]])[] = [
    ['nothing but the type', rule(`input.predicateType == "${TYPE}"`), []],
    ['a member', rule('input.predicate.Data == "foobar"'), ['statement.predicate.Data == "foobar"']],
    ['a name for a member', rule('p := input.predicate\np["a-b"] != 4'), ['statement.predicate["a-b"] != 4']],
    ['a count', rule('count(input.predicate.l) > 0'), ['size(statement.predicate.l) > 0']],
    [
      'some element',
      rule('input.predicate.m[_].uri == "x"'),
      ['statement.predicate.m.exists(e, e.uri == "x")'],
    ],
    [
      'elements of elements',
      rule('input.predicate.m[_].n[_] < 4'),
      ['statement.predicate.m.exists(e, e.n.exists(e2, e2 < 4))'],
    ],
    [
      'searches',
      rule('startswith(input.predicate.s, "a"); regex.match(`^b`, input.predicate.s)'),
      ['statement.predicate.s.startsWith("a")', 'statement.predicate.s.matches("^b")'],
    ],
    [
      'two rules',
      'package sigstore\nimport rego.v1\nisCompliant if { input.predicate.a == 1 }\nisCompliant if { input.predicate.b == 1 }',
      ['(statement.predicate.a == 1) || (statement.predicate.b == 1)'],
    ],
  ]
  for (const [name, source, conditions] of derived) {
    it(name, () => assert.deepEqual(celOfRego(source, TYPE), { ok: true, conditions }))
  }

  const unknown: readonly (readonly [string, string, RegExp])[] = [
    ['another package', 'package x\nisCompliant { input.a == 1 }', /more than the rule/],
    ['another rule', rule('input.predicate.a == 1') + 'x { true }', /more than the rule/],
    ['a negation', rule('not input.predicate.a'), /more than a comparison/],
    ['a comparison of members', rule('input.predicate.a == input.predicate.b'), /more than a comparison/],
    ['a name that nothing uses', rule('x := input.predicate.a\ninput.predicate.b == 1'), /x := /],
    ['a name of nothing', rule('data.x == 1'), /more than a comparison/],
    ['a rule without lines', rule(''), /no lines/],
    ['length', rule(`input.a == "${'a'.repeat(20_000)}"`), /characters/],
  ]
  for (const [name, source, why] of unknown) {
    it(`${name} is not derived`, () => {
      const result = celOfRego(source, TYPE)
      assert.ok(!result.ok)
      assert.match(result.why, why)
    })
  }
})
