import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { createLanes, createTurns } from './turns.ts'

test('lanes: so many at a time, in order, and one that fails stops no other', async () => {
  const inLane = createLanes(2)
  const world = { running: 0, most: 0, began: [] as number[] }
  const doors = Array.from({ length: 5 }, () => Promise.withResolvers<void>())
  const results = Promise.allSettled(
    doors.map(async ({ promise }, n) =>
      inLane(async () => {
        world.began.push(n)
        world.most = Math.max(world.most, ++world.running)
        await promise.finally(() => world.running--)
        return n
      }),
    ),
  )
  doors[0]?.reject(new Error('lost'))
  for (const { resolve } of doors) resolve()
  const settled = await results
  assert.deepEqual(
    settled.map((result) => (result.status === 'fulfilled' ? result.value : 'failed')),
    ['failed', 1, 2, 3, 4],
  )
  assert.deepEqual([world.most, world.began], [2, [0, 1, 2, 3, 4]])
})

test('turns: one caller in each turn of the event loop, in the order in which they came', async () => {
  const turn = createTurns()
  const served: number[] = []
  const servedAfter: number[] = []
  const all = Promise.all([1, 2, 3].map(async (caller) => turn().then(() => served.push(caller))))
  for (let passed = 0; passed < 8; passed += 1) {
    await nextTurn()
    servedAfter.push(served.length)
  }
  await all
  assert.deepEqual(served, [1, 2, 3])
  const most = servedAfter.map((count, index) => count - (servedAfter[index - 1] ?? 0))
  assert.equal(Math.max(...most), 1)
})
