import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { TrustRoot } from '../verify/types.ts'
import { TrustKeeper, type KeeperEvent } from './keeper.ts'
import { loadPublicGoodRoot } from './public-good.ts'
import { NO_PARTS, type HeldItem, type SourceState, type TrustSource } from './source.ts'

const ROOT = loadPublicGoodRoot('a')
const START = new Date('2026-01-01T00:00:00Z').getTime()
const HOUR = 3_600_000
const never = new AbortController().signal

type FakeSource = TrustSource & {
  root: TrustRoot | undefined
  state: SourceState
  held: readonly HeldItem[]
  answer: () => Promise<void>
  asked: number
}

function fakeSource(name = 'a'): FakeSource {
  const source: FakeSource = {
    name,
    refreshEveryMs: 6 * HOUR,
    root: { ...ROOT, name },
    state: 'fresh',
    held: [],
    asked: 0,
    answer: () => Promise.resolve(),
    parts: () =>
      source.root === undefined
        ? { ...NO_PARTS, unusable: 'too old' }
        : { ...NO_PARTS, roots: [source.root] },
    async refresh() {
      source.asked += 1
      await source.answer()
    },
    status: () => ({
      name,
      kind: 'tuf',
      origin: 'http://127.0.0.1',
      state: source.state,
      problem: source.state === 'fresh' ? undefined : 'why',
      renewedAt: undefined,
      warnsAt: undefined,
      stopsAt: undefined,
      documents: [],
      roles: [],
      servableUntil: undefined,
      held: source.held,
    }),
  }
  return source
}

function keep(sources: readonly TrustSource[], random = 0.5) {
  const events: KeeperEvent[] = []
  const clock = { now: START, elapsed: 0 }
  const keeper = new TrustKeeper(sources, {
    now: () => new Date(clock.now),
    elapsed: () => clock.elapsed,
    random: () => random,
    onEvent: (event) => events.push(event),
  })
  /** Lets the renewals that a tick started come to their end. */
  const tick = async (ms: number): Promise<void> => {
    clock.now += ms
    clock.elapsed += ms
    keeper.tick(never)
    await new Promise((resolve) => setImmediate(resolve))
  }
  const kinds = (): readonly string[] => events.map(({ kind }) => kind)
  return { keeper, events, kinds, tick, clock }
}

