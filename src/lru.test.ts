import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLru } from './lru.ts'

test('what was used longest ago goes first, and no entry more than there is room for', () => {
  const kept = createLru<string, number>(2)
  kept.set('a', 1).set('b', 2)
  assert.equal(kept.get('a'), 1)
  kept.set('c', 3)
  assert.deepEqual([...kept.keys()], ['c', 'a'])
  kept.set('a', 4)
  assert.deepEqual(
    [...kept.entries()],
    [
      ['a', 4],
      ['c', 3],
    ],
  )
})

test('an entry that was deleted makes room for another', () => {
  const kept = createLru<string, number>(2)
  kept.set('a', 1).set('b', 2)
  kept.delete('a')
  kept.set('c', 3)
  assert.deepEqual([...kept.keys()], ['c', 'b'])
})
