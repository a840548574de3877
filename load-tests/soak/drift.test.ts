import assert from 'node:assert/strict'
import { it } from 'node:test'
import { driftOf } from './drift.ts'

it('compares the second tenth with the last', () => {
  const tenths = [900, 10, 20, 20, 20, 20, 20, 20, 20, 30]
  const values = tenths.flatMap((value) => [value - 1, value, value + 1])
  assert.deepEqual(driftOf(values), { early: 10, late: 30 })
})

it('finds no drift in what is flat', () => {
  assert.deepEqual(driftOf([5, 5, 5, 5]), { early: 5, late: 5 })
})
