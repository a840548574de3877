import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Progress } from './progress.ts'

function setUp() {
  const clock = { ms: 1_000 }
  const progress = new Progress(() => clock.ms)
  /** Work that takes so long. */
  const verify = async (ms: number): Promise<void> =>
    await progress.verifying(async () => {
      clock.ms += ms
      await Promise.resolve()
    })
  return { clock, progress, verify }
}

test('what only waits for others is not held up by verifying', () => {
  const { clock, progress } = setUp()
  clock.ms += 30_000
  assert.ok(!progress.isHeldUpByVerifying())
})

test('what is at it is, whatever came before', async () => {
  const { clock, progress } = setUp()
  clock.ms += 30_000
  const { promise, resolve } = Promise.withResolvers<void>()
  const verifying = progress.verifying(() => promise)
  assert.ok(progress.isHeldUpByVerifying())
  resolve()
  await verifying
  assert.ok(!progress.isHeldUpByVerifying())
})

test('what has spent half of its time on it is, though it waits for something else by now', async () => {
  const { clock, progress, verify } = setUp()
  await verify(10_000)
  clock.ms += 10_000
  assert.ok(progress.isHeldUpByVerifying())
  clock.ms += 1
  assert.ok(!progress.isHeldUpByVerifying())
})

test('two at the same time take no longer than one, and one that fails has taken time too', async () => {
  const { clock, progress, verify } = setUp()
  await Promise.all([verify(500), verify(500)])
  await assert.rejects(
    progress.verifying(() => {
      clock.ms += 1_000
      return Promise.reject(new Error('too much'))
    }),
  )
  clock.ms += 2_000
  assert.ok(progress.isHeldUpByVerifying())
  clock.ms += 1
  assert.ok(!progress.isHeldUpByVerifying())
})

test('the step that it would be late for: the last that began, that of what it waits for, or verifying', async () => {
  const { clock, progress, verify } = setUp()
  assert.equal(progress.step(), undefined)
  const [fetched, discovered] = [progress.begin('fetch'), progress.begin('discover')]
  assert.equal(progress.step(), 'discover')
  fetched()
  assert.equal(progress.step(), 'discover')
  discovered()
  assert.equal(progress.step(), undefined)
  const other = setUp()
  other.progress.begin('look-up')
  progress.begin('discover')
  progress.joined = other.progress
  assert.equal(progress.step(), 'look-up')
  clock.ms += 10
  await verify(10)
  assert.equal(progress.step(), 'verify')
})

test('what waits for another one is held up by what holds that up', async () => {
  const { progress } = setUp()
  const other = setUp()
  progress.joined = other.progress
  assert.ok(!progress.isHeldUpByVerifying())
  await other.verify(1_000)
  assert.ok(progress.isHeldUpByVerifying())
})
