import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { describe, it } from 'node:test'
import type { ByteRange } from '../http/range.ts'
import {
  ask,
  bodyOf,
  CHUNK,
  drain,
  fed,
  layer,
  openService,
  pieces,
  serving,
  stored,
  until,
  upstreamOf,
  type Upstream,
} from '../testing/blob-service.ts'
import { UpstreamError } from '../upstream/types.ts'

describe('wrong bytes', () => {
  const size = 10 * CHUNK
  const { bytes, digest } = layer(size)
  const corrupt = (at: number): Buffer => {
    const copy = Buffer.from(bytes)
    copy[at] = (copy[at] ?? 0) ^ 1
    return copy
  }
  const cases: { name: string; upstream: () => Upstream }[] = [
    { name: 'a flipped byte at the end', upstream: () => serving(corrupt(size - 1)) },
    { name: 'a flipped byte at the beginning', upstream: () => serving(corrupt(0)) },
    { name: 'a shorter blob', upstream: () => serving(bytes.subarray(0, size - CHUNK)) },
    { name: 'bytes after the end', upstream: () => serving(Buffer.concat([bytes, Buffer.from('x')]), size) },
    { name: 'an end that never comes', upstream: () => serving(bytes.subarray(0, size - 1), size) },
    {
      name: 'a flipped byte and no size',
      upstream: () =>
        upstreamOf(() => ({ size: undefined, offset: 0, body: Readable.from(pieces(corrupt(size - 1))) }), {
          headBlob: () => Promise.reject(new UpstreamError('unavailable', 'no HEAD')),
        }),
    },
  ]
  for (const { name, upstream } of cases) {
    for (const mode of ['cache', 'stream'] as const) {
      it(`break every answer before its end: ${name}, ${mode}`, async (t) => {
        const opened = await openService(t)
        const source = upstream()
        const answers = await Promise.all([
          ask(opened, source, digest, { mode }),
          ask(opened, source, digest, { mode }),
        ])
        for (const answer of answers) {
          const { bytes: got, error } = await drain(bodyOf(answer))
          assert.ok(error instanceof UpstreamError)
          assert.ok(got.length < size, `${got.length} bytes left`)
        }
        await until(async () => (await opened.incoming()).length === 0)
        assert.equal(opened.store.size(digest), undefined)
      })
    }
  }

  it('do not leave in a range that ended long before them either', async (t) => {
    const opened = await openService(t)
    const range: ByteRange = { kind: 'from', start: 0, end: 9 }
    const { bytes: got, error } = await drain(
      bodyOf(await ask(opened, serving(corrupt(size - 1)), digest, { range })),
    )
    assert.ok(error instanceof UpstreamError)
    assert.ok(got.length < 10)
  })

  it('of a small JSON document are refused before the answer', async (t) => {
    const opened = await openService(t)
    const upstream = serving(Buffer.from('{"os":"linux"}'))
    await assert.rejects(ask(opened, upstream, digest), { name: 'UpstreamError', code: 'invalid' })
  })

  it('are asked for again by the next client', async (t) => {
    const opened = await openService(t)
    await drain(bodyOf(await ask(opened, serving(corrupt(5)), digest)))
    assert.deepEqual(await buffer(bodyOf(await ask(opened, serving(bytes), digest))), bytes)
  })

  it('larger than the limit are refused before the answer', async (t) => {
    const opened = await openService(t, { limits: { blobBytesMax: 1000 } })
    await assert.rejects(ask(opened, serving(bytes), digest), { code: 'invalid' })
  })
})

describe('clients that leave', () => {
  const { bytes, digest } = layer(4 * CHUNK)

  it('do not take the read with them from those who stay', async (t) => {
    const opened = await openService(t)
    const upstream = fed(bytes.length)
    const asked = [ask(opened, upstream, digest), ask(opened, upstream, digest)]
    upstream.body.write(bytes.subarray(0, CHUNK))
    const [first, second] = await Promise.all(asked)
    bodyOf(first!).destroy()
    const rest = buffer(bodyOf(second!))
    upstream.body.end(bytes.subarray(CHUNK))
    assert.deepEqual(await rest, bytes)
  })

  it('leave a small blob to be finished for the next', async (t) => {
    const opened = await openService(t)
    const upstream = fed(bytes.length)
    const asked = ask(opened, upstream, digest)
    upstream.body.write(bytes.subarray(0, CHUNK))
    bodyOf(await asked).destroy()
    upstream.body.end(bytes.subarray(CHUNK))
    await stored(opened, digest)
    assert.deepEqual(await opened.store.read(digest), bytes)
  })

  it('leave a large one to be given up after a while, unless somebody comes back', async (t) => {
    const opened = await openService(t, { limits: { abandonedBytesMax: 1000 } })
    const upstream = fed(bytes.length)
    const asked = ask(opened, upstream, digest)
    upstream.body.write(bytes.subarray(0, CHUNK))
    bodyOf(await asked).destroy()
    const pending = () => opened.timers.filter(({ delayMs, cancelled }) => delayMs === 10_000 && !cancelled)
    await until(() => pending().length === 1)
    const again = bodyOf(await ask(opened, upstream, digest))
    assert.equal(pending().length, 0)
    again.destroy()
    await until(() => pending().length === 1)
    pending()[0]!.callback()
    await until(() => upstream.body.destroyed)
    await until(async () => (await opened.incoming()).length === 0)
    assert.equal(opened.store.size(digest), undefined)
    assert.ok(opened.events.includes('abandoned'))
  })

  it('before the answer are told so, and the read goes on', async (t) => {
    const opened = await openService(t)
    const upstream = fed(bytes.length)
    const gone = new AbortController()
    const asked = ask(opened, upstream, digest, { signal: gone.signal })
    gone.abort()
    await assert.rejects(asked, { name: 'UpstreamError', code: 'timeout' })
    upstream.body.end(bytes)
    await stored(opened, digest)
  })

  it('end a read that only passes through', async (t) => {
    const opened = await openService(t)
    const upstream = fed(bytes.length)
    const asked = ask(opened, upstream, digest, { mode: 'stream' })
    upstream.body.write(bytes.subarray(0, CHUNK))
    bodyOf(await asked).destroy()
    await until(() => upstream.body.destroyed)
  })

  it('too late are cut off by the time limit of the read', async (t) => {
    const opened = await openService(t)
    const upstream = fed(bytes.length)
    const asked = ask(opened, upstream, digest)
    upstream.body.write(bytes.subarray(0, CHUNK))
    const got = drain(bodyOf(await asked))
    opened.timers.find(({ delayMs }) => delayMs === 3_600_000)?.callback()
    const { error } = await got
    assert.ok(error instanceof UpstreamError && error.code === 'timeout')
  })
})

describe('shutdown', () => {
  it('breaks what is arriving, cleans up and takes nothing new', async (t) => {
    const opened = await openService(t)
    const { bytes, digest } = layer(4 * CHUNK)
    const upstream = fed(bytes.length)
    const asked = ask(opened, upstream, digest)
    upstream.body.write(bytes.subarray(0, CHUNK))
    const got = drain(bodyOf(await asked))
    await opened.service.close()
    assert.ok((await got).error instanceof UpstreamError)
    assert.deepEqual(await opened.incoming(), [])
    await assert.rejects(ask(opened, upstream, digest), { name: 'UpstreamError', code: 'unavailable' })
  })
})
