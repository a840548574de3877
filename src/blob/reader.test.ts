import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { describe, it } from 'node:test'
import type { ByteReader } from '../byte-reader.ts'
import { ask, CHUNK, fed, layer, openService, until, upstreamOf } from '../testing/blob-service.ts'
import { watchedFiles } from '../testing/content-store.ts'
import { UpstreamError } from '../upstream/types.ts'

type Read = { bytes: Buffer; isOver: boolean }

/** Reads on as a fast client does, and shows what it has. */
function readOn(reader: ByteReader): Read {
  const read: Read = { bytes: Buffer.alloc(0), isOver: false }
  const goOn = async (): Promise<void> => {
    const piece = await reader.next()
    if (piece === undefined) return void (read.isOver = true)
    read.bytes = Buffer.concat([read.bytes, piece])
    await goOn()
  }
  void goOn().catch(() => undefined)
  return read
}

describe('a reader of what is arriving', () => {
  const { bytes, digest } = layer(4 * CHUNK)

  for (const mode of ['cache', 'stream'] as const) {
    it(`has all but the last byte until that is right: ${mode}`, async (t) => {
      const opened = await openService(t)
      const upstream = fed(bytes.length)
      const asked = ask(opened, upstream, digest, { mode })
      upstream.body.write(bytes)
      const answer = await asked
      assert.ok(answer.kind === 'body')
      const read = readOn(answer.body)
      await until(() => read.bytes.length === bytes.length - 1)
      assert.equal(read.isOver, false)
      upstream.body.end()
      await until(() => read.isOver)
      assert.deepEqual(read.bytes, bytes)
      answer.body.close()
    })

    it(`has all but the last byte of its range until the blob is right: ${mode}`, async (t) => {
      const opened = await openService(t, { limits: { windowBytesMax: CHUNK } })
      const upstream = fed(bytes.length)
      const range = { kind: 'from', start: 10, end: 19 } as const
      const asked = ask(opened, upstream, digest, { range, mode })
      upstream.body.write(bytes.subarray(0, CHUNK))
      const answer = await asked
      assert.ok(answer.kind === 'body')
      const read = readOn(answer.body)
      await until(() => read.bytes.length === 9)
      upstream.body.end(bytes.subarray(CHUNK))
      await until(() => read.isOver)
      assert.deepEqual(read.bytes, bytes.subarray(10, 20))
      answer.body.close()
    })
  }

  it('has all but what came last where nobody says how large the blob is', async (t) => {
    const opened = await openService(t)
    const upstream = fed(undefined)
    upstream.client.headBlob = () => Promise.reject(new UpstreamError('unavailable', 'no HEAD'))
    const asked = ask(opened, upstream, digest)
    upstream.body.write(bytes)
    const answer = await asked
    assert.ok(answer.kind === 'body' && answer.size === undefined)
    const read = readOn(answer.body)
    await until(() => read.bytes.length === bytes.length - 1)
    upstream.body.end()
    await until(() => read.isOver)
    assert.deepEqual(read.bytes, bytes)
    answer.body.close()
  })

  it('hears at once that it was closed while it waited', async (t) => {
    const opened = await openService(t)
    const upstream = fed(bytes.length)
    const asked = ask(opened, upstream, digest)
    upstream.body.write(bytes.subarray(0, CHUNK))
    const answer = await asked
    assert.ok(answer.kind === 'body')
    await answer.body.next()
    const waiting = answer.body.next()
    answer.body.close()
    await assert.rejects(waiting, /reader is closed/)
    upstream.body.end(bytes.subarray(CHUNK))
  })

  it('leaves no file open, whenever its clients leave', async (t) => {
    const { files, isOpen } = watchedFiles(1000)
    const opened = await openService(t, { files })
    for (let turns = 0; turns < 20; turns += 1) {
      const { bytes: own, digest: name } = layer(4 * CHUNK + turns)
      // Memory that a reader of it may free, as it may what a socket has read.
      const upstream = upstreamOf(() => ({
        size: own.length,
        offset: 0,
        body: Readable.from(
          [0, 1, 2, 3, 4].map((n) => Buffer.from(own.subarray(n * CHUNK, (n + 1) * CHUNK))),
        ),
      }))
      const answer = await ask(opened, upstream, name)
      assert.ok(answer.kind === 'body')
      const read = readOn(answer.body)
      for (let passed = 0; passed < turns; passed += 1) await new Promise(setImmediate)
      answer.body.close()
      await until(() => opened.store.size(name) !== undefined)
      assert.deepEqual(await opened.store.read(name), own)
      assert.deepEqual(read.bytes, own.subarray(0, read.bytes.length))
    }
    await until(() => isOpen() === 0)
  })
})