suite('TrustKeeper', () => {
  test('a source is asked soon after the start, then once an interval, each with its jitter', async () => {
    const source = fakeSource()
    const { tick } = keep([source])
    await tick(0)
    assert.equal(source.asked, 0)
    await tick(30_000)
    assert.equal(source.asked, 1)
    await tick(6 * HOUR - 1)
    assert.equal(source.asked, 1)
    await tick(1)
    assert.equal(source.asked, 2)
  })

  for (const [random, factor] of [
    [0, 0.8],
    [0.999999, 1.2],
  ] as const) {
    test(`jitter: ${factor} of the interval`, async () => {
      const source = fakeSource()
      const { keeper, tick } = keep([source], random)
      await keeper.refresh('all', never)
      await tick(factor * 6 * HOUR - 60_000)
      assert.equal(source.asked, 1)
      await tick(60_000)
      assert.equal(source.asked, 2)
    })
  }

  test('after a failure it is asked sooner, then less and less often, and what was trusted still is', async () => {
    const source = fakeSource()
    source.answer = () => Promise.reject(new Error('refused'))
    const { keeper, tick, events } = keep([source])
    const before = keeper.snapshot
    await tick(30_000)
    const gaps: number[] = []
    for (let gap = 0; gaps.length < 10; gap += 1) {
      const asked = source.asked
      // oxlint-disable-next-line no-await-in-loop -- time passes step by step
      await tick(60_000)
      if (source.asked === asked) continue
      gaps.push(gap)
      gap = -1
    }
    assert.deepEqual(gaps, [0, 1, 3, 7, 15, 31, 63, 127, 255, 359])
    assert.equal(keeper.snapshot, before)
    assert.ok(events.every((event) => event.kind === 'failed' && event.message === 'refused'))
  })

  test('a source that hangs is asked once, and holds nobody else', async () => {
    const [hanging, other] = [fakeSource('a'), fakeSource('b')]
    hanging.answer = () => new Promise(() => undefined)
    const { tick } = keep([hanging, other])
    await tick(30_000)
    await tick(7 * HOUR)
    await tick(7 * HOUR)
    assert.deepEqual([hanging.asked, other.asked], [1, 3])
  })

  test('a new document is a new snapshot, told once; the same one is none', async () => {
    const source = fakeSource()
    const { keeper, tick, events } = keep([source])
    const first = keeper.snapshot
    await tick(30_000)
    assert.equal(keeper.snapshot, first)
    source.answer = async () => {
      source.root = { ...ROOT, version: 'sha256:2' }
    }
    await tick(7 * HOUR)
    assert.notEqual(keeper.snapshot.version, first.version)
    await tick(60_000)
    assert.equal(events.filter(({ kind }) => kind === 'changed').length, 1)
  })

  test('time alone ends what is trusted: a new snapshot without any answer', async () => {
    const source = fakeSource()
    source.answer = () => Promise.reject(new Error('refused'))
    const { keeper, tick, events } = keep([source])
    source.root = undefined
    source.state = 'unusable'
    await tick(1)
    assert.deepEqual([...keeper.snapshot.unusable], [['a', 'too old']])
    await tick(1)
    assert.deepEqual(
      events.map((event) =>
        event.kind === 'state' ? `${event.source} ${event.state}: ${event.message}` : event.kind,
      ),
      ['a unusable: why', 'changed'],
    )
  })

  test('refresh: all, some, or what is missing; problems by source', async () => {
    const [good, bad] = [fakeSource('a'), fakeSource('b')]
    bad.state = 'unusable'
    bad.answer = () => Promise.reject(new Error('no'))
    const { keeper } = keep([good, bad])
    assert.deepEqual([...(await keeper.refresh('all', never))], [['b', 'no']])
    await keeper.refresh(['a'], never)
    await keeper.refresh('missing', never)
    assert.deepEqual([good.asked, bad.asked], [2, 2])
  })

  test('a clock that jumps and comes back: nothing is asked the sooner or later for it', async () => {
    const source = fakeSource()
    const { keeper, tick, clock } = keep([source])
    await keeper.refresh('all', never)
    for (const jump of [365 * 24 * HOUR, -365 * 24 * HOUR]) {
      clock.now += jump
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      await tick(5_000)
    }
    assert.equal(source.asked, 1)
    await tick(6 * HOUR)
    assert.equal(source.asked, 2)
  })

  test('what becomes unusable is renewed within a minute', async () => {
    const source = fakeSource()
    const { keeper, tick } = keep([source])
    await keeper.refresh('all', never)
    source.state = 'unusable'
    await tick(5_000)
    await tick(30_000)
    assert.equal(source.asked, 2)
  })

  test('two at once share one renewal', async () => {
    const source = fakeSource()
    const { keeper } = keep([source])
    await Promise.all([keeper.refresh('all', never), keeper.refresh(['a'], never)])
    assert.equal(source.asked, 1)
  })

  test('what ends within two weeks is told once a day', async () => {
    const source = fakeSource()
    const until = new Date(START + 15 * 24 * HOUR)
    source.held = [
      { what: 'key', name: 'k', from: undefined, until, isRetiring: true },
      {
        what: 'key',
        name: 'far',
        from: undefined,
        until: new Date(START + 400 * 24 * HOUR),
        isRetiring: true,
      },
      { what: 'log', name: 'staying', from: undefined, until, isRetiring: false },
    ]
    const { tick, events, clock } = keep([source])
    const endings = (): number => events.filter(({ kind }) => kind === 'ending').length
    await tick(12 * HOUR)
    assert.equal(endings(), 0)
    await tick(24 * HOUR)
    await tick(HOUR)
    assert.equal(endings(), 1)
    clock.now += 10 * 24 * HOUR
    await tick(24 * HOUR)
    assert.equal(endings(), 2)
    clock.now -= 10 * 24 * HOUR
    await tick(24 * HOUR)
    assert.equal(endings(), 3, 'also after a clock that was ahead')
    await tick(20 * 24 * HOUR)
    assert.equal(endings(), 3)
  })
})
