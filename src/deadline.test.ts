import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { shareLimit } from './deadline.ts'

suite('a limit that is shared', () => {
  function setUp() {
    const clock = { ms: 5_000 }
    const begun: AbortController[] = []
    const begin = (): AbortSignal => {
      const limit = new AbortController()
      begun.push(limit)
      return limit.signal
    }
    return { clock, begun, limit: shareLimit(begin, { elapsed: () => clock.ms, shareMs: 1_000 }) }
  }

  for (const [name, laterMs, isSame] of [
    ['at once', 0, true],
    ['just within its time', 999, true],
    ['at the end of its time', 1_000, false],
    ['long after', 60_000, false],
  ] as const) {
    test(`is ${isSame ? 'the same' : 'another'} for work that begins ${name}`, () => {
      const { clock, limit } = setUp()
      const first = limit()
      clock.ms += laterMs
      assert.equal(limit() === first, isSame)
    })
  }

  test('is never one that was begun for longer, however often it is asked for', () => {
    const { clock, begun, limit } = setUp()
    for (let asked = 0; asked < 8; asked += 1) {
      limit()
      clock.ms += 300
    }
    assert.equal(begun.length, 2)
    begun[0]?.abort()
    assert.equal(limit().aborted, false)
  })
})
