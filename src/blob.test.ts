import assert from 'node:assert/strict'
import { once } from 'node:events'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { describe, it } from 'node:test'
import type { ByteRange } from './http/range.ts'
import { digestOf } from './oci/digest.ts'
import { parseRepository } from './oci/reference.ts'
import {
  ask,
  bodyOf,
  CHUNK,
  fed,
  head,
  layer,
  openService,
  pieces,
  serving,
  stored,
  until,
  upstreamOf,
  type Upstream,
} from './testing/blob-service.ts'
import { UpstreamError } from './upstream/types.ts'

describe('a blob that is not cached', () => {
  for (const size of [0, 1, 1000, CHUNK, 5 * CHUNK + 7, 5 * 1024 * 1024]) {
    it(`of ${size} bytes is streamed, verified and kept`, async (t) => {
      const opened = await openService(t)
      const { bytes, digest } = layer(size)
      const upstream = serving(bytes)
      const answer = await ask(opened, upstream, digest)
      assert.equal('size' in answer && answer.size, size)
      assert.deepEqual(await buffer(bodyOf(answer)), bytes)
      await stored(opened, digest)
      assert.deepEqual(await opened.store.read(digest), bytes)
      assert.deepEqual(await buffer(bodyOf(await ask(opened, upstream, digest))), bytes)
      assert.deepEqual(upstream.offsets, [0])
      assert.deepEqual(opened.events.at(-1), 'hit')
    })
  }

  it('is read once for 200 clients', async (t) => {
    const opened = await openService(t)
    const { bytes, digest } = layer(20 * CHUNK)
    const upstream = serving(bytes)
    const answers = await Promise.all(Array.from({ length: 200 }, () => ask(opened, upstream, digest)))
    const bodies = await Promise.all(answers.map((answer) => buffer(bodyOf(answer))))
    assert.ok(bodies.every((body) => body.equals(bytes)))
    assert.deepEqual(upstream.offsets, [0])
  })

  it('is not shared between repositories', async (t) => {
    const opened = await openService(t)
    const { bytes, digest } = layer(5 * CHUNK)
    const upstream = serving(bytes)
    const second = parseRepository('ghcr.io', 'private/c')!
    const answers = await Promise.all([
      ask(opened, upstream, digest),
      ask(opened, upstream, digest, { repository: second }),
    ])
    await Promise.all(answers.map((answer) => buffer(bodyOf(answer))))
    assert.deepEqual(upstream.offsets, [0, 0])
  })

  it('goes on to a fast reader beside one that does not read', async (t) => {
    const opened = await openService(t)
    const { bytes, digest } = layer(5 * 1024 * 1024)
    const upstream = serving(bytes)
    const slow = bodyOf(await ask(opened, upstream, digest))
    const fast = bodyOf(await ask(opened, upstream, digest))
    assert.deepEqual(await buffer(fast), bytes)
    assert.deepEqual(await buffer(slow), bytes)
    assert.deepEqual(upstream.offsets, [0])
  })

  it('gives bytes before all have come, and a late client the same from the first on', async (t) => {
    const opened = await openService(t)
    const { bytes, digest } = layer(4 * CHUNK)
    const upstream = fed(bytes.length)
    const asked = ask(opened, upstream, digest)
    upstream.body.write(bytes.subarray(0, 2 * CHUNK))
    const early = bodyOf(await asked)
    const parts: Buffer[] = []
    early.on('data', (chunk: Buffer) => parts.push(chunk))
    await until(() => opened.events.includes('miss'))
    upstream.body.write(bytes.subarray(2 * CHUNK, 3 * CHUNK))
    await until(() => parts.length > 0)
    const late = bodyOf(await ask(opened, upstream, digest))
    const lateBytes = buffer(late)
    upstream.body.end(bytes.subarray(3 * CHUNK))
    await once(early, 'end')
    assert.deepEqual(Buffer.concat(parts), bytes)
    assert.deepEqual(await lateBytes, bytes)
    assert.deepEqual(upstream.offsets, [0])
  })

  it('of unknown size is answered without one', async (t) => {
    const opened = await openService(t)
    const { bytes, digest } = layer(3 * CHUNK)
    const upstream = upstreamOf(() => ({ size: undefined, offset: 0, body: Readable.from(pieces(bytes)) }), {
      headBlob: () => Promise.reject(new UpstreamError('unavailable', 'no HEAD')),
    })
    const answer = await ask(opened, upstream, digest, { range: { kind: 'from', start: 5, end: 9 } })
    assert.ok(answer.kind === 'body' && answer.size === undefined && answer.range === undefined)
    assert.deepEqual(await buffer(bodyOf(answer)), bytes)
  })

  it('takes the size from HEAD where GET has none', async (t) => {
    const opened = await openService(t)
    const { bytes, digest } = layer(3 * CHUNK)
    const upstream = upstreamOf(() => ({ size: undefined, offset: 0, body: Readable.from(pieces(bytes)) }), {
      headBlob: () => Promise.resolve({ size: bytes.length }),
    })
    const answer = await ask(opened, upstream, digest)
    assert.equal(answer.kind === 'body' && answer.size, bytes.length)
    assert.deepEqual(await buffer(bodyOf(answer)), bytes)
  })
})

