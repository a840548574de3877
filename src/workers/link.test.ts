import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, describe, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { listenToWorkers, type AnswerPull } from './cold.ts'
import { sendFrame } from './frames.ts'
import { Link } from './link.ts'
import type { Answers, HandedPull } from './messages.ts'

const MEBIBYTE = 1024 * 1024
const PULL = { epoch: 'now' } as HandedPull

describe('a connection to a cold worker', () => {
  let directory = ''
  let path = ''
  const closing: (() => unknown)[] = []
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'portcullis-link-'))
    path = join(directory, '1')
  })
  afterEach(async () => await Promise.all(closing.splice(0).map((close) => close())))
  after(async () => await rm(directory, { recursive: true }))

  function setUp() {
    const timers: (() => void)[] = []
    const link = new Link(path, { later: (call) => void timers.push(call) })
    closing.push(() => link.close())
    const ask = async (): Promise<Answers['pull']> => await link.ask(PULL, new AbortController().signal)
    return { ask, timers }
  }

  async function listen(answerPull: AnswerPull): Promise<void> {
    const cold = await listenToWorkers(path, answerPull)
    closing.push(async () => await cold.close(0))
  }

  /** Of one that answers nothing: the connection on which it was asked. */
  function listenHanging(): { listening: Promise<unknown>; asked: Promise<Socket> } {
    const asked = Promise.withResolvers<Socket>()
    const server = createServer((socket) => socket.on('data', () => asked.resolve(socket)))
    closing.push(() => server.close())
    return { listening: once(server.listen(path), 'listening'), asked: asked.promise }
  }

  const answerWith = (body: Buffer): Answers['pull'] => ({
    answer: { status: 200, headers: {}, body },
    judgement: undefined,
    image: undefined,
  })

  test('many answers with the same bytes are one copy', async () => {
    const bodies = ['one', '', 'one', 'two'].map((text) => Buffer.from(text))
    await listen(async () => await Promise.resolve(answerWith(bodies.shift()!)))
    const { ask } = setUp()
    const [first, none, second, other] = [await ask(), await ask(), await ask(), await ask()].map(
      ({ answer }) => answer.body,
    )
    assert.equal(first, second)
    assert.deepEqual([String(first), String(none), String(other)], ['one', '', 'two'])
  })

  test('of answers that are not read it is told no more than 32 MiB', async () => {
    const all = Promise.withResolvers<void>()
    let asked = 0
    await listen(async () => {
      if ((asked += 1) === 30) all.resolve()
      await all.promise
      return answerWith(Buffer.alloc(4 * MEBIBYTE))
    })
    const { ask } = setUp()
    const answers = await Promise.allSettled(Array.from({ length: 30 }, ask))
    // Eight with what is around them are more than that.
    assert.equal(answers.filter(({ status }) => status === 'fulfilled').length, 8)
  })

  test('asks nothing of one that hangs, until it says something', async () => {
    const hanging = listenHanging()
    await hanging.listening
    const { ask, timers } = setUp()
    const first = ask()
    const socket = await hanging.asked
    timers.shift()?.()
    assert.equal(timers.length, 1, 'a quarter of a second is no silence')
    timers.shift()?.()
    await assert.rejects(first, { name: 'NoAnswerError' })
    await assert.rejects(ask(), { name: 'NoAnswerError', message: 'pull: the process hangs' })
    assert.equal(timers.length, 0)
    sendFrame(socket, { kind: 'pong' })
    // It has been heard once it is asked again.
    while (timers.length === 0) {
      ask().catch(() => undefined)
      await turn()
    }
  })

  test('waits for one that is busy with what it was asked', async () => {
    const slow = Promise.withResolvers<void>()
    const begun = Promise.withResolvers<void>()
    await listen(async () => {
      begun.resolve()
      await slow.promise
      return answerWith(Buffer.from('slow'))
    })
    const { ask, timers } = setUp()
    const asking = ask()
    await begun.promise
    for (let beat = 0; beat < 10; beat += 1) {
      // By then it has said that it is there.
      for (let turns = 0; turns < 10; turns += 1) await turn()
      timers.shift()?.()
    }
    assert.equal(timers.length, 1)
    slow.resolve()
    assert.equal(String((await asking).answer.body), 'slow')
    timers.shift()?.()
    assert.deepEqual(timers, [], 'nobody is asked who has nothing to do')
  })
})
