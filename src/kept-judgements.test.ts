import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Judged } from './judge.ts'
import { KeptJudgements, type Subject } from './kept-judgements.ts'
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

const FOR_GOOD = { judged: JUDGED, until: undefined, endsAtMs: undefined }
const APP = { registry: 'ghcr.io', name: 'acme/app' }

function subjectOf(content: string, repository = APP, epochKey = 'now'): Subject {
  return { epoch: { key: epochKey }, repository, digest: digestOf(Buffer.from(content)) }
}

const [A, B, C] = [subjectOf('a'), subjectOf('b'), subjectOf('c')]

describe('what is kept of a judgement', () => {
  for (const [name, happens, isKept] of [
    ['nothing happens', () => undefined, true],
    ['another is kept', ({ cache }: World) => cache.set(B, FOR_GOOD), true],
    ['its time is not over yet', ({ clock }: World) => (clock.elapsedMs = 2_000), true],
    ['its time is over', ({ clock }: World) => (clock.elapsedMs = 2_001), false],
    ['something in it is nearly too old', ({ clock }: World) => (clock.ms = 59_999), true],
    ['something in it is too old', ({ clock }: World) => (clock.ms = 60_000), false],
    ['it is reconsidered', ({ cache }: World) => cache.reconsider(A), false],
    ['another is reconsidered', ({ cache }: World) => cache.reconsider(B), true],
    ['it is replaced', ({ cache }: World) => cache.set(A, FOR_GOOD), false],
    ['there is no room', ({ cache }: World) => [B, C].forEach((one) => cache.set(one, FOR_GOOD)), false],
  ] as const) {
    it(`${isKept ? 'holds' : 'does not hold'} where ${name}`, () => {
      const world = setUp()
      world.cache.set(A, { judged: JUDGED, until: 2_000, endsAtMs: 60_000 })
      const kept = world.cache.get(A)
      assert.ok(kept)
      happens(world)
      assert.equal(world.cache.holds(kept), isKept)
      if (isKept) assert.equal(world.cache.get(A), kept)
      else assert.notEqual(world.cache.get(A), kept)
    })
  }

  it('for good is not reconsidered', () => {
    const { cache } = setUp()
    cache.set(A, FOR_GOOD)
    cache.reconsider(A)
    assert.equal(cache.get(A)?.judged, JUDGED)
  })

  it('stands in once its time is over, but not once something in it is too old', () => {
    const { cache, clock } = setUp()
    cache.set(A, { judged: JUDGED, until: 2_000, endsAtMs: 60_000 })
    clock.elapsedMs = 3_000
    assert.equal(cache.last(A), JUDGED)
    clock.ms = 60_000
    assert.equal(cache.last(A), undefined)
  })
})

describe('one digest', () => {
  const lasting = (timings: Judged['timings']) => ({ ...FOR_GOOD, judged: { ...JUDGED, timings } })
  const others = [
    ['in another repository', subjectOf('a', { ...APP, name: 'acme/other' })],
    ['of another registry', subjectOf('a', { ...APP, registry: 'quay.io' })],
    ['in another epoch', subjectOf('a', APP, 'then')],
  ] as const

  it('of the same repository is the same, whichever object names it', () => {
    const { cache } = setUp()
    cache.set(A, FOR_GOOD)
    assert.equal(cache.get(subjectOf('a', { ...APP }))?.judged, JUDGED)
  })

  for (const [name, other] of others) {
    it(`${name} is another`, () => {
      const { cache } = setUp()
      cache.set(A, FOR_GOOD)
      assert.equal(cache.get(other), undefined)
      assert.equal(cache.last(other), undefined)
      cache.set(other, lasting({ fetch: 1 }))
      assert.deepEqual(cache.get(other)?.judged.timings, { fetch: 1 })
      assert.equal(cache.get(A)?.judged, JUDGED)
    })

    it(`${name} is reconsidered by itself`, () => {
      const { cache } = setUp()
      for (const one of [A, other]) cache.set(one, { ...FOR_GOOD, until: 2_000 })
      cache.reconsider(other)
      assert.equal(cache.get(other), undefined)
      assert.equal(cache.get(A)?.judged, JUDGED)
      cache.reconsider(A)
      assert.equal(cache.get(A), undefined)
    })

    it(`${name} has one judgement, once it has the shorter key`, () => {
      const { cache } = setUp()
      cache.set(A, FOR_GOOD)
      cache.set(other, lasting({ fetch: 1 }))
      const before = cache.get(other)
      // Throws out the first, which had the digest for its key.
      cache.set(B, FOR_GOOD)
      assert.equal(cache.get(A), undefined)
      assert.equal(cache.get(other), before)
      cache.set(other, lasting({ fetch: 2 }))
      assert.ok(before)
      assert.equal(cache.holds(before), false)
      assert.deepEqual(cache.get(other)?.judged.timings, { fetch: 2 })
      cache.set(A, FOR_GOOD)
      cache.set(A, { ...FOR_GOOD, until: 2_000 })
      cache.reconsider(A)
      assert.equal(cache.get(A), undefined)
      assert.deepEqual(cache.get(other)?.judged.timings, { fetch: 2 })
    })
  }
})

describe('room', () => {
  for (const [name, other] of [
    ['of another epoch', subjectOf('a', APP, 'before')],
    ['of another repository', subjectOf('a', { registry: 'ghcr.io', name: 'acme/other' })],
  ] as const) {
    it(`goes first to what nobody asks for: a judgement ${name} is in no use when its neighbour is asked for`, () => {
      const { cache } = setUp(3)
      for (const one of [other, A, B]) cache.set(one, FOR_GOOD)
      cache.get(A)
      cache.set(C, FOR_GOOD)
      assert.equal(cache.get(other), undefined)
      for (const one of [A, B, C]) assert.ok(cache.get(one))
    })
  }
})
