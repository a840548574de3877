import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Judged } from './judge.ts'
import { KeptJudgements } from './kept-judgements.ts'
import { digestOf } from './oci/digest.ts'
import { NOTHING_SIGNED } from './signing.ts'

const JUDGED: Judged = {
  digest: digestOf(Buffer.from('image')),
  judgement: { results: [] },
  coveredBy: undefined,
  isEvidence: false,
  closure: undefined,
  retiring: [],
  signing: NOTHING_SIGNED,
  isWhole: true,
  timings: {},
  policyVersion: 'p',
  trustVersion: 't',
}

function setUp(max = 2) {
  const clock = { elapsedMs: 1_000, ms: 50_000 }
  const cache = new KeptJudgements({ max, elapsed: () => clock.elapsedMs, now: () => new Date(clock.ms) })
  return { cache, clock }
}

type World = ReturnType<typeof setUp>

describe('what is kept of a judgement', () => {
  for (const [name, happens, isKept] of [
    ['nothing happens', () => undefined, true],
    ['another is kept', ({ cache }: World) => cache.set('b', FOR_GOOD), true],
    ['its time is not over yet', ({ clock }: World) => (clock.elapsedMs = 2_000), true],
    ['its time is over', ({ clock }: World) => (clock.elapsedMs = 2_001), false],
    ['something in it is nearly too old', ({ clock }: World) => (clock.ms = 59_999), true],
    ['something in it is too old', ({ clock }: World) => (clock.ms = 60_000), false],
    ['it is reconsidered', ({ cache }: World) => cache.reconsider('a'), false],
    ['another is reconsidered', ({ cache }: World) => cache.reconsider('b'), true],
    ['it is replaced', ({ cache }: World) => cache.set('a', FOR_GOOD), false],
    ['there is no room', ({ cache }: World) => ['b', 'c'].forEach((key) => cache.set(key, FOR_GOOD)), false],
  ] as const) {
    it(`${isKept ? 'holds' : 'does not hold'} where ${name}`, () => {
      const world = setUp()
      world.cache.set('a', { judged: JUDGED, until: 2_000, endsAtMs: 60_000 })
      const kept = world.cache.get('a')
      assert.ok(kept)
      happens(world)
      assert.equal(world.cache.holds(kept), isKept)
      if (isKept) assert.equal(world.cache.get('a'), kept)
      else assert.notEqual(world.cache.get('a'), kept)
    })
  }

  it('for good is not reconsidered', () => {
    const { cache } = setUp()
    cache.set('a', FOR_GOOD)
    cache.reconsider('a')
    assert.equal(cache.get('a')?.judged, JUDGED)
  })

  it('stands in once its time is over, but not once something in it is too old', () => {
    const { cache, clock } = setUp()
    cache.set('a', { judged: JUDGED, until: 2_000, endsAtMs: 60_000 })
    clock.elapsedMs = 3_000
    assert.equal(cache.last('a'), JUDGED)
    clock.ms = 60_000
    assert.equal(cache.last('a'), undefined)
  })
})

const FOR_GOOD = { judged: JUDGED, until: Infinity, endsAtMs: Infinity }
