import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, beforeEach, suite, test } from 'node:test'
import { A, B, DAY, DOWN, GONE, HOUR, NEVER, read, RELEASE, START, World } from '../../testing/kms-keys.ts'
import { TrustKeeper } from '../keeper.ts'
import { KmsSource } from '../sources/kms.ts'

const YEAR = 365 * DAY

let root: string
let world: World
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'kms-clock-'))
})
beforeEach(async () => {
  world = new World(join(await mkdtemp(join(root, 'case-')), 'keys'))
})
after(() => rm(root, { recursive: true }))

suite('a clock that is ahead for a while', () => {
  test('renewal goes on, and an alias that moved then is noticed', async () => {
    const keys = world.keys()
    let elapsed = 0
    const keeper = new TrustKeeper([new KmsSource(keys, HOUR)], {
      now: () => world.now,
      elapsed: () => elapsed,
      random: () => 0.5,
      onEvent: () => undefined,
    })
    const tick = async (ms: number): Promise<void> => {
      world.pass(ms)
      elapsed += ms
      keeper.tick(NEVER)
      await new Promise((resolve) => setImmediate(resolve))
    }
    world.answers.set(RELEASE.text, A)
    await keeper.refresh('all', NEVER)
    world.pass(YEAR)
    await keeper.refresh('all', NEVER)
    world.pass(-YEAR)
    world.answers.set(RELEASE.text, B)
    await tick(5_000)
    await tick(60_000)
    assert.equal(world.asked, 3)
    assert.equal(read(keys), 'B')
    // What was begun is written before the directory goes.
    await keeper.refresh('all', NEVER)
    assert.equal(keeper.status()[0]?.state, 'fresh')
  })

  test('a confirmation from the future does not keep the key, also after a restart', async () => {
    world.pass(YEAR)
    const first = world.keys()
    await world.refresh(first, A)
    world.now = START
    const second = world.keys()
    await second.load()
    for (const keys of [first, second]) {
      await world.refresh(keys, DOWN)
      assert.match(String(read(keys)), /was confirmed at 2028-01-01\S+, which the clock says is far ahead/)
    }
    await world.refresh(second, A)
    assert.equal(read(second), 'A')
    assert.deepEqual(second.status()[0]?.current?.stopsAt, new Date(START.getTime() + 30 * DAY))
  })

  test('a key that retired then ends an overlap after the next answer, not a year later', async () => {
    world.pass(YEAR)
    const keys = world.keys()
    await world.refresh(keys, A)
    await world.refresh(keys, B)
    world.now = START
    assert.match(String(read(keys)), /far ahead/)
    await world.refresh(keys, B)
    assert.equal(read(keys), 'B, A retiring')
    world.pass(7 * DAY)
    assert.equal(read(keys), 'B')
  })

  test('nor does one that went', async () => {
    world.pass(YEAR)
    const keys = world.keys()
    await world.refresh(keys, A)
    await world.refresh(keys, GONE)
    world.now = START
    assert.equal(read(keys), '')
    await world.refresh(keys, GONE)
    assert.equal(read(keys), 'A retiring')
    world.pass(7 * DAY)
    assert.equal(read(keys), '')
  })

  test('what ended meanwhile had not', async () => {
    const keys = world.keys()
    await world.refresh(keys, A)
    await world.refresh(keys, B)
    world.pass(YEAR)
    assert.match(String(read(keys)), /too long ago/)
    world.pass(-YEAR)
    assert.equal(read(keys), 'B, A retiring')
  })
})

test('a start with a clock that is not set: nothing counts, and nothing is lost', async () => {
  const first = world.keys()
  await world.refresh(first, A)
  await world.refresh(first, B)
  world.now = new Date(0)
  const second = world.keys()
  await second.load()
  await world.refresh(second, DOWN)
  assert.match(String(read(second)), /far ahead/)
  world.now = new Date(START.getTime() + DAY)
  assert.equal(read(second), 'B, A retiring')
  assert.deepEqual(second.status()[0]?.current?.stopsAt, new Date(START.getTime() + 30 * DAY))
  assert.deepEqual(second.nextChangeAt(), new Date(START.getTime() + 7 * DAY))
})
