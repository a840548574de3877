import assert from 'node:assert/strict'
import { truncate } from 'node:fs/promises'
import { describe, it } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { readToEnd } from '../byte-reader.ts'
import { openStore, randomContent, watchedFiles, watchedReads } from '../testing/content-store.ts'
import { BLOCK_BYTES } from './blocks.ts'
import { contentPath } from './content-files.ts'
import type { DirectoryContentStore } from './content.ts'
import { RECENT_MS } from './recent-reads.ts'

describe('a reader of stored content', () => {
  const { bytes, digest } = randomContent(2 * BLOCK_BYTES + 3)
  const readAll = async (store: DirectoryContentStore): Promise<void> => {
    const reader = await store.open(digest)
    assert.ok(reader !== undefined)
    assert.deepEqual(await readToEnd(reader), bytes)
  }
  const last = bytes.length - 1

  const ranges: { name: string; start: number; end: number }[] = [
    { name: 'the first byte', start: 0, end: 0 },
    { name: 'the last byte', start: last, end: last },
    { name: 'a block', start: 0, end: BLOCK_BYTES - 1 },
    { name: 'a byte more than a block', start: 0, end: BLOCK_BYTES },
    { name: 'both sides of a block’s end', start: BLOCK_BYTES - 1, end: BLOCK_BYTES },
    { name: 'all of it', start: 0, end: last },
  ]
  for (const { name, start, end } of ranges) {
    for (const bytesMax of [Infinity, 100_000]) {
      it(`gives ${name}, by reads of at most ${bytesMax} bytes`, async (t) => {
        const { files, reads, isOpen } = watchedReads(bytesMax)
        const { store, errors } = await openStore(t, { files, reads })
        await store.put(digest, bytes)
        for (const time of ['first', 'second']) {
          const reader = await store.open(digest, { start, end })
          assert.ok(reader !== undefined)
          assert.deepEqual(await readToEnd(reader), bytes.subarray(start, end + 1), time)
          assert.deepEqual([isOpen(), errors], [0, []])
        }
      })
    }
  }

  for (const way of ['thread', 'once'] as const) {
    it(`breaks off where the file has become shorter, and the content is dropped: ${way}`, async (t) => {
      const { files, reads, isOpen, taken } = watchedReads()
      const { store, directory, errors } = await openStore(t, { files, reads })
      await store.put(digest, bytes)
      if (way === 'once') await readAll(store)
      const reader = await store.open(digest)
      assert.ok(reader !== undefined)
      await reader.next()
      await truncate(contentPath(directory, digest).path, BLOCK_BYTES)
      taken()
      await assert.rejects(readToEnd(reader), { name: 'StoreError', code: 'damaged' })
      assert.deepEqual(taken(), [way])
      await store.put(randomContent(1).digest, Buffer.alloc(1))
      assert.equal(store.size(digest), undefined)
      assert.deepEqual(
        errors.map(({ code }) => code),
        ['damaged'],
      )
      assert.equal(isOpen(), 0)
    })

    it(`reports a disk that fails, once, and the content is dropped: ${way}`, async (t) => {
      const watched = watchedReads()
      const { store, errors } = await openStore(t, { files: watched.files, reads: watched.reads })
      await store.put(digest, bytes)
      if (way === 'once') await readAll(store)
      const reader = await store.open(digest)
      assert.ok(reader !== undefined)
      watched.onRead = (by) => {
        if (by === way) throw Object.assign(new Error('EIO'), { code: 'EIO' })
      }
      await assert.rejects(readToEnd(reader), { code: 'EIO' })
      await store.put(randomContent(1).digest, Buffer.alloc(1))
      assert.deepEqual([errors.map(({ code }) => code), store.size(digest)], [['unavailable'], undefined])
      assert.equal(watched.isOpen(), 0)
    })

    it(`leaves no file open, whenever it is closed: ${way}`, async (t) => {
      const { files, reads, isOpen, taken, clock } = watchedReads()
      const { store, errors } = await openStore(t, { files, reads })
      await store.put(digest, bytes)
      for (let turns = 0; turns < 40; turns += 1) {
        if (way === 'once') await readAll(store)
        else clock.ms += RECENT_MS
        taken()
        const reader = await store.open(digest)
        assert.ok(reader !== undefined)
        const read = (async () => {
          while ((await reader.next()) !== undefined);
        })()
        for (let passed = 0; passed < turns; passed += 1) await turn()
        reader.close()
        reader.close()
        assert.equal(isOpen(), 0)
        // It had come to the end before, or was told.
        await read.catch((error: unknown) => assert.match(String(error), /reader is closed/))
        assert.deepEqual(new Set(taken()), new Set([way]))
      }
      assert.deepEqual(errors, [])
    })
  }

  it('gives a turn of the event loop to everybody else between blocks that nobody waited for', async (t) => {
    const { files, reads, isOpen, taken } = watchedReads()
    const turns: (() => void)[] = []
    const nextTurn = () => new Promise<void>((resolve) => turns.push(resolve))
    const { store } = await openStore(t, { files, reads, nextTurn })
    await store.put(digest, bytes)
    await readAll(store)
    assert.equal(turns.length, 0, 'threads hold up nobody')
    taken()
    const reader = await store.open(digest)
    assert.ok(reader !== undefined)
    await reader.next()
    for (const block of ['second', 'third']) {
      assert.deepEqual(taken(), ['once'])
      const next = reader.next()
      await turn()
      assert.deepEqual([turns.length, taken()], [1, []], block)
      turns.shift()?.()
      await next
    }
    assert.equal(await reader.next(), undefined)
    reader.close()

    const left = await store.open(digest)
    assert.ok(left !== undefined)
    await left.next()
    const waiting = left.next()
    left.close()
    assert.equal(isOpen(), 0, 'whoever leaves meanwhile waits for no turn')
    turns.shift()?.()
    await assert.rejects(waiting, /reader is closed/)
  })

  it('gives turns of the event loop unless it is told of others', async (t) => {
    const { files, reads } = watchedReads()
    const { store } = await openStore(t, { files, reads })
    await store.put(digest, bytes)
    await readAll(store)
    const reader = await store.open(digest)
    assert.ok(reader !== undefined)
    await reader.next()
    let isServed = false
    setImmediate(() => (isServed = true))
    await reader.next()
    assert.equal(isServed, true)
    reader.close()
  })

  it('lends its memory to others while it waits for its turn', async (t) => {
    const { files, reads } = watchedReads()
    const turns: (() => void)[] = []
    const nextTurn = () => new Promise<void>((resolve) => turns.push(resolve))
    const { store } = await openStore(t, { files, reads, nextTurn })
    await store.put(digest, bytes)
    await readAll(store)
    const [waiting, other] = [await store.open(digest), await store.open(digest)]
    assert.ok(waiting !== undefined && other !== undefined)
    const first = await waiting.next()
    const second = waiting.next()
    const lent = await other.next()
    assert.ok(first !== undefined && lent !== undefined)
    assert.equal(lent.buffer, first.buffer)
    turns.shift()?.()
    assert.notEqual((await second)?.buffer, lent.buffer, 'which the other has not sent yet')
    assert.deepEqual(lent, bytes.subarray(0, BLOCK_BYTES))
    waiting.close()
    other.close()
  })

  it('goes on beside others, while what nobody reads is evicted', async (t) => {
    const { files, reads, isOpen } = watchedReads()
    const { store } = await openStore(t, { files, reads, bytesMax: bytes.length + 100 })
    await store.put(digest, bytes)
    const readers = await Promise.all(Array.from({ length: 8 }, () => store.open(digest)))
    const begun = await Promise.all(
      readers.map(async (reader) => {
        assert.ok(reader !== undefined)
        return { first: Buffer.from((await reader.next()) ?? []), reader }
      }),
    )
    const others = Array.from({ length: 8 }, () => randomContent(60))
    for (const other of others) await store.put(other.digest, other.bytes)
    assert.deepEqual(
      others.filter((other) => store.size(other.digest) !== undefined),
      others.slice(-1),
    )
    const wholes = begun.map(async ({ first, reader }) => Buffer.concat([first, await readToEnd(reader)]))
    for (const whole of wholes) assert.deepEqual(await whole, bytes)
    assert.equal(isOpen(), 0)
    const next = randomContent(60)
    await store.put(next.digest, next.bytes)
    assert.equal(store.size(digest), undefined, 'read by nobody any more')
  })
})

describe('a file that takes less than it is given', () => {
  it('gets the rest', async (t) => {
    const { files } = watchedFiles(7)
    const { store } = await openStore(t, { files })
    const { bytes, digest } = randomContent(100)
    const incoming = await store.createIncoming(digest)
    await incoming.write(bytes.subarray(0, 30), bytes.subarray(30, 30), bytes.subarray(30))
    await incoming.commit()
    assert.deepEqual(await store.read(digest), bytes)
  })
})
