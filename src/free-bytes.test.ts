import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { freeBytes } from './free-bytes.ts'

describe('bytes that nobody will look at again', () => {
  it('are freed at once where all of the memory is theirs', () => {
    const bytes = Buffer.alloc(1000, 1)
    freeBytes(bytes)
    assert.equal(bytes.length, 0)
  })

  it('stay where the memory is of others too', () => {
    const whole = Buffer.alloc(1000, 1)
    for (const part of [whole.subarray(0, 999), whole.subarray(1), Buffer.from('in the pool')])
      freeBytes(part)
    assert.equal(whole.length, 1000)
  })
})
