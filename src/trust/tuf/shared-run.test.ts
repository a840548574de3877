import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { SharedRun } from './shared-run.ts'

const giveUp = (): Error => new Error('given up')

/** One run that was given up and does not end before `end`. */
async function startEnding(shared: SharedRun): Promise<{ end: () => Promise<void> }> {
  const ended = Promise.withResolvers<void>()
  const caller = new AbortController()
  const givenUp = Promise.withResolvers<void>()
  const run = async (signal: AbortSignal): Promise<void> => {
    signal.addEventListener('abort', () => givenUp.resolve())
    await ended.promise
  }
  const left = assert.rejects(shared.join(caller.signal, run, giveUp), /given up/)
  caller.abort()
  await givenUp.promise
  return {
    end: async () => {
      ended.resolve()
      await left
    },
  }
}

suite('who comes while a run that was given up is still ending', () => {
  test('waits for its end, and runs then', async () => {
    const shared = new SharedRun()
    const ending = await startEnding(shared)
    const runs: string[] = []
    const next = shared.join(
      new AbortController().signal,
      async () => {
        runs.push('next')
      },
      giveUp,
    )
    await Promise.resolve()
    assert.deepEqual(runs, [])
    await ending.end()
    await next
    assert.deepEqual(runs, ['next'])
  })

  test('leaves at once when its own signal says so, and starts nothing', async () => {
    const shared = new SharedRun()
    const ending = await startEnding(shared)
    const caller = new AbortController()
    const next = shared.join(caller.signal, async () => assert.fail('it was started'), giveUp)
    await Promise.resolve()
    caller.abort()
    await assert.rejects(next, /given up/)
    await ending.end()
  })
})
