import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { describe, it, type TestContext } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { failingFiles, failingHandles, newDirectory } from '../testing/content-store.ts'
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
  until,
  upstreamOf,
} from '../testing/blob-service.ts'
import { UpstreamError } from '../upstream/types.ts'
import { BlobSpool } from './spool.ts'

describe('a disk in trouble', () => {
  const { bytes, digest } = layer(40 * CHUNK)

  const fullFromTheStart = () => failingFiles('open', 'ENOSPC', (path) => path.includes('incoming'))
  const limits = { windowBytesMax: 2 * CHUNK }
  const disks = {
    'from the start': fullFromTheStart,
    'half way': () => failingHandles('writev', 'ENOSPC', 20 * CHUNK),
  }
  for (const [name, files] of Object.entries(disks)) {
    it(`${name} breaks no answer`, async (t) => {
      const opened = await openService(t, { files: files(), limits })
      const upstream = serving(bytes)
      const answers = await Promise.all([0, 1, 2].map(() => ask(opened, upstream, digest)))
      const bodies = await Promise.all(answers.map((answer) => buffer(bodyOf(answer))))
      assert.ok(bodies.every((body) => body.equals(bytes)))
      assert.deepEqual(upstream.offsets, [0])
      assert.ok(opened.events.includes('uncached'))
      await until(async () => (await opened.incoming()).length === 0)
      assert.equal(opened.store.size(digest), undefined)
    })

    it(`${name} lets no wrong bytes through`, async (t) => {
      const opened = await openService(t, { files: files(), limits })
      const wrong = Buffer.from(bytes)
      wrong[wrong.length - 1] = (wrong.at(-1) ?? 0) ^ 1
      const { bytes: got, error } = await drain(bodyOf(await ask(opened, serving(wrong), digest)))
      assert.ok(error instanceof UpstreamError)
      assert.ok(got.length < bytes.length)
    })
  }

  it('gives a late client a read of its own when the beginning is gone', async (t) => {
    const opened = await openService(t, { files: fullFromTheStart(), limits })
    const upstream = serving(bytes)
    const first = bodyOf(await ask(opened, upstream, digest))
    for await (const _chunk of first.iterator({ destroyOnReturn: false })) break
    await until(() => first.readableLength > 0)
    const late = buffer(bodyOf(await ask(opened, upstream, digest)))
    assert.deepEqual(await late, bytes)
    assert.deepEqual(upstream.offsets, [0, 0])
    first.destroy()
  })

  it('gives up a read that lost both the disk and its readers', async (t) => {
    const opened = await openService(t, { files: failingHandles('writev', 'ENOSPC', 2 * CHUNK), limits })
    const upstream = fed(bytes.length)
    const asked = ask(opened, upstream, digest)
    upstream.body.write(bytes.subarray(0, CHUNK))
    bodyOf(await asked).destroy()
    upstream.body.write(bytes.subarray(CHUNK, 10 * CHUNK))
    await until(() => upstream.body.destroyed)
    assert.ok(opened.events.includes('abandoned'))
  })
})

describe('a stream that only passes through', () => {
  it('makes upstream wait for the client', async (t) => {
    const opened = await openService(t, { limits: { windowBytesMax: 2 * CHUNK } })
    const { bytes, digest } = layer(100 * CHUNK)
    let sent = 0
    const upstream = upstreamOf((offset) => ({
      size: bytes.length,
      offset,
      body: Readable.from(
        (function* () {
          for (const piece of pieces(bytes)) {
            sent += 1
            yield piece
          }
        })(),
        { highWaterMark: 1 },
      ),
    }))
    const body = bodyOf(await ask(opened, upstream, digest, { mode: 'stream' }))
    for (let turns = 0; turns < 500; turns += 1) await turn()
    assert.ok(sent < 20, `${sent} chunks were read for a client that took none`)
    assert.deepEqual(await buffer(body), bytes)
    assert.equal(opened.store.size(digest), undefined)
  })
})

describe('what is appended at the moment at which everything before it is kept', () => {
  const signal = new AbortController().signal
  const SIZE = 1000

  /** Bytes kept of two chunks, the second so many microtasks after the first. */
  async function kept(t: TestContext, microtasks: number, write: () => Promise<void>): Promise<number> {
    const path = join(await newDirectory(t), 'incoming')
    await writeFile(path, '')
    const none = () => Promise.resolve()
    const spool = await BlobSpool.open({
      createIncoming: () => Promise.resolve({ path, write, commit: none, discard: none }),
      windowBytesMax: 10 * SIZE,
      onDiskTrouble: () => undefined,
      onKept: () => undefined,
    })
    // Of the spool's own: what has gone to the file is freed.
    await spool.append(Buffer.alloc(SIZE), signal)
    for (let count = 0; count < microtasks; count += 1) await Promise.resolve()
    await spool.append(Buffer.alloc(SIZE), signal)
    await spool.flush(signal)
    const { received } = spool
    await spool.close()
    return received
  }

  const disks = {
    'a disk that takes it': () => Promise.resolve(),
    'a disk that does not': () => Promise.reject(new Error('full')),
  }
  for (const [name, write] of Object.entries(disks)) {
    it(`is kept too: ${name}`, async (t) => {
      for (let microtasks = 0; microtasks < 20; microtasks += 1)
        assert.equal(await kept(t, microtasks, write), 2 * SIZE, `after ${microtasks} microtasks`)
    })
  }
})

describe('the window in memory', () => {
  const signal = new AbortController().signal
  const open = () =>
    BlobSpool.open({
      createIncoming: undefined,
      windowBytesMax: 10,
      onDiskTrouble: () => assert.fail('no disk'),
      onKept: () => undefined,
    })

  it('forgets what lies before its only reader', async () => {
    const spool = await open()
    const cursor = spool.enter(25)
    for (let round = 0; round < 3; round += 1) await spool.append(Buffer.alloc(10, round), signal)
    assert.equal(spool.reaches(0), false)
    assert.deepEqual(spool.peek(cursor, 5), Buffer.alloc(5, 2))
  })

  it('keeps everything for the first reader and moves on when the last has what it wants', async () => {
    const spool = await open()
    const first = spool.append(Buffer.alloc(10), signal)
    assert.equal(spool.reaches(0), true)
    spool.leave(spool.enter(0))
    await first
    assert.equal(spool.reaches(0), false)
  })

  it('lets a writer that waits go when its work is aborted', async () => {
    const spool = await open()
    const abort = new AbortController()
    const waiting = spool.append(Buffer.alloc(10), abort.signal)
    abort.abort(new Error('given up'))
    await assert.rejects(waiting, /given up/)
  })
})
