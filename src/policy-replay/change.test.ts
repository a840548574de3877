import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { changeFrom } from './change.ts'

describe('what a change is', () => {
  const outcomes = ['serve', 'warn', 'refuse', 'hold'] as const
  const EXPECTED = {
    serve: ['same', 'warned', 'refused', 'held'],
    warn: ['unwarned', 'same', 'refused', 'held'],
    refuse: ['admitted', 'admitted', 'same', 'otherwise'],
    hold: ['admitted', 'admitted', 'refused', 'same'],
  }
  for (const from of outcomes) {
    it(`from ${from}`, () => {
      const before = { outcome: from, because: [] }
      const found = outcomes.map((to) => changeFrom(before, { outcome: to, because: [] }))
      assert.deepEqual(found, EXPECTED[from])
    })
  }

  it('is a change of the reason, too', () => {
    const side = (why: string) => ({ outcome: 'refuse' as const, because: [{ policy: 'acme', why }] })
    assert.equal(changeFrom(side('a'), side('b')), 'otherwise')
  })
})