describe('ranges', () => {
  const { bytes, digest } = layer(10 * CHUNK)
  const cases: { name: string; range: ByteRange; expected: [number, number] | 'unsatisfiable' }[] = [
    { name: 'the beginning', range: { kind: 'from', start: 0, end: 0 }, expected: [0, 1] },
    {
      name: 'the middle',
      range: { kind: 'from', start: CHUNK - 1, end: 3 * CHUNK },
      expected: [CHUNK - 1, 3 * CHUNK + 1],
    },
    {
      name: 'from an offset on',
      range: { kind: 'from', start: 9 * CHUNK, end: undefined },
      expected: [9 * CHUNK, bytes.length],
    },
    {
      name: 'the last bytes',
      range: { kind: 'last', count: 10 },
      expected: [bytes.length - 10, bytes.length],
    },
    {
      name: 'beyond the end',
      range: { kind: 'from', start: bytes.length, end: undefined },
      expected: 'unsatisfiable',
    },
  ]
  for (const { name, range, expected } of cases) {
    for (const state of ['arriving', 'stored', 'streamed'] as const) {
      it(`${name}, ${state}`, async (t) => {
        const opened = await openService(t, { limits: { windowBytesMax: CHUNK } })
        const upstream = serving(bytes)
        if (state === 'stored') await opened.store.put(digest, bytes)
        const answer = await ask(opened, upstream, digest, {
          range,
          mode: state === 'streamed' ? 'stream' : 'cache',
        })
        if (expected === 'unsatisfiable') {
          return assert.deepEqual(answer, { kind: 'range-not-satisfiable', size: bytes.length })
        }
        assert.ok(answer.kind === 'body')
        assert.deepEqual(answer.range, { start: expected[0], end: expected[1] - 1 })
        assert.deepEqual(await buffer(bodyOf(answer)), bytes.subarray(...expected))
      })
    }
  }

  it('of a small document', async (t) => {
    const opened = await openService(t)
    const config = Buffer.from('{"os":"linux"}')
    const answer = await ask(opened, serving(config), digestOf(config), {
      range: { kind: 'from', start: 1, end: 4 },
    })
    assert.equal((await buffer(bodyOf(answer))).toString(), '"os"')
  })
})

describe('HEAD', () => {
  const { bytes, digest } = layer(5 * 1024 * 1024)

  it('of a large blob asks upstream once for all, and reads nothing', async (t) => {
    const opened = await openService(t)
    const upstream = serving(bytes)
    const answers = await Promise.all(Array.from({ length: 20 }, () => head(opened, upstream, digest)))
    assert.ok(answers.every((answer) => answer.kind === 'found' && answer.size === bytes.length))
    assert.equal(upstream.heads, 1)
    assert.deepEqual(upstream.offsets, [])
  })

  it('of what is stored asks nobody', async (t) => {
    const opened = await openService(t)
    await opened.store.put(digest, bytes)
    const nothing = upstreamOf(() => assert.fail('upstream was asked'))
    assert.deepEqual(await head(opened, nothing, digest), { kind: 'found', size: bytes.length })
  })

  it('says what GET says where there is nothing', async (t) => {
    const opened = await openService(t)
    const upstream = upstreamOf(() => {
      throw new UpstreamError('not-found', 'no such blob')
    })
    assert.deepEqual(await head(opened, upstream, digest), { kind: 'not-found' })
    assert.deepEqual(await ask(opened, upstream, digest), { kind: 'not-found' })
  })

  it('and GET pass on what is no answer', async (t) => {
    const opened = await openService(t)
    const upstream = upstreamOf(() => {
      throw new UpstreamError('rate-limited', 'later', { retryAfterSeconds: 5 })
    })
    await assert.rejects(head(opened, upstream, digest), { code: 'rate-limited', retryAfterSeconds: 5 })
    await assert.rejects(ask(opened, upstream, digest), { code: 'rate-limited', retryAfterSeconds: 5 })
  })
})

describe('redirect', () => {
  const { bytes, digest } = layer(5 * 1024 * 1024)
  const located = (location: string | undefined, content: Buffer): Upstream => {
    const upstream = serving(content)
    return Object.assign(upstream, {
      client: { ...upstream.client, locateBlob: () => Promise.resolve(location) },
    })
  }

  it('sends the client where upstream would', async (t) => {
    const opened = await openService(t)
    const answer = await ask(opened, located('https://cdn.example/x', bytes), digest, { mode: 'redirect' })
    assert.deepEqual(answer, { kind: 'redirect', location: 'https://cdn.example/x' })
  })

  it('streams where upstream does not redirect', async (t) => {
    const opened = await openService(t)
    const answer = await ask(opened, located(undefined, bytes), digest, { mode: 'redirect' })
    assert.deepEqual(await buffer(bodyOf(answer)), bytes)
    assert.equal(opened.store.size(digest), undefined)
  })

  it('never sends it to what could be a manifest', async (t) => {
    const opened = await openService(t)
    const small = layer(1000)
    const answer = await ask(opened, located('https://cdn.example/x', small.bytes), small.digest, {
      mode: 'redirect',
    })
    assert.deepEqual(await buffer(bodyOf(answer)), small.bytes)
  })
})
