import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Breaker, BreakerError, type CallResult, type Outage } from './breaker.ts'

const LIMITS = { failuresInARow: 3, openMsMin: 1_000, openMsMax: 8_000 }

function setUp(random = 1) {
  const clock = { ms: 100_000 }
  const changes: string[] = []
  const breaker = new Breaker(
    'kms',
    { now: () => clock.ms, random: () => random, onChange: ({ state }) => void changes.push(state) },
    LIMITS,
  )
  /** One call; false where it was not let through. */
  const call = (result: CallResult): boolean => {
    const passage = breaker.enter()
    if (passage.ok) passage.end(result)
    return passage.ok
  }
  const failUntilOpen = () => {
    for (let failure = 0; failure < LIMITS.failuresInARow; failure += 1) call({ failed: 'ECONNREFUSED' })
  }
  return { breaker, clock, changes, call, failUntilOpen }
}

const failed: CallResult = { failed: 'HTTP 503' }

describe('when it opens', () => {
  const cases: [string, CallResult[], boolean][] = [
    ['failures in a row', [failed, failed, failed], true],
    ['one failure too few', [failed, failed], false],
    ['an answer between failures', [failed, failed, 'answered', failed, failed], false],
    ['callers that leave', ['abandoned', 'abandoned', 'abandoned', 'abandoned'], false],
    ['a caller that leaves between failures', [failed, failed, 'abandoned', failed], true],
    ['the same thing over and over', Array.from({ length: 9 }, () => ({ failed: 'x', about: 'a' })), false],
    ['two things in turn', ['a', 'b', 'a', 'b', 'a'].map((about) => ({ failed: 'x', about })), false],
    ['different things', ['a', 'b', 'c'].map((about) => ({ failed: 'x', about })), true],
  ]
  for (const [name, results, opens] of cases) {
    it(`${name}: ${opens ? 'open' : 'closed'}`, () => {
      const { breaker, call } = setUp()
      for (const result of results) call(result)
      assert.equal(breaker.outage() !== undefined, opens)
    })
  }
})

describe('while it is open', () => {
  it('lets nothing through and says what, since when, why and until when', () => {
    const { breaker, clock, call, failUntilOpen } = setUp()
    failUntilOpen()
    const { dependency, sinceMs, why, nextAttemptMs } = breaker.outage() ?? assert.fail()
    assert.deepEqual([dependency, sinceMs, why, nextAttemptMs], ['kms', 100_000, 'ECONNREFUSED', 101_000])
    clock.ms = 100_999
    assert.equal(call('answered'), false)
  })

  it('hardly ever asks: the pause doubles up to its limit', () => {
    const { breaker, clock, call, failUntilOpen } = setUp()
    failUntilOpen()
    const pauses: number[] = []
    for (let attempt = 0; attempt < 6; attempt += 1) {
      const { nextAttemptMs = 0 } = breaker.outage() ?? assert.fail()
      pauses.push(nextAttemptMs - clock.ms)
      clock.ms = nextAttemptMs
      assert.equal(call(failed), true)
    }
    assert.deepEqual(pauses, [1_000, 2_000, 4_000, 8_000, 8_000, 8_000])
  })

  it('jitters by up to half of the pause', () => {
    const { breaker, failUntilOpen } = setUp(0)
    failUntilOpen()
    assert.equal(breaker.outage()?.nextAttemptMs, 100_500)
  })

  it('keeps the time of the first failure, and tells the last reason', () => {
    const { breaker, clock, call, failUntilOpen } = setUp()
    failUntilOpen()
    clock.ms = 101_000
    call({ failed: 'timeout' })
    assert.deepEqual([breaker.outage()?.sinceMs, breaker.outage()?.why], [100_000, 'timeout'])
  })

  it('ignores what calls that began before say', () => {
    const { breaker, failUntilOpen } = setUp()
    const [early, other] = [breaker.enter(), breaker.enter()]
    failUntilOpen()
    if (early.ok) early.end(failed)
    if (other.ok) other.end('answered')
    assert.equal(breaker.outage()?.nextAttemptMs, 101_000)
  })
})

describe('half open', () => {
  it('lets exactly one call through', () => {
    const { breaker, clock, failUntilOpen } = setUp()
    failUntilOpen()
    clock.ms = 101_000
    assert.equal(breaker.enter().ok, true)
    const second = breaker.enter()
    assert.equal(second.ok, false)
    assert.equal(!second.ok && second.outage.nextAttemptMs, undefined)
  })

  it('an answer closes it, and it starts from the beginning', () => {
    const { breaker, clock, changes, call, failUntilOpen } = setUp()
    failUntilOpen()
    clock.ms = 101_000
    call(failed)
    clock.ms = 103_000
    call('answered')
    assert.equal(breaker.outage(), undefined)
    call(failed)
    call(failed)
    assert.equal(breaker.outage(), undefined)
    call(failed)
    assert.equal(breaker.outage()?.nextAttemptMs, 104_000)
    assert.deepEqual(changes, ['open', 'closed', 'open'])
  })

  it('a caller that leaves gives its place to the next', () => {
    const { breaker, clock, call, failUntilOpen } = setUp()
    failUntilOpen()
    clock.ms = 101_000
    call('abandoned')
    assert.equal(breaker.enter().ok, true)
  })

  it('a call that never ends keeps its place for the longest pause only, and its result is late', () => {
    const { breaker, clock, call, failUntilOpen } = setUp()
    failUntilOpen()
    clock.ms = 101_000
    const lost = breaker.enter()
    clock.ms = 108_999
    assert.equal(call('answered'), false)
    clock.ms = 109_000
    assert.equal(call(failed), true)
    if (lost.ok) lost.end('answered')
    assert.notEqual(breaker.outage(), undefined)
  })
})

it('a clock that goes back makes no pause longer', () => {
  const { clock, call, failUntilOpen } = setUp()
  failUntilOpen()
  clock.ms = 50_000
  assert.equal(call('answered'), true)
})

it('reset closes it', () => {
  const { breaker, changes, failUntilOpen } = setUp()
  failUntilOpen()
  breaker.reset()
  breaker.reset()
  assert.equal(breaker.outage(), undefined)
  assert.deepEqual(changes, ['open', 'closed'])
})

describe('run', () => {
  it('passes values and rejections on, and after the failures rejects without working', async () => {
    const { breaker } = setUp()
    assert.equal(await breaker.run(() => Promise.resolve('value')), 'value')
    let worked = 0
    const work = () => {
      worked += 1
      return Promise.reject(new Error('no route'))
    }
    for (let failure = 0; failure < 3; failure += 1) {
      // oxlint-disable-next-line no-await-in-loop -- one after another
      await assert.rejects(breaker.run(work), /^Error: no route$/)
    }
    const expected = 'kms does not answer (no route)'
    await assert.rejects(breaker.run(work), (error: unknown) => {
      assert(error instanceof BreakerError)
      assert.equal(error.message, expected)
      const { why, sinceMs, nextAttemptMs }: Outage = error.outage
      assert.deepEqual([error.code, why, sinceMs, nextAttemptMs], ['open', 'no route', 100_000, 101_000])
      return true
    })
    assert.equal(worked, 3)
  })

  it('asks what a rejection means', async () => {
    const { breaker } = setUp()
    const refused = () =>
      breaker.run(
        () => Promise.reject(new Error('AccessDenied')),
        () => 'answered',
      )
    for (let call = 0; call < 5; call += 1) {
      // oxlint-disable-next-line no-await-in-loop -- one after another
      await assert.rejects(refused(), /AccessDenied/)
    }
  })
})
