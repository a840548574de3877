import assert from 'node:assert/strict'
import { test } from 'node:test'
import { measureTimes, quantile, tableOf } from './measure.ts'

const QUANTILES: readonly (readonly [
  name: string,
  values: readonly number[],
  share: number,
  value: number,
])[] = [
  ['nothing', [], 0.5, 0],
  ['one value', [7], 0.99, 7],
  ['the middle of an odd number', [3, 1, 2], 0.5, 2],
  ['the lower middle of an even number', [4, 1, 3, 2], 0.5, 2],
  ['numbers, not texts', [10, 9, 100], 1, 100],
  ['the smallest', [5, 3, 4], 0, 3],
  ['99 of 100', Array.from({ length: 100 }, (_, n) => n + 1), 0.99, 99],
]

for (const [name, values, share, value] of QUANTILES) {
  test(`quantile ${share} of ${name}`, () => assert.equal(quantile(values, share), value))
}

test('a quantile leaves the values in their order', () => {
  const values = [3, 1, 2]
  quantile(values, 0.5)
  assert.deepEqual(values, [3, 1, 2])
})

test('a table has a label on the left and cells on the right', () => {
  assert.equal(tableOf(6, 5)('name', '1', '22'), 'name      1   22')
})

for (const kind of ['sync', 'async'] as const) {
  test(`${kind} work is called with 1, 2, 3 and so on, one after the other`, async () => {
    const turns: number[] = []
    const run = (turn: number): void => void turns.push(turn)
    const { callsPerSample } = await measureTimes(
      kind === 'sync' ? { kind, run } : { kind, run: (turn) => Promise.resolve(run(turn)) },
      { warmUpMs: 1, measureMs: 1 },
    )
    assert.ok(turns.length > callsPerSample)
    assert.ok(turns.every((turn, index) => turn === index + 1))
  })
}

test('what work throws is thrown', async () => {
  const run = () => assert.fail('wrong answer')
  await assert.rejects(measureTimes({ kind: 'sync', run }, { warmUpMs: 1, measureMs: 1 }), /wrong answer/)
})
