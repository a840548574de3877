import assert from 'node:assert/strict'
import { open, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it, test } from 'node:test'
import { newDirectory, randomContent, watchedReads } from '../testing/content-store.ts'
import { BLOCK_BYTES } from './blocks.ts'
import { DISTRUST_MS, STALLED_MS } from './disk-watch.ts'
import { RECENT_MS, RecentReads } from './recent-reads.ts'

const { digest } = randomContent(16)
const size = 2 * BLOCK_BYTES + 3
const END = 2 * BLOCK_BYTES

function newReads(timesBytesMax?: number) {
  const { reads: options, clock } = watchedReads()
  const reads = new RecentReads(timesBytesMax === undefined ? options : { ...options, timesBytesMax })
  return { reads, clock, isRecent: (position: number) => reads.isInMemory({ digest, position }) }
}

describe('what was read a moment ago', () => {
  const noted: { name: string; position: number; count: number; recent: readonly number[] }[] = [
    { name: 'a block', position: 0, count: BLOCK_BYTES, recent: [0, BLOCK_BYTES - 1] },
    { name: 'the block after it', position: BLOCK_BYTES, count: BLOCK_BYTES, recent: [BLOCK_BYTES, END - 1] },
    { name: 'the short block at the end', position: END, count: 3, recent: [END, size - 1] },
    { name: 'the beginning of a block', position: 0, count: BLOCK_BYTES - 1, recent: [] },
    { name: 'the end of a block', position: 1, count: BLOCK_BYTES - 1, recent: [] },
    { name: 'the last byte', position: size - 1, count: 1, recent: [] },
    { name: 'nothing', position: END, count: 0, recent: [] },
  ]
  for (const { name, position, count, recent } of noted) {
    it(`is read at once where it was ${name}`, () => {
      const { reads, isRecent } = newReads()
      reads.note({ digest, size, position }, count)
      const places = [0, BLOCK_BYTES - 1, BLOCK_BYTES, END - 1, END, size - 1]
      assert.deepEqual(places.filter(isRecent), recent)
      assert.equal(reads.isInMemory({ digest: randomContent(16).digest, position }), false)
    })
  }

  it('is believed in for a while, and longer where it is read again', () => {
    const { reads, clock, isRecent } = newReads()
    reads.note({ digest, size, position: 0 }, BLOCK_BYTES)
    reads.note({ digest, size, position: BLOCK_BYTES }, BLOCK_BYTES)
    clock.ms += RECENT_MS - 1
    assert.deepEqual([isRecent(0), isRecent(BLOCK_BYTES)], [true, true])
    reads.note({ digest, size, position: 0 }, BLOCK_BYTES)
    clock.ms += 1
    assert.deepEqual([isRecent(0), isRecent(BLOCK_BYTES)], [true, false])
  })

  it('is left to threads for a while where a read at once has waited, though they read it meanwhile', () => {
    const watched = watchedReads()
    const reads = new RecentReads({ ...watched.reads, readAtOnce: () => (watched.clock.ms += STALLED_MS) })
    const isRecent = () => {
      reads.note({ digest, size, position: 0 }, BLOCK_BYTES)
      return reads.isInMemory({ digest, position: 0 })
    }
    assert.equal(isRecent(), true)
    reads.readAtOnce(0, Buffer.alloc(0), 0)
    assert.equal(isRecent(), false)
    watched.clock.ms += DISTRUST_MS - 1
    assert.equal(isRecent(), false)
    watched.clock.ms += 1
    assert.equal(isRecent(), true)
  })

  it('takes no more memory than it may: what was asked for longest ago is forgotten', () => {
    const { reads } = newReads(3_000)
    const all = Array.from({ length: 20 }, () => randomContent(16).digest)
    for (const each of all) reads.note({ digest: each, size: BLOCK_BYTES, position: 0 }, BLOCK_BYTES)
    const kept = all.filter((each) => reads.isInMemory({ digest: each, position: 0 }))
    assert.deepEqual(kept, all.slice(-11))
    const huge = 400 * BLOCK_BYTES
    reads.note({ digest, size: huge, position: 0 }, BLOCK_BYTES)
    assert.equal(reads.isInMemory({ digest, position: 0 }), false)
  })
})

test('reads at once are those of the system', async (t) => {
  const path = join(await newDirectory(t), 'file')
  await writeFile(path, 'some bytes')
  const file = await open(path)
  try {
    const block = Buffer.alloc(4)
    assert.equal(new RecentReads().readAtOnce(file.fd, block, 5), 4)
    assert.equal(block.toString(), 'byte')
    assert.throws(() => new RecentReads().readAtOnce(-1, block, 0), { code: 'ERR_OUT_OF_RANGE' })
  } finally {
    await file.close()
  }
})
