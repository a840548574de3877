import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Discovery } from './discover/types.ts'
import { HeadStarts } from './head-start.ts'

const FOUND: Discovery = { candidates: [], rejected: [], failures: [] }

function setUp() {
  const headStarts = new HeadStarts()
  const world = { asked: 0, isLikely: true, signals: [] as AbortSignal[] }
  const discover = async (signal: AbortSignal): Promise<Discovery> => {
    world.asked++
    world.signals.push(signal)
    return await Promise.resolve(FOUND)
  }
  const of = (registry = 'r.test') => headStarts.of({ registry, isLikely: () => world.isLikely, discover })
  /** One pull; gives whether its evidence was asked for ahead of time. */
  const pull = async (isImage: boolean, registry?: string): Promise<boolean> => {
    const before = world.asked
    {
      using ahead = of(registry)
      ahead.begin()
      if (isImage) await ahead.take()
    }
    await new Promise(setImmediate)
    return world.asked > before
  }
  return { world, of, pull }
}

test('what was begun is what is taken, and it goes on', async () => {
  const { world, of } = setUp()
  {
    using ahead = of()
    ahead.begin()
    assert.equal(await ahead.take(), FOUND)
  }
  assert.equal(world.asked, 1)
  assert.equal(world.signals[0]?.aborted, false)
})

test('what nobody takes is given up', async () => {
  const { world, pull } = setUp()
  assert.equal(await pull(false), true)
  assert.equal(world.signals[0]?.aborted, true)
})

test('nothing is begun where the manifest was at hand, nor where the evidence is not likely to be needed', async () => {
  const { world, of, pull } = setUp()
  {
    using ahead = of()
    assert.equal(ahead.take(), undefined)
  }
  world.isLikely = false
  assert.equal(await pull(true), false)
  assert.equal(world.asked, 0)
})

test('digests of nothing are soon asked for alone, until images have needed their evidence again', async () => {
  const { world, pull } = setUp()
  for (let n = 0; n < 100; n++) await pull(false)
  assert.equal(world.asked, 16)
  assert.equal(await pull(true, 'other.test'), true, 'another registry is another matter')
  assert.equal(await pull(true), false)
  assert.equal(await pull(true), true)
})

test('so many at a time', () => {
  const { world, of } = setUp()
  const many = Array.from({ length: 100 }, () => of())
  for (const ahead of many) ahead.begin()
  assert.equal(world.asked, 32)
})

test('an error that nobody takes is nobody’s', async () => {
  const headStarts = new HeadStarts()
  const guess = {
    registry: 'r.test',
    isLikely: () => true,
    discover: async () => await Promise.reject(new Error('a mistake')),
  }
  {
    using ahead = headStarts.of(guess)
    ahead.begin()
  }
  using taken = headStarts.of(guess)
  taken.begin()
  await assert.rejects(taken.take() ?? assert.fail(), { message: 'a mistake' })
  await new Promise(setImmediate)
})
