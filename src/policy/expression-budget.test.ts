import assert from 'node:assert/strict'
import test from 'node:test'
import { about, compileExpression, judgeExpression } from '../testing/expressions.ts'
import { IMAGE } from '../testing/provenance.ts'

function objects(count: number): readonly unknown[] {
  return Array.from({ length: count }, (_, index) => ({ uri: `pkg:npm/a@${index}`, n: index }))
}

const COSTLY: Readonly<Record<string, readonly [expression: string, predicate: unknown]>> = {
  'a long list': ['statement.predicate.l.all(x, x.n >= 0)', { l: objects(100_000) }],
  'a list in a list': [
    'statement.predicate.l.all(x, statement.predicate.l.all(y, x.n + y.n >= 0.0))',
    { l: objects(300) },
  ],
  'a list that is only counted': ['statement.predicate.l.size() > 1', { l: objects(100_000) }],
  'a map with many keys': [
    'statement.predicate.all(k, k != "")',
    Object.fromEntries(objects(100_001).map((_, i) => [`k${i}`, i])),
  ],
  'two long texts': [
    'statement.predicate.a == statement.predicate.b',
    { a: 'x'.repeat(4e6), b: 'x'.repeat(4e6) },
  ],
  'two large objects': [
    'statement.predicate.a == statement.predicate.b',
    { a: objects(50_000), b: objects(50_000) },
  ],
  'a text in a long text': [
    '!statement.predicate.a.contains(statement.predicate.b)',
    { a: 'a'.repeat(1e6), b: `b${'a'.repeat(1000)}` },
  ],
  'a text that doubles': [
    `[statement.predicate.a]${'.map(s, s + s + s + s)'.repeat(12)}.size() == 1`,
    { a: 'x'.repeat(100) },
  ],
  'a list that doubles': [
    `[1]${'.map(s, [s, s])'.repeat(2)}.map(s, statement.predicate.l + statement.predicate.l).size() == 1`,
    { l: Array(60_000).fill(1) },
  ],
  'a pattern again and again': [
    'statement.predicate.l.all(x, x.matches("^[a-z]+$"))',
    { l: Array(5000).fill('a'.repeat(4000)) },
  ],
}

for (const [name, [expression, predicate]] of Object.entries(COSTLY)) {
  test(`the budget ends ${name}`, () => {
    assert.match(
      judgeExpression(expression, about(predicate))?.found ?? 'passed',
      /takes more than 100000 steps$/,
    )
  })
}

test('the budget is for one evaluation, not for all', () => {
  const [check] = compileExpression('statement.predicate.l.all(x, x.n >= 0)').checks
  const verified = about({ l: objects(2000) })
  for (let run = 0; run < 20; run++) assert.equal(check?.check(verified, IMAGE), undefined)
})

test('JSON without bottom does not throw', () => {
  const deep: unknown = JSON.parse(`{"a": ${'['.repeat(50_000)}${']'.repeat(50_000)}}`)
  assert.match(
    judgeExpression('statement.predicate.a != 1', about(deep))?.found ?? 'passed',
    /cannot be evaluated/,
  )
})
