import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { address, answer, RULE, startFakes } from '../testing/worker-processes.ts'

describe('a supervisor of workers', () => {
  test('begins with what counts, and has begun when all listen', async () => {
    const { supervisor, processes, listen } = startFakes()
    const started = supervisor.start()
    assert.deepEqual(
      processes.map(({ worker, sent }) => [worker, sent.map(({ kind }) => kind)]),
      [
        [1, ['start']],
        [2, ['start']],
      ],
    )
    listen(processes[0]!)
    assert.equal(supervisor.standing('serving').listening, 1)
    listen(processes[1]!)
    assert.deepEqual(await started, { ok: true, at: [['data', address]] })
    assert.equal(supervisor.standing('serving').listening, 2)
  })

  test('has not begun where one cannot', async () => {
    const { supervisor, processes } = startFakes()
    const started = supervisor.start()
    processes[1]!.say({ kind: 'failed', problems: ['the port is taken'] })
    assert.deepEqual(await started, { ok: false, problems: ['the port is taken'] })
  })

  test('replaces one that dies at once, and one that goes on dying later and later', async () => {
    const setting = startFakes()
    await setting.begun()
    setting.processes[0]!.die()
    const delays: number[] = []
    for (let deaths = 0; deaths < 5; deaths++) {
      delays.push(setting.delayed[0]!.delayMs)
      setting.replace()
      assert.equal(setting.last().worker, 1)
      setting.last().die()
    }
    assert.deepEqual(delays, [0, 100, 200, 400, 800])
    assert.deepEqual(setting.hopeless, [], 'the other one lives')
  })

  test('forgets early deaths of one that has lived', async () => {
    const setting = startFakes()
    await setting.begun()
    for (let deaths = 0; deaths < 3; deaths++) {
      setting.processes.findLast(({ worker }) => worker === 1)!.die()
      setting.replace()
    }
    setting.clock.ms += 60_000
    setting.last().die()
    assert.equal(setting.delayed[0]!.delayMs, 0)
  })

  test('gives up where all of them die soon, in one line', async () => {
    const setting = startFakes()
    await setting.begun()
    for (const process of setting.processes) process.die()
    while (setting.delayed.length > 0) {
      setting.replace()
      setting.last().die({ code: 1, signal: null })
    }
    assert.deepEqual(setting.hopeless, [
      'every worker ends soon after it begins, the last one with code 1; its log says why',
    ])
    assert.equal(setting.processes.length, 11)
  })

  test('a rule is in force when every worker that lives has said so', async () => {
    const { supervisor, processes, begun } = startFakes()
    await begun()
    let isSpread = false
    const spread = supervisor.spread(RULE).then(() => (isSpread = true))
    answer(processes[0]!, true)
    await Promise.resolve()
    assert.equal(isSpread, false)
    answer(processes[1]!, true)
    await spread
    assert.deepEqual(
      processes.map(({ isKilled }) => isKilled),
      [false, false],
    )
  })

  for (const [name, happen] of [
    ['does not answer in time', ({ limits }) => limits.at(-1)!.abort()],
    ['cannot', ({ processes }) => answer(processes[1]!, false)],
  ] as readonly (readonly [string, (setting: ReturnType<typeof startFakes>) => void])[]) {
    test(`one that ${name} does not hold a rule up, and does not go on without it`, async () => {
      const setting = startFakes()
      await setting.begun()
      const spread = setting.supervisor.spread(RULE)
      answer(setting.processes[0]!, true)
      happen(setting)
      await spread
      assert.deepEqual(
        setting.processes.map(({ isKilled }) => isKilled),
        [false, true],
      )
      const behind = setting.events.flatMap((event) => (event.kind === 'behind' ? [event.worker] : []))
      assert.deepEqual(behind, [2])
    })
  }

  test('one that dies does not hold a rule up, and is not told of twice', async () => {
    const setting = startFakes()
    await setting.begun()
    const spread = setting.supervisor.spread(RULE)
    answer(setting.processes[0]!, true)
    setting.processes[1]!.die()
    await spread
    const kinds = setting.events.slice(-1).map(({ kind }) => kind)
    assert.deepEqual(kinds, ['ended'])
  })

  test('one that has not begun yet is told, too', async () => {
    const setting = startFakes()
    await setting.begun()
    setting.processes[0]!.die()
    setting.replace()
    const spread = setting.supervisor.spread(RULE)
    answer(setting.processes[1]!, true)
    answer(setting.last(), true)
    await spread
    assert.equal(setting.last().isKilled, false)
  })

  test('what one has found out is told to the others', async () => {
    const { processes, begun } = startFakes(3)
    await begun()
    const news = {
      kind: 'refused',
      repository: { registry: 'ghcr.io', name: 'acme/app' },
      digest: 'sha256:0' as never,
    } as const
    processes[0]!.say({ kind: 'news', news })
    const heard = processes.map(({ sent }) => sent.filter(({ kind }) => kind === 'news').length)
    assert.deepEqual(heard, [0, 1, 1])
  })

  test('one that does not answer is left out', async () => {
    const { supervisor, processes, limits, begun } = startFakes()
    await begun()
    const asked = supervisor.askAll('settle', 1_000)
    answer(processes[0]!, true)
    limits.at(-1)!.abort()
    assert.deepEqual([...(await asked).keys()], [processes[0]!.pid])
  })

  test('lets all of them end, and replaces none', async () => {
    const setting = startFakes()
    await setting.begun()
    const stopped = setting.supervisor.stop(5_000)
    for (const process of setting.processes) assert.equal(process.sent.at(-1)!.kind, 'stop')
    setting.processes[0]!.die({ code: 0, signal: null })
    setting.delayed.shift()?.work()
    assert.deepEqual(
      setting.processes.map(({ isKilled }) => isKilled),
      [false, true],
      'who has not ended in time is ended',
    )
    setting.processes[1]!.die()
    await stopped
    assert.equal(setting.processes.length, 2)
  })

  describe('with cold workers', () => {
    const COUNTS = { serving: 1, cold: 1 }

    test('begins them after the others, and has begun when all listen', async () => {
      const { supervisor, processes } = startFakes(COUNTS)
      const started = supervisor.start()
      const roles = processes.map(({ worker, sent }) => [
        worker,
        sent.map((message) => message.kind === 'start' && message.start.role),
      ])
      assert.deepEqual(roles, [
        [1, ['serving']],
        [2, ['cold']],
      ])
      processes[1]!.say({ kind: 'listening', at: [] })
      assert.deepEqual(supervisor.standing('serving'), { listening: 0, count: 1 })
      assert.deepEqual(supervisor.standing('cold'), { listening: 1, count: 1 })
      processes[0]!.say({ kind: 'listening', at: [['data', address]] })
      assert.deepEqual(await started, { ok: true, at: [['data', address]] })
    })

    test('has begun late where only those that serve listen, and not where only cold ones do', async () => {
      for (const [listening, hasBegun] of [
        [0, true],
        [1, false],
      ] as const) {
        const { supervisor, processes, limits } = startFakes(COUNTS)
        const started = supervisor.start()
        processes[listening]!.say({ kind: 'listening', at: listening === 0 ? [['data', address]] : [] })
        limits[0]!.abort()
        const waited = new Promise((resolve) => setImmediate(() => resolve(undefined)))
        assert.equal((await Promise.race([started, waited])) !== undefined, hasBegun)
      }
    })

    test('a rule is not in force before they go by it', async () => {
      const setting = startFakes(COUNTS)
      await setting.begun()
      let isInForce = false
      const spread = setting.supervisor.spread(RULE).then(() => (isInForce = true))
      answer(setting.processes[0]!, true)
      await new Promise((resolve) => setImmediate(resolve))
      assert.equal(isInForce, false)
      answer(setting.processes[1]!, true)
      await spread
    })

    test('one that dies is replaced, and is named as what it is', async () => {
      const setting = startFakes(COUNTS)
      await setting.begun()
      setting.processes[1]!.die()
      setting.replace()
      assert.equal(setting.last().worker, 2)
      const ended = setting.events.find(({ kind }) => kind === 'ended')
      assert.deepEqual([ended?.worker, ended?.role], [2, 'cold'])
    })

    test('those that die again and again end nothing, also when one that serves dies then', async () => {
      const setting = startFakes(COUNTS)
      await setting.begun()
      for (let deaths = 0; deaths < 20; deaths++) {
        setting.processes.findLast(({ worker }) => worker === 2)!.die()
        setting.replace()
      }
      setting.processes[0]!.die()
      assert.deepEqual(setting.hopeless, [])
      setting.replace()
      assert.equal(setting.last().worker, 1)
    })
  })
})
