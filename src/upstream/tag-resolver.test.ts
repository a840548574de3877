import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { digestOf, type Digest } from '../oci/digest.ts'
import { parseImageReference } from '../oci/reference.ts'
import { TagResolver } from './tag-resolver.ts'
import { UpstreamError, type UpstreamErrorCode } from './types.ts'

function tagOf(text: string) {
  const image = parseImageReference(text)
  if (image?.reference.kind !== 'tag') throw new TypeError('a tag')
  return { repository: image.repository, reference: image.reference }
}

const { repository, reference } = tagOf('r.test/app:v1')
const DIGEST = digestOf(Buffer.from('one'))
const OTHER = digestOf(Buffer.from('other'))

/** A resolver that knows v1 already, past its time to live; `answer` is what upstream says next. */
async function setUp(isShared = false) {
  const clock = { ms: 100_000 }
  const late = { signal: AbortSignal.abort() }
  const upstream = { asked: 0, answer: (): Promise<Digest> => Promise.resolve(DIGEST) }
  const stored = new Map<string, { digest: Digest; checkedAt: Date }>()
  const resolver = new TagResolver({
    state: {
      getTag: (_, tag) => stored.get(tag),
      setTag: (_, tag, digest, checkedAt) => void stored.set(tag, { digest, checkedAt }),
      dropTag: (_, tag) => void stored.delete(tag),
    },
    askUpstream: () => {
      upstream.asked += 1
      return upstream.answer()
    },
    now: () => new Date(clock.ms),
    revalidationLimit: () => late.signal,
    tagTtlMs: 1_000,
    tagStaleIfErrorMs: 60_000,
    isShared,
  })
  await resolver.resolve(repository, reference)
  clock.ms = 102_000
  late.signal = new AbortController().signal
  return { resolver, upstream, clock, late, stored }
}

const failing = (code: UpstreamErrorCode) => () => Promise.reject<Digest>(new UpstreamError(code, code))

describe('a tag that is known, past its time to live', () => {
  for (const code of ['unavailable', 'timeout', 'rate-limited', 'deadline'] as const) {
    it(`is served stale when upstream is ${code}, and upstream is left alone for a moment`, async () => {
      const { resolver, upstream } = await setUp()
      upstream.answer = failing(code)
      assert.equal(await resolver.resolve(repository, reference), DIGEST)
      assert.equal(resolver.believed(repository, reference)?.digest, DIGEST)
      assert.equal(await resolver.resolve(repository, reference), DIGEST)
      assert.equal(upstream.asked, 2)
    })
  }

  it('does not wait for an upstream that hangs', async () => {
    const { resolver, upstream, late } = await setUp()
    upstream.answer = () => new Promise(() => undefined)
    late.signal = AbortSignal.abort()
    assert.equal(await resolver.resolve(repository, reference), DIGEST)
  })

  for (const code of ['not-found', 'unauthorized', 'forbidden'] as const) {
    it(`that is ${code} stays gone in a later outage`, async () => {
      const { resolver, upstream, stored } = await setUp()
      upstream.answer = failing(code)
      await assert.rejects(resolver.resolve(repository, reference), { code })
      upstream.answer = failing('unavailable')
      await assert.rejects(resolver.resolve(repository, reference), { code: 'unavailable' })
      assert.equal(stored.size, 0)
    })
  }

  it('waits once, not again while the failure is fresh, and what the next attempt brings counts', async () => {
    const { resolver, upstream, clock } = await setUp()
    clock.ms = 150_000
    upstream.answer = failing('unavailable')
    assert.equal(await resolver.resolve(repository, reference), DIGEST)
    const { promise, resolve } = Promise.withResolvers<Digest>()
    upstream.answer = () => promise
    clock.ms = 156_000
    // The attempt is under way and may never end: nobody is held.
    assert.equal(await resolver.resolve(repository, reference), DIGEST)
    resolve(OTHER)
    await promise
    assert.equal(await resolver.resolve(repository, reference), OTHER)
  })

  for (const [name, afterMs, isHeld] of [
    ['holds', 999, true],
    ['does not hold past its time to live', 1_000, false],
    ['does not hold where the clock goes back', -1, false],
  ] as const) {
    it(`what is believed of it ${name}`, async () => {
      const { resolver, clock } = await setUp()
      await resolver.resolve(repository, reference)
      const believed = resolver.believed(repository, reference)
      clock.ms += afterMs
      assert.equal(believed?.holds(), isHeld)
    })
  }

  for (const [name, answer] of [
    ['is the same', () => Promise.resolve(DIGEST)],
    ['has moved', () => Promise.resolve(OTHER)],
    ['is gone', failing('not-found')],
  ] as const) {
    it(`what was believed of it does not hold once it was asked for again and ${name}`, async () => {
      const { resolver, upstream, clock } = await setUp()
      await resolver.resolve(repository, reference)
      const believed = resolver.believed(repository, reference)
      clock.ms += 1_000
      upstream.answer = answer
      await resolver.resolve(repository, reference).catch(() => undefined)
      clock.ms -= 1_000
      assert.equal(believed?.holds(), false)
    })
  }

  it('is not believed after a clock that went back', async () => {
    const { resolver, clock } = await setUp()
    clock.ms = 99_999
    assert.equal(resolver.believed(repository, reference), undefined)
  })

  it('is asked for again where the clock went back after an outage', async () => {
    const { resolver, upstream, clock } = await setUp()
    clock.ms = 150_000
    upstream.answer = failing('unavailable')
    assert.equal(await resolver.resolve(repository, reference), DIGEST)
    clock.ms = 110_000
    upstream.answer = () => Promise.resolve(OTHER)
    assert.equal(resolver.believed(repository, reference), undefined)
    assert.equal(await resolver.resolve(repository, reference), OTHER)
  })

  it('of a time that is yet to come is not served stale', async () => {
    const { resolver, upstream, clock } = await setUp()
    clock.ms = 99_999
    upstream.answer = failing('unavailable')
    await assert.rejects(resolver.resolve(repository, reference), { code: 'unavailable' })
  })

  it('is not served stale for longer than was allowed', async () => {
    const { resolver, upstream, clock } = await setUp()
    clock.ms = 161_001
    upstream.answer = failing('unavailable')
    await assert.rejects(resolver.resolve(repository, reference), { code: 'unavailable' })
  })
})

