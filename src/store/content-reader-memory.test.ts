import assert from 'node:assert/strict'
import { open, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { newDirectory, randomContent } from '../testing/content-store.ts'
import { BLOCK_BYTES, BlockPool, LONG_BLOCK_BYTES } from './blocks.ts'
import { ContentReader } from './content-reader.ts'
import { SharedBlocks } from './shared-blocks.ts'

describe('the memory of a reader', () => {
  /** Of random bytes; `isShared` says whether others read them. */
  async function setUp(t: TestContext) {
    const path = join(await newDirectory(t), 'content')
    const size = 3 * LONG_BLOCK_BYTES
    await writeFile(path, randomContent(size).bytes)
    const blocks = new BlockPool()
    const out = { block: 0, long: 0 }
    const [take, takeLong, give] = [
      blocks.take.bind(blocks),
      blocks.takeLong.bind(blocks),
      blocks.give.bind(blocks),
    ]
    const count = (block: Buffer, by: number): Buffer => {
      out[block.length === BLOCK_BYTES ? 'block' : 'long'] += by
      return block
    }
    blocks.take = () => count(take(), 1)
    blocks.takeLong = () => count(takeLong(), 1)
    blocks.give = (block) => give(count(block, -1))
    const company = { isShared: false }
    const shared = new SharedBlocks(blocks)
    const reader = new ContentReader({
      blocks,
      shared,
      nextTurn: () => turn(),
      file: await open(path),
      identity: path,
      size,
      range: { start: 0, end: size - 1 },
      isShared: () => company.isShared,
      onFailure: (cause) => assert.fail(String(cause)),
      onClose: () => undefined,
    })
    /** Blocks that are found no more go back, unless somebody forgot them. */
    const pushOut = async (): Promise<void> => {
      for (let index = 0; index < 128; index += 1)
        (await shared.take(`other ${index}`, async () => 1)).release()
    }
    return { reader, out, company, pushOut }
  }

  it('is its own when it is alone, and that of all beside others', async (t) => {
    const { reader, out, company, pushOut } = await setUp(t)
    await reader.next()
    assert.deepEqual(out, { block: 0, long: 1 })
    company.isShared = true
    await reader.next()
    await reader.next()
    assert.deepEqual(out, { block: 2, long: 0 })
    await pushOut()
    assert.deepEqual(out, { block: 129, long: 0 }, 'what it reads is not given away')
    company.isShared = false
    await reader.next()
    assert.deepEqual(out, { block: 128, long: 1 })
    reader.close()
    assert.deepEqual(out, { block: 128, long: 0 })
  })

  for (const isShared of [false, true]) {
    it(`goes back when it is closed while it reads, ${isShared ? 'beside others' : 'alone'}`, async (t) => {
      const { reader, out, company, pushOut } = await setUp(t)
      company.isShared = isShared
      const read = reader.next()
      reader.close()
      await assert.rejects(read, /reader is closed/)
      await pushOut()
      assert.deepEqual(out, { block: 128, long: 0 })
    })
  }
})
