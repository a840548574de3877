import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { address, answer, startFakes, type FakeProcess } from '../testing/worker-processes.ts'

describe('a supervisor and who lives', () => {
  test('one that answers no ping for 20 s does not count as listening, is killed and replaced', async () => {
    const setting = startFakes()
    await setting.begun()
    const [silent, lively] = setting.processes as [FakeProcess, FakeProcess]
    const beat = (): void => {
      setting.beat()
      lively.say({ kind: 'pong' })
    }
    for (let beats = 0; beats < 4; beats++) beat()
    assert.deepEqual(silent.sent.slice(1), Array(4).fill({ kind: 'ping' }))
    assert.deepEqual([silent.isKilled, setting.supervisor.standing('serving').listening], [false, 2])
    beat()
    assert.deepEqual(
      [silent.isKilled, lively.isKilled, setting.supervisor.standing('serving').listening],
      [true, false, 1],
    )
    beat()
    silent.die()
    assert.deepEqual(
      setting.events.slice(-2).map((event) => [event.kind, 'isBehind' in event && event.isBehind]),
      [
        ['behind', false],
        ['ended', true],
      ],
      'it is killed once, and told of as that',
    )
    setting.replace()
    assert.equal(setting.last().worker, 1)
  })

  test('a pong in time is enough', async () => {
    const setting = startFakes(1)
    await setting.begun()
    for (let beats = 0; beats < 20; beats++) {
      setting.beat()
      if (beats % 4 === 3) setting.last().say({ kind: 'pong' })
    }
    assert.equal(setting.last().isKilled, false)
  })

  test('has begun without those that do not listen in time, once one does', async () => {
    const { supervisor, processes, limits, listen } = startFakes()
    let isBegun = false
    const started = supervisor.start().then((result) => {
      isBegun = true
      return result
    })
    limits[0]!.abort()
    await new Promise((resolve) => setImmediate(resolve))
    assert.equal(isBegun, false)
    listen(processes[1]!)
    assert.deepEqual(await started, { ok: true, at: [['data', address]] })
  })

  test('has begun with those that listen when time is up', async () => {
    const { supervisor, processes, limits, listen } = startFakes()
    const started = supervisor.start()
    listen(processes[0]!)
    limits[0]!.abort()
    assert.deepEqual(await started, { ok: true, at: [['data', address]] })
  })

  test('is stopped before it has begun', async () => {
    const { supervisor, processes } = startFakes()
    const started = supervisor.start()
    const stopped = supervisor.stop(5_000)
    assert.deepEqual(await started, { ok: false, problems: [] })
    for (const process of processes) process.die()
    await stopped
  })

  test('a process that the system does not give is one that has ended', async () => {
    const setting = startFakes()
    await setting.begun()
    setting.launching.problem = 'spawn ENOMEM'
    setting.processes[0]!.die()
    setting.replace()
    setting.replace()
    assert.deepEqual(
      setting.events.slice(-2).map((event) => [event.kind, event.kind === 'failed' ? event.problems : '']),
      [
        ['failed', ['spawn ENOMEM']],
        ['ended', ''],
      ],
    )
    setting.launching.problem = undefined
    setting.replace()
    assert.equal(setting.last().worker, 1)
  })

  test('an answer is handed on while the process lives, and not after', async () => {
    const { supervisor, processes, limits, begun } = startFakes()
    await begun()
    const told: number[] = []
    const asked = supervisor.askAll('settle', 1_000, (pid) => void told.push(pid))
    answer(processes[0]!, true)
    await new Promise((resolve) => setImmediate(resolve))
    assert.deepEqual(told, [processes[0]!.pid], 'before the others have answered')
    answer(processes[1]!, true)
    processes[1]!.die()
    limits.at(-1)!.abort()
    await asked
    assert.deepEqual(told, [processes[0]!.pid])
  })
})
