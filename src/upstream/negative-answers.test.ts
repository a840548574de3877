import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { NegativeAnswers } from './negative-answers.ts'
import { UpstreamError, type UpstreamErrorCode } from './types.ts'

type Details = ConstructorParameters<typeof UpstreamError>[2]

function setUp(times = {}) {
  const clock = { ms: 100_000 }
  const upstream = { asked: 0 }
  const answers = new NegativeAnswers(() => new Date(clock.ms), times)
  const ask = (name: string, code?: UpstreamErrorCode, details?: Details) =>
    answers.guard(name, () => {
      upstream.asked += 1
      return code === undefined
        ? Promise.resolve('found')
        : Promise.reject(new UpstreamError(code, code, details))
    })
  return { clock, upstream, ask }
}

describe('how long an answer stands', () => {
  const cases: [string, UpstreamErrorCode, Details, number][] = [
    ['404', 'not-found', { status: 404 }, 5_000],
    ['401', 'unauthorized', { status: 401 }, 10_000],
    ['403', 'forbidden', { status: 403 }, 10_000],
    ['429 without a time', 'rate-limited', { status: 429 }, 10_000],
    ['429 with a time', 'rate-limited', { status: 429, retryAfterSeconds: 25 }, 25_000],
    ['429 with a long time', 'rate-limited', { status: 429, retryAfterSeconds: 86_400 }, 60_000],
  ]
  for (const [name, code, details, forMs] of cases) {
    it(`${name}: ${forMs} ms`, async () => {
      const { clock, upstream, ask } = setUp()
      await assert.rejects(ask('a', code, details), { code })
      clock.ms += forMs - 1
      await assert.rejects(ask('a'), { code })
      assert.equal(upstream.asked, 1)
      clock.ms += 1
      assert.equal(await ask('a'), 'found')
    })
  }

  for (const code of ['unavailable', 'timeout', 'invalid'] as const) {
    it(`${code} is no answer`, async () => {
      const { ask } = setUp()
      await assert.rejects(ask('a', code), { code })
      assert.equal(await ask('a'), 'found')
    })
  }
})

it('a rate limit tells how much of it is left', async () => {
  const { clock, ask } = setUp()
  await assert.rejects(ask('a', 'rate-limited', { status: 429, retryAfterSeconds: 30 }))
  clock.ms += 20_001
  await assert.rejects(ask('a'), { code: 'rate-limited', status: 429, retryAfterSeconds: 10 })
})

it('one name says nothing about another', async () => {
  const { ask } = setUp()
  await assert.rejects(ask('a', 'not-found'))
  assert.equal(await ask('b'), 'found')
})

it('a clock that goes back makes nothing stand longer', async () => {
  const { clock, ask } = setUp()
  await assert.rejects(ask('a', 'not-found'))
  clock.ms -= 1
  assert.equal(await ask('a'), 'found')
})

it('times can be set, and set to nothing', async () => {
  const { ask } = setUp({ notFoundMs: 0 })
  await assert.rejects(ask('a', 'not-found'))
  assert.equal(await ask('a'), 'found')
})
