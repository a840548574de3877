import assert from 'node:assert/strict'
import { rename, truncate, writeFile } from 'node:fs/promises'
import { describe, it } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { readToEnd, type ByteReader } from '../byte-reader.ts'
import { openStore, randomContent, watchedFiles } from '../testing/content-store.ts'
import { BLOCK_BYTES } from './blocks.ts'
import { contentPath } from './content-files.ts'
import type { DirectoryContentStore } from './content.ts'

/** More than a long block. */
const BLOCKS = 6

/** Without the difference, which takes a minute to write out. */
function assertSame(found: Buffer, expected: Buffer, message?: string): void {
  assert.ok(found.equals(expected), message ?? 'other bytes')
}

describe('a reader of stored content', () => {
  const { bytes, digest } = randomContent(BLOCKS * BLOCK_BYTES - 3)
  const open = async (
    store: DirectoryContentStore,
    range?: { start: number; end: number },
  ): Promise<ByteReader> => {
    const reader = await store.open(digest, range)
    assert.ok(reader !== undefined)
    return reader
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
    for (const company of ['alone', 'beside another'] as const) {
      for (const bytesMax of [Infinity, 100_000]) {
        it(`gives ${name}, by reads of at most ${bytesMax} bytes, ${company}`, async (t) => {
          const { files, isOpen } = watchedFiles(bytesMax)
          const { store, errors } = await openStore(t, { files })
          await store.put(digest, bytes)
          const other = company === 'alone' ? undefined : await store.open(digest)
          for (const time of ['first', 'second']) {
            const reader = await open(store, { start, end })
            assertSame(await readToEnd(reader), bytes.subarray(start, end + 1), time)
          }
          if (other !== undefined) assertSame(await readToEnd(other), bytes)
          assert.deepEqual([isOpen(), errors], [0, []])
        })
      }
    }
  }

  for (const company of ['alone', 'beside another'] as const) {
    it(`breaks off where the file has become shorter, and the content is dropped: ${company}`, async (t) => {
      const { files, isOpen } = watchedFiles()
      const { store, directory, errors } = await openStore(t, { files })
      await store.put(digest, bytes)
      const reader = await open(store)
      const other = company === 'alone' ? undefined : await store.open(digest)
      await reader.next()
      await truncate(contentPath(directory, digest).path, BLOCK_BYTES)
      await assert.rejects(readToEnd(reader), { name: 'StoreError', code: 'damaged' })
      other?.close()
      await store.put(randomContent(1).digest, Buffer.alloc(1))
      assert.equal(store.size(digest), undefined)
      assert.deepEqual(
        errors.map(({ code }) => code),
        ['damaged'],
      )
      assert.equal(isOpen(), 0)
    })

    it(`reports a disk that fails, once, and the content is dropped: ${company}`, async (t) => {
      const watched = watchedFiles()
      const { store, errors } = await openStore(t, { files: watched.files })
      await store.put(digest, bytes)
      const readers = await Promise.all(
        Array.from({ length: company === 'alone' ? 1 : 3 }, () => open(store)),
      )
      await Promise.all(readers.map((reader) => reader.next()))
      watched.onRead = () => {
        throw Object.assign(new Error('EIO'), { code: 'EIO' })
      }
      const ends = await Promise.allSettled(readers.map(readToEnd))
      for (const end of ends) assert.equal(end.status === 'rejected' && end.reason.code, 'EIO')
      await store.put(randomContent(1).digest, Buffer.alloc(1))
      assert.deepEqual([errors.map(({ code }) => code), store.size(digest)], [['unavailable'], undefined])
      assert.equal(watched.isOpen(), 0)
    })

    it(`leaves no file open, whenever it is closed: ${company}`, async (t) => {
      const { files, isOpen } = watchedFiles(100_000)
      const { store, errors } = await openStore(t, { files })
      await store.put(digest, bytes)
      const other = company === 'alone' ? undefined : await store.open(digest)
      const others = other === undefined ? 0 : 1
      for (let turns = 0; turns < 40; turns += 1) {
        const reader = await open(store)
        const read = (async () => {
          while ((await reader.next()) !== undefined);
        })()
        for (let passed = 0; passed < turns; passed += 1) await turn()
        reader.close()
        reader.close()
        // It had come to the end before, or was told.
        await read.catch((error: unknown) => assert.match(String(error), /reader is closed/))
        assert.equal(isOpen(), others)
      }
      if (other !== undefined) assertSame(await readToEnd(other), bytes)
      assert.deepEqual([isOpen(), errors], [0, []])
    })
  }

  it('reads for all who read the same, and each of them gets all of it', async (t) => {
    const { files, reads } = watchedFiles()
    const { store } = await openStore(t, { files })
    await store.put(digest, bytes)
    const readers = await Promise.all(Array.from({ length: 5 }, () => open(store)))
    for (const whole of await Promise.all(readers.map(readToEnd))) assertSame(whole, bytes)
    assert.equal(reads(), BLOCKS)
  })

  for (const bytesMax of [Infinity, 100_000]) {
    it(`goes on for others who wait for its block when it is closed, by reads of at most ${bytesMax}`, async (t) => {
      const watched = watchedFiles(bytesMax)
      const { store, errors } = await openStore(t, { files: watched.files })
      await store.put(digest, bytes)
      const [reader, other] = [await open(store), await open(store)]
      const { promise, resolve } = Promise.withResolvers<void>()
      watched.onRead = () => promise
      const [left, stayed] = [reader.next(), other.next()]
      reader.close()
      watched.onRead = () => undefined
      resolve()
      await assert.rejects(left, /reader is closed/)
      assertSame((await stayed) ?? Buffer.alloc(0), bytes.subarray(0, BLOCK_BYTES))
      assert.equal(watched.isOpen(), 1, 'its file was closed after that')
      other.close()
      assert.deepEqual([watched.isOpen(), errors], [0, []])
    })
  }

  it('reads anew where the file has become another, whoever reads the old one', async (t) => {
    const { store, directory } = await openStore(t)
    await store.put(digest, bytes)
    const [reader, other] = [await open(store), await open(store)]
    await Promise.all([reader.next(), other.next()])
    // As where a damaged file was replaced, by this process or another.
    const { path } = contentPath(directory, digest)
    const replaced = randomContent(bytes.length)
    await writeFile(`${path}.new`, replaced.bytes)
    await rename(`${path}.new`, path)
    assertSame(await readToEnd(await open(store)), replaced.bytes)
    const rest = Buffer.from((await reader.next()) ?? [])
    assertSame(rest, bytes.subarray(BLOCK_BYTES, 2 * BLOCK_BYTES))
    reader.close()
    other.close()
  })

  it('gives a turn of the event loop to everybody else between blocks that nobody waited for', async (t) => {
    const { files, reads, isOpen } = watchedFiles()
    const turns: (() => void)[] = []
    const nextTurn = () => new Promise<void>((resolve) => turns.push(resolve))
    const { store } = await openStore(t, { files, nextTurn })
    await store.put(digest, bytes)
    const [first, reader] = [await open(store), await open(store)]
    while ((await first.next()) !== undefined);
    assert.deepEqual([turns.length, reads()], [0, BLOCKS], 'a read by a thread holds up nobody')
    await reader.next()
    for (let block = 1; block < BLOCKS; block += 1) {
      const next = reader.next()
      await turn()
      assert.equal(turns.length, 1, `block ${block}`)
      turns.shift()?.()
      assert.ok((await next) !== undefined)
    }
    assert.deepEqual([await reader.next(), reads()], [undefined, BLOCKS])
    reader.close()

    const left = await open(store)
    await left.next()
    const waiting = left.next()
    left.close()
    first.close()
    assert.equal(isOpen(), 0, 'whoever leaves meanwhile waits for no turn')
    turns.shift()?.()
    await assert.rejects(waiting, /reader is closed/)
  })

  it('gives turns of the event loop unless it is told of others', async (t) => {
    const { store } = await openStore(t)
    await store.put(digest, bytes)
    const [first, reader] = [await open(store), await open(store)]
    while ((await first.next()) !== undefined);
    await reader.next()
    let isServed = false
    setImmediate(() => (isServed = true))
    await reader.next()
    assert.equal(isServed, true)
    first.close()
    reader.close()
  })

  it('goes on alone when the others have left, and beside them when they come', async (t) => {
    const { store } = await openStore(t)
    await store.put(digest, bytes)
    const reader = await open(store, { start: 5, end: last })
    const pieces: Buffer[] = []
    for (let others: ByteReader[] = [], round = 0; ; round += 1) {
      if (round % 2 === 0) others = [await open(store)]
      else for (const other of others) other.close()
      const piece = await reader.next()
      if (piece === undefined) break
      pieces.push(Buffer.from(piece))
    }
    reader.close()
    assertSame(Buffer.concat(pieces), bytes.subarray(5))
  })

  it('goes on beside others, while what nobody reads is evicted', async (t) => {
    const { files, isOpen } = watchedFiles()
    const { store } = await openStore(t, { files, bytesMax: bytes.length + 100 })
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
    for (const whole of wholes) assertSame(await whole, bytes)
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