describe('a tag that other processes ask for, too', () => {
  it('is not asked for where another one has asked, and is what that one was told', async () => {
    const { resolver, upstream, stored, clock } = await setUp(true)
    stored.set('v1', { digest: OTHER, checkedAt: new Date(clock.ms) })
    assert.equal(await resolver.resolve(repository, reference), OTHER)
    assert.equal(resolver.believed(repository, reference)?.digest, OTHER)
    assert.equal(upstream.asked, 1)
  })

  it('is not brought back by an outage where another one was told that it is gone', async () => {
    const { resolver, upstream, stored } = await setUp(true)
    stored.delete('v1')
    upstream.answer = failing('unavailable')
    await assert.rejects(resolver.resolve(repository, reference), { code: 'unavailable' })
  })
})

describe('a tag that is pulled while it is still believed', () => {
  /** Asked for a moment ago, and believed for a second. */
  async function believe(isShared = false) {
    const world = await setUp(isShared)
    await world.resolver.resolve(repository, reference)
    world.upstream.asked = 0
    const believed = world.resolver.believed(repository, reference)
    assert.ok(believed !== undefined)
    return { ...world, believed }
  }

  it('is asked for once, late in its time, and nobody waits', async () => {
    const { believed, upstream, clock } = await believe()
    upstream.answer = () => new Promise(() => undefined)
    clock.ms += 799
    assert.deepEqual([believed.holds(), upstream.asked], [true, 0])
    clock.ms += 1
    assert.deepEqual([believed.holds(), upstream.asked], [true, 1])
    assert.deepEqual([believed.holds(), upstream.asked], [true, 1])
  })

  const answers: { name: string; answer: () => Promise<Digest>; known: Digest | undefined }[] = [
    { name: 'is the same', answer: () => Promise.resolve(DIGEST), known: DIGEST },
    { name: 'has moved', answer: () => Promise.resolve(OTHER), known: OTHER },
    { name: 'is gone', answer: failing('not-found'), known: undefined },
  ]
  for (const { name, answer, known } of answers) {
    it(`is known anew when it ${name}`, async () => {
      const { resolver, believed, upstream, clock } = await believe()
      upstream.answer = answer
      clock.ms += 900
      believed.holds()
      await turn()
      assert.equal(believed.holds(), false, 'what was known before')
      clock.ms += 700
      assert.equal(resolver.believed(repository, reference)?.digest, known)
      assert.equal(upstream.asked, 1)
    })
  }

  it('stays as it is where upstream is out, and is asked for again by who has to wait', async () => {
    const { resolver, believed, upstream, clock } = await believe()
    upstream.answer = failing('unavailable')
    clock.ms += 900
    assert.equal(believed.holds(), true)
    await turn()
    assert.deepEqual([believed.holds(), upstream.asked], [true, 1])
    clock.ms += 100
    assert.equal(believed.holds(), false)
    assert.equal(await resolver.resolve(repository, reference), DIGEST)
    assert.equal(upstream.asked, 2)
    const stale = resolver.believed(repository, reference)
    assert.deepEqual([stale?.holds(), upstream.asked], [true, 2], 'left alone for a moment')
  })

  it('shares its answer with who comes too late for it', async () => {
    const { resolver, believed, upstream, clock } = await believe()
    const { promise, resolve } = Promise.withResolvers<Digest>()
    upstream.answer = () => promise
    clock.ms += 900
    believed.holds()
    clock.ms += 100
    const late = resolver.resolve(repository, reference)
    resolve(OTHER)
    assert.equal(await late, OTHER)
    assert.equal(upstream.asked, 1)
  })

  it('is not asked for where another process was told a moment ago', async () => {
    const { resolver, believed, upstream, clock, stored } = await believe(true)
    clock.ms += 900
    stored.set('v1', { digest: OTHER, checkedAt: new Date(clock.ms - 100) })
    believed.holds()
    await turn()
    assert.equal(resolver.believed(repository, reference)?.digest, OTHER)
    assert.equal(upstream.asked, 0)
  })

  it('is not asked for while many others of its registry are', async () => {
    const { resolver, upstream, clock } = await setUp()
    const tags = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i']
    const all = [...tags.map((tag) => tagOf(`r.test/app:${tag}`)), tagOf('other.test/app:a')]
    for (const tag of all) await resolver.resolve(tag.repository, tag.reference)
    const [first, ...rest] = Array.from({ length: 10 }, () => Promise.withResolvers<Digest>())
    const answers = [first, ...rest]
    upstream.asked = 0
    upstream.answer = () => answers.shift()?.promise ?? assert.fail('asked once more')
    clock.ms += 900
    const pullAll = (): void => {
      for (const tag of all) assert.equal(resolver.believed(tag.repository, tag.reference)?.digest, DIGEST)
    }
    pullAll()
    assert.equal(upstream.asked, 8 + 1, 'and one of the other registry')
    pullAll()
    assert.equal(upstream.asked, 8 + 1)
    first?.resolve(DIGEST)
    await turn()
    pullAll()
    assert.equal(upstream.asked, 8 + 1 + 1)
  })
})
