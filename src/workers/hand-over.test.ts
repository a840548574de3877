import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { HandedImage, HandedJudgement } from '../handed-judgement.ts'
import { errorAnswer, type Answer as HttpAnswer } from '../http/answer.ts'
import type { ManifestReference } from '../oci/reference.ts'
import type { Ring } from '../policy/ring.ts'
import type { RoutedRequest } from '../routes/request.ts'
import { createAnswerPull, listenToWorkers, type AnswerPull } from './cold.ts'
import { HandOver, type HandOverDeps } from './hand-over.ts'
import type { HandOverResult } from './metrics.ts'

const CANARY: Ring = { name: 'canary', stanceLimit: 'closed' }
const COLD_CANARY: Ring = { ...CANARY }
const REQUEST: RoutedRequest = {
  method: 'GET',
  repository: { registry: 'ghcr.io', name: 'acme/app' },
  ns: 'ghcr.io',
  path: '/v2/acme/app/manifests/v1',
  fallsBack: true,
  client: '10.1.2.3',
  ring: CANARY,
  range: undefined,
  ifRange: undefined,
}
const TAG = { kind: 'tag', tag: 'v1' } as ManifestReference
const JUDGEMENT = { epoch: 'now', forMs: 5 } as HandedJudgement
const IMAGE = { closure: { blobs: ['b'] } } as unknown as HandedImage

function answerOf(message: string): HttpAnswer {
  const facts = { outcome: 'refuse', decision: 'd' }
  return errorAnswer({ status: 403, code: 'DENIED', message, reasonPhrase: message, facts })
}

const MEBIBYTE = 1024 * 1024
const [HERE, THERE] = [answerOf('pulled here'), answerOf('pulled there')]

