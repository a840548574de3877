import assert from 'node:assert/strict'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { newDirectory, randomContent, watchedReads, type WatchedReads } from '../testing/content-store.ts'
import { BLOCK_BYTES } from './blocks.ts'
import { NODE_FILE_WAYS } from './file-calls.ts'
import { RecentReads } from './recent-reads.ts'
import { openStoredFile, type StoredFile } from './stored-file.ts'

const { bytes, digest } = randomContent(BLOCK_BYTES + 3)

type Opened = {
  path: string
  reads: RecentReads
  watched: WatchedReads
  open: (position?: number) => Promise<StoredFile>
}

/** A file of content whose first block was read a moment ago, or was not. */
async function newFile(t: TestContext, isRecent: boolean): Promise<Opened> {
  const path = join(await newDirectory(t), 'file')
  await writeFile(path, bytes)
  const watched = watchedReads()
  const reads = new RecentReads(watched.reads)
  if (isRecent) reads.note({ digest, size: bytes.length, position: 0 }, BLOCK_BYTES)
  return {
    path,
    reads,
    watched,
    open: async (position = 0) => await openStoredFile({ digest, path, position }, reads),
  }
}

describe('a file of content', () => {
  const block = Buffer.alloc(BLOCK_BYTES)

  for (const way of ['thread', 'once'] as const) {
    const isRecent = way === 'once'

    it(`is opened, read and closed one way: ${way}`, async (t) => {
      const { open, watched } = await newFile(t, isRecent)
      const file = await open()
      assert.equal(file.size, bytes.length)
      assert.equal(await file.read(block, 0), BLOCK_BYTES)
      assert.deepEqual(block, bytes.subarray(0, BLOCK_BYTES))
      assert.equal(file.wasAtOnce, isRecent)
      file.close()
      file.close()
      assert.deepEqual(
        watched.taken(),
        ['open', 'size', 'read', 'close'].map((call) => `${way} ${call}`),
      )
      assert.equal(watched.isOpen(), 0)
    })

    for (const failing of ['open', 'size', 'read', 'close'] as const) {
      it(`leaves nothing open where it cannot ${failing}: ${way}`, async (t) => {
        const { open, watched } = await newFile(t, isRecent)
        watched.before = (call) => {
          if (call === `${way} ${failing}`) throw Object.assign(new Error('EIO'), { code: 'EIO' })
        }
        const work = async (): Promise<void> => {
          const file = await open()
          try {
            await file.read(block, 0)
          } finally {
            file.close()
          }
        }
        if (failing === 'close') await work()
        else await assert.rejects(work, { code: 'EIO' })
        assert.equal(watched.isOpen(), 0)
      })
    }

    it(`says that it is not there: ${way}`, async (t) => {
      const { open, path, watched } = await newFile(t, isRecent)
      await rm(path)
      await assert.rejects(open, { code: 'ENOENT' })
      assert.deepEqual(watched.taken(), [`${way} open`])
    })
  }

  it('is read block by block, each by the way that is right for it', async (t) => {
    const { open, watched } = await newFile(t, true)
    const file = await open(BLOCK_BYTES - 1)
    assert.equal(await file.read(block, BLOCK_BYTES - 1), 1, 'not beyond the end of a block')
    assert.equal(file.wasAtOnce, true)
    assert.equal(await file.read(block, BLOCK_BYTES), 3)
    assert.equal(file.wasAtOnce, false)
    assert.equal(await file.read(block, BLOCK_BYTES), 3)
    assert.equal(file.wasAtOnce, true)
    file.close()
    assert.deepEqual(watched.taken().slice(2), ['once read', 'thread read', 'once read', 'once close'])
  })

  it('stays open until a thread has read from it: another could be read by its descriptor', async (t) => {
    const { open, watched } = await newFile(t, false)
    const file = await open()
    const read = file.read(block, 0)
    file.close()
    assert.equal(watched.isOpen(), 1)
    assert.equal(await read, BLOCK_BYTES)
    assert.equal(watched.isOpen(), 0)
  })

  it('is closed by a thread where it is on no disk any more: only then are its blocks freed', async (t) => {
    const { path } = await newFile(t, true)
    const { open, close } = NODE_FILE_WAYS.atOnce
    const [kept, gone] = [await open(path), await open(path)]
    assert.equal(close(kept), undefined)
    await rm(path)
    const closing = close(gone)
    assert.ok(closing instanceof Promise)
    await closing
  })
})
