import assert from 'node:assert/strict'
import test from 'node:test'
import { duration, parseDuration } from './duration.ts'

const DURATIONS: readonly (readonly [text: string, ms: number | undefined])[] = [
  ['0s', 0],
  ['500ms', 500],
  ['30s', 30_000],
  ['5m', 300_000],
  ['24h', 86_400_000],
  ['30d', 2_592_000_000],
  ['30', undefined],
  ['1.5s', undefined],
  ['-1s', undefined],
  ['1h30m', undefined],
  ['30 s', undefined],
  ['30S', undefined],
]

for (const [text, ms] of DURATIONS) {
  test(`duration ${JSON.stringify(text)}`, () => assert.equal(parseDuration(text), ms))
}

test('bounds hold, and the message names them', () => {
  const schema = duration('1s', '1m')
  assert.equal(schema.parse('1s'), 1000)
  assert.equal(schema.parse('1m'), 60_000)
  for (const wrong of ['999ms', '61s', 30, undefined]) {
    const result = schema.safeParse(wrong)
    assert.match(result.error?.issues[0]?.message ?? '', /^expected a duration from 1s to 1m with its unit/)
  }
})
