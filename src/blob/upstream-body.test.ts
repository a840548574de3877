import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { describe, it } from 'node:test'
import { ask, bodyOf, CHUNK, drain, layer, openService, pieces, upstreamOf } from '../testing/blob-service.ts'
import { UpstreamError } from '../upstream/types.ts'

describe('a connection that breaks', () => {
  const { bytes, digest } = layer(10 * CHUNK)
  const breaking = (parts: Buffer[]) =>
    Readable.from(
      (async function* () {
        yield* parts
        throw new Error('ECONNRESET')
      })(),
    )

  it('is taken up again where it broke', async (t) => {
    const opened = await openService(t)
    const upstream = upstreamOf((offset, attempt) => {
      const rest = bytes.subarray(offset)
      const body = attempt < 3 ? breaking(pieces(rest).slice(0, 2)) : Readable.from(pieces(rest))
      return { size: bytes.length, offset, body }
    })
    assert.deepEqual(await buffer(bodyOf(await ask(opened, upstream, digest))), bytes)
    assert.deepEqual(upstream.offsets, [0, 2 * CHUNK, 4 * CHUNK, 6 * CHUNK])
  })

  it('is taken up again where upstream ended it early, and only sends everything', async (t) => {
    const opened = await openService(t)
    const upstream = upstreamOf((_offset, attempt) => {
      const body = Readable.from(pieces(attempt === 0 ? bytes.subarray(0, 3 * CHUNK + 5) : bytes))
      return { size: bytes.length, offset: 0, body }
    })
    assert.deepEqual(await buffer(bodyOf(await ask(opened, upstream, digest))), bytes)
    assert.deepEqual(upstream.offsets, [0, 3 * CHUNK + 5])
  })

  it('is given up after three times', async (t) => {
    const opened = await openService(t)
    const upstream = upstreamOf((offset) => ({
      size: bytes.length,
      offset,
      body: breaking([bytes.subarray(offset, offset + 10)]),
    }))
    const { bytes: got, error } = await drain(bodyOf(await ask(opened, upstream, digest)))
    assert.ok(error instanceof UpstreamError && error.code === 'unavailable')
    assert.ok(got.length <= 40)
    assert.deepEqual(upstream.offsets, [0, 10, 20, 30])
  })

  it('is not taken up where upstream answers with another blob', async (t) => {
    const opened = await openService(t)
    const upstream = upstreamOf((offset, attempt) => ({
      size: bytes.length + attempt,
      offset,
      body: breaking([bytes.subarray(0, 10)]),
    }))
    const { error } = await drain(bodyOf(await ask(opened, upstream, digest)))
    assert.ok(error instanceof UpstreamError && error.code === 'invalid')
    assert.equal(upstream.offsets.length, 2)
  })

  it('is not taken up where upstream says no', async (t) => {
    const opened = await openService(t)
    const upstream = upstreamOf((offset, attempt) => {
      if (attempt > 0) throw new UpstreamError('forbidden', 'no')
      return { size: bytes.length, offset, body: breaking([bytes.subarray(0, 10)]) }
    })
    const { error } = await drain(bodyOf(await ask(opened, upstream, digest)))
    assert.ok(error instanceof UpstreamError && error.code === 'forbidden')
  })
})