describe('a pull that is handed over', () => {
  let directory = ''
  let socket = ''
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'portcullis-cold-'))
    socket = join(directory, '1')
  })
  after(async () => await rm(directory, { recursive: true }))

  function setUp(instead: Partial<HandOverDeps> = {}) {
    const counted: HandOverResult[] = []
    const taken: (HandedJudgement | HandedImage)[] = []
    const deadline = new AbortController()
    const own = {
      deadlines: [] as (AbortSignal | undefined)[],
      answerWarm: () => undefined,
      final: (answer: HttpAnswer) => answer,
      async answer(_: RoutedRequest, __: ManifestReference, limit?: () => AbortSignal) {
        own.deadlines.push(limit?.())
        return await Promise.resolve(HERE)
      },
    }
    const handOver = new HandOver(own, {
      sockets: [socket],
      judgements: {
        epochKey: 'now',
        isKnown: () => false,
        take: (_, judgement) => void taken.push(judgement),
        takeImage: (_, image) => void taken.push(image),
      },
      deadline: () => deadline.signal,
      limit: () => new AbortController().signal,
      count: (result) => void counted.push(result),
      later: () => undefined,
      ...instead,
    })
    return { handOver, own, counted, taken, deadline: deadline.signal }
  }

  const fail = (): never => assert.fail('nothing was handed over')
  const thereWith =
    (answer: HttpAnswer): AnswerPull =>
    async () =>
      await Promise.resolve({ answer, judgement: JUDGEMENT, image: IMAGE })
  const there = thereWith(THERE)

  /** What a cold worker asks for, by a manifest route that gives that answer. */
  function pulling(answer: HttpAnswer, seen: RoutedRequest[] = []): AnswerPull {
    const manifest = {
      answerWarm: () => undefined,
      final: () => assert.fail(),
      answer: async (request: RoutedRequest) => {
        seen.push(request)
        return await Promise.resolve(answer)
      },
    }
    const judgements = { epochKey: 'now', give: () => undefined, giveImage: () => IMAGE }
    return createAnswerPull({ manifest, rings: [COLD_CANARY], judgements })
  }

  test('is answered by the cold worker, whole, and what that knows from then on is taken over', async () => {
    const cold = await listenToWorkers(socket, there)
    const { handOver, own, counted, taken } = setUp()
    assert.deepEqual(await handOver.answer(REQUEST, TAG), THERE)
    assert.deepEqual([own.deadlines, counted, taken], [[], ['answered'], [IMAGE, JUDGEMENT]])
    handOver.close()
    await cold.close(0)
  })

  test('is none where it was judged before', async () => {
    const { handOver, own, counted } = setUp({
      judgements: { epochKey: '', isKnown: () => true, take: fail, takeImage: fail },
    })
    assert.equal(await handOver.answer(REQUEST, TAG), HERE)
    assert.deepEqual([own.deadlines, counted], [[undefined], []])
  })

  test('names who asks and the ring, which the cold worker has by that name', async () => {
    const seen: RoutedRequest[] = []
    const cold = await listenToWorkers(socket, pulling(THERE, seen))
    const { handOver, taken, counted } = setUp()
    assert.deepEqual(await handOver.answer(REQUEST, TAG), THERE)
    assert.deepEqual(seen, [REQUEST])
    assert.equal(seen[0]?.ring, COLD_CANARY)
    assert.deepEqual(taken, [])
    await handOver.answer({ ...REQUEST, ring: { ...CANARY, name: 'unknown' } }, TAG)
    assert.deepEqual(counted, ['answered', 'unanswered'])
    handOver.close()
    await cold.close(0)
  })

  const broken: readonly (readonly [string, () => Promise<() => Promise<void>>])[] = [
    ['does not listen', async () => await Promise.resolve(async () => await Promise.resolve())],
    [
      'cannot say what becomes of it',
      async () => {
        const cold = await listenToWorkers(socket, async () => await Promise.reject(new Error('no')))
        return async () => await cold.close(0)
      },
    ],
    [
      'says what cannot be sent',
      async () => {
        const answer = { ...THERE, headers: { a: (() => 'b') as never } }
        const cold = await listenToWorkers(socket, thereWith(answer))
        return async () => await cold.close(0)
      },
    ],
    [
      'says more than is read at once',
      async () => {
        const cold = await listenToWorkers(socket, thereWith({ ...THERE, body: Buffer.alloc(17 * MEBIBYTE) }))
        return async () => await cold.close(0)
      },
    ],
    ['ends in the middle', async () => await listenBadly((ask) => ask.destroy())],
    ['says something else', async () => await listenBadly((ask) => ask.write(Buffer.alloc(16, 0xff)))],
  ]
  for (const [what, begin] of broken)
    test(`is pulled here, within the time of one pull, where the cold worker ${what}`, async () => {
      const stop = await begin()
      const { handOver, own, counted, deadline } = setUp()
      assert.equal(await handOver.answer(REQUEST, TAG), HERE)
      assert.deepEqual([own.deadlines, counted], [[deadline], ['unanswered']])
      handOver.close()
      await stop()
    })

  async function listenBadly(on: (socket: Socket) => void): Promise<() => Promise<void>> {
    await rm(socket, { force: true })
    const server = createServer((asking) => {
      asking.on('error', () => undefined).on('data', () => on(asking))
    })
    server.listen(socket)
    await once(server, 'listening')
    return async () => {
      server.close()
      await once(server, 'close')
    }
  }

  test('is pulled here where the cold worker goes by another rule', async () => {
    const cold = await listenToWorkers(socket, pulling(THERE))
    const judgements = { epochKey: 'next', isKnown: () => false, take: fail, takeImage: fail }
    const { handOver, counted } = setUp({ judgements })
    assert.equal(await handOver.answer(REQUEST, TAG), HERE)
    assert.deepEqual(counted, ['unanswered'])
    handOver.close()
    await cold.close(0)
  })

  test('is pulled here where the cold worker does not answer in time', async () => {
    const limit = new AbortController()
    const hanging = Promise.withResolvers<never>()
    const cold = await listenToWorkers(socket, async () => {
      limit.abort()
      return await hanging.promise
    })
    const { handOver, counted } = setUp({ limit: () => limit.signal })
    assert.equal(await handOver.answer(REQUEST, TAG), HERE)
    assert.deepEqual(counted, ['unanswered'])
    handOver.close()
    await cold.close(0)
  })

  test('goes to the next cold worker of that place when one has ended', async () => {
    const first = await listenToWorkers(socket, there)
    const { handOver, counted } = setUp()
    await handOver.answer(REQUEST, TAG)
    await first.close(0)
    const second = await listenToWorkers(socket, there)
    // The connection may end before or after it is asked on.
    while (counted.at(-1) !== 'answered' || counted.length < 2) await handOver.answer(REQUEST, TAG)
    handOver.close()
    await second.close(0)
  })

  test('is pulled here where a thousand are under way', async () => {
    const all = Promise.withResolvers<void>()
    const cold = await listenToWorkers(socket, async () => {
      await all.promise
      return await there({} as never)
    })
    const { handOver, counted } = setUp()
    const pulls = Array.from({ length: 1_000 }, async () => await handOver.answer(REQUEST, TAG))
    assert.equal(await handOver.answer(REQUEST, TAG), HERE)
    assert.deepEqual(counted, ['full'])
    all.resolve()
    assert.deepEqual(await Promise.all(pulls), Array(1_000).fill(THERE))
    handOver.close()
    await cold.close(0)
  })

  test('one repository has one cold worker', async () => {
    const other = join(directory, '2')
    const asked: string[] = []
    const noting =
      (name: string): AnswerPull =>
      async (pull) => {
        asked.push(`${pull.asked.repository.name} ${name}`)
        return await there(pull)
      }
    const colds = [await listenToWorkers(socket, noting('1')), await listenToWorkers(other, noting('2'))]
    const { handOver } = setUp({ sockets: [socket, other] })
    for (const name of ['acme/a', 'acme/b', 'acme/c', 'acme/d', 'acme/a', 'acme/b', 'acme/c', 'acme/d'])
      await handOver.answer({ ...REQUEST, repository: { registry: 'ghcr.io', name } as never }, TAG)
    assert.equal(new Set(asked).size, 4)
    assert.equal(new Set(asked.map((one) => one.split(' ')[1])).size, 2)
    handOver.close()
    await Promise.all(colds.map(async (cold) => await cold.close(0)))
  })

  test('ends with the drain of the cold worker, which waits for it', async () => {
    const slow = Promise.withResolvers<void>()
    const begun = Promise.withResolvers<void>()
    const cold = await listenToWorkers(socket, async (pull) => {
      begun.resolve()
      await slow.promise
      return await there(pull)
    })
    const { handOver } = setUp()
    const pulling = handOver.answer(REQUEST, TAG)
    await begun.promise
    const closed = cold.close(60_000)
    slow.resolve()
    assert.deepEqual(await pulling, THERE)
    await closed
    handOver.close()
  })
})
