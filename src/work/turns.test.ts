import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { createLanes, createTurns, OTHERS_MS } from './turns.ts'

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

describe('turns', () => {
  const slices: { name: string; othersMs: number; takesMs: number; served: readonly number[] }[] = [
    {
      name: 'one caller in each turn, where others take nothing',
      othersMs: 0,
      takesMs: 0,
      served: [1, 1, 1, 1],
    },
    {
      name: 'one caller in each turn, where others are quick',
      othersMs: OTHERS_MS,
      takesMs: 0,
      served: [1, 1, 1, 1],
    },
    {
      name: 'one caller in each turn, where it takes its share',
      othersMs: OTHERS_MS + 2,
      takesMs: 1,
      served: [1, 1, 1, 1],
    },
    {
      name: 'two callers, where they take half of it',
      othersMs: OTHERS_MS + 2,
      takesMs: 0.5,
      served: [2, 2],
    },
    { name: 'all of them, where others take much longer', othersMs: 100, takesMs: 1, served: [4] },
  ]
  for (const { name, othersMs, takesMs, served } of slices) {
    test(`${name}, in the order in which they came`, async () => {
      let nowMs = 100
      const turn = createTurns(() => nowMs)
      const servedIn: number[] = []
      const order: number[] = []
      const callers = [0, 1, 2, 3].map(async (caller) => {
        await turn()
        // More than one microtask: the next must not come in between.
        await Promise.resolve()
        await Promise.resolve()
        nowMs += takesMs
        order.push(caller)
      })
      assert.deepEqual(order, [])
      while (order.length < callers.length) {
        const before = order.length
        nowMs += othersMs
        await nextTurn()
        if (order.length > before) servedIn.push(order.length - before)
      }
      await Promise.all(callers)
      assert.deepEqual(order, [0, 1, 2, 3])
      assert.deepEqual(servedIn, served)
    })
  }

  test('a caller that fails, and one that comes when nobody waits any more', async () => {
    const turn = createTurns()
    const failed = turn().then(() => assert.fail('lost'))
    await assert.rejects(failed, /lost/)
    await nextTurn()
    await turn()
    const [late] = await Promise.all([turn().then(() => 'served'), turn().then(async () => await turn())])
    assert.equal(late, 'served')
  })
})
