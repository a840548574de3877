import assert from 'node:assert/strict'
import { truncate } from 'node:fs/promises'
import { describe, it } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { readToEnd } from '../byte-reader.ts'
import { openStore, randomContent, watchedFiles, watchedReads } from '../testing/content-store.ts'
import { BLOCK_BYTES } from './blocks.ts'
import { contentPath } from './content-files.ts'
import type { DirectoryContentStore } from './content.ts'

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
        const { reads, isOpen } = watchedReads(bytesMax)
        const { store, errors } = await openStore(t, { reads })
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
      const { reads, isOpen, taken } = watchedReads()
      const { store, directory, errors } = await openStore(t, { reads })
      await store.put(digest, bytes)
      if (way === 'once') await readAll(store)
      const reader = await store.open(digest)
      assert.ok(reader !== undefined)
      await reader.next()
      await truncate(contentPath(directory, digest).path, BLOCK_BYTES)
      taken()
      await assert.rejects(readToEnd(reader), { name: 'StoreError', code: 'damaged' })
      assert.deepEqual(taken(), [`${way} read`, `${way} close`])
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
      const { store, errors } = await openStore(t, { reads: watched.reads })
      await store.put(digest, bytes)
      if (way === 'once') await readAll(store)
      const reader = await store.open(digest)
      assert.ok(reader !== undefined)
      watched.before = (call) => {
        if (call === `${way} read`) throw Object.assign(new Error('EIO'), { code: 'EIO' })
      }
      await assert.rejects(readToEnd(reader), { code: 'EIO' })
      await store.put(randomContent(1).digest, Buffer.alloc(1))
      assert.deepEqual([errors.map(({ code }) => code), store.size(digest)], [['unavailable'], undefined])
      assert.equal(watched.isOpen(), 0)
    })

    it(`leaves no file open, whenever it is closed: ${way}`, async (t) => {
      const { reads, isOpen } = watchedReads()
      const { store, errors } = await openStore(t, { reads })
      await store.put(digest, bytes)
      if (way === 'once') await readAll(store)
      for (let turns = 0; turns < 40; turns += 1) {
        const reader = await store.open(digest)
        assert.ok(reader !== undefined)
        const read = (async () => {
          while ((await reader.next()) !== undefined);
        })()
        for (let passed = 0; passed < turns; passed += 1) await (way === 'once' ? undefined : turn())
        reader.close()
        reader.close()
        // It had come to the end before, or was told.
        await read.catch((error: unknown) => assert.match(String(error), /reader is closed/))
        assert.equal(isOpen(), 0)
      }
      assert.deepEqual(errors, [])
    })
  }

  it('gives a turn of the event loop to everybody else after each block that nobody waited for', async (t) => {
    const { reads, isOpen, taken } = watchedReads()
    const turns: (() => void)[] = []
    const nextTurn = () => new Promise<void>((resolve) => turns.push(resolve))
    const { store } = await openStore(t, { reads, nextTurn })
    await store.put(digest, bytes)
    await readAll(store)
    assert.equal(turns.length, 0, 'threads hold up nobody')
    const reader = await store.open(digest)
    assert.ok(reader !== undefined)
    for (const block of ['first', 'second', 'third']) {
      taken()
      const next = reader.next()
      await turn()
      assert.deepEqual([turns.length, taken()], [1, []], block)
      turns.splice(0).forEach((resolve) => resolve())
      await next
      assert.deepEqual(taken(), ['once read'], block)
    }
    assert.equal(await reader.next(), undefined)
    reader.close()

    const left = await store.open(digest)
    assert.ok(left !== undefined)
    const waiting = left.next()
    left.close()
    assert.equal(isOpen(), 0, 'whoever leaves meanwhile waits for no turn')
    turns.splice(0).forEach((resolve) => resolve())
    await assert.rejects(waiting, /reader is closed/)
  })

  it('lends its memory to others while it waits for its turn', async (t) => {
    const { reads } = watchedReads()
    const turns: (() => void)[] = []
    const nextTurn = () => new Promise<void>((resolve) => turns.push(resolve))
    const { store } = await openStore(t, { reads, nextTurn })
    await store.put(digest, bytes)
    await readAll(store)
    const readers = [await store.open(digest), await store.open(digest)]
    const first = readers.map((reader) => reader?.next())
    turns.shift()?.()
    const one = await first[0]
    const again = readers[0]?.next()
    turns.shift()?.()
    const two = await first[1]
    assert.ok(one !== undefined && two !== undefined)
    assert.equal(two.buffer, one.buffer)
    turns.shift()?.()
    assert.notEqual((await again)?.buffer, two.buffer, 'which the other has not sent yet')
    assert.deepEqual(two, bytes.subarray(0, BLOCK_BYTES))
    readers.forEach((reader) => reader?.close())
  })

  it('goes on beside others, while what nobody reads is evicted', async (t) => {
    const { reads, isOpen } = watchedReads()
    const { store } = await openStore(t, { reads, bytesMax: bytes.length + 100 })
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
