import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { BLOCK_BYTES, BlockPool, LentBlock, LONG_BLOCK_BYTES } from './blocks.ts'

function watchedPool(): { pool: BlockPool; taken: Buffer[]; given: Buffer[] } {
  const pool = new BlockPool()
  const [taken, given] = [new Array<Buffer>(), new Array<Buffer>()]
  const [take, give] = [pool.take.bind(pool), pool.give.bind(pool)]
  pool.take = () => {
    const block = take()
    taken.push(block)
    return block
  }
  pool.give = (block) => {
    given.push(block)
    give(block)
  }
  return { pool, taken, given }
}

describe('a block that is lent', () => {
  it('is taken when it is first filled, and the same for all that follows', async () => {
    const { pool, taken, given } = watchedPool()
    const lent = new LentBlock(pool)
    assert.equal(taken.length, 0)
    const first = await lent.fill(async (block) => block.write('first'))
    assert.equal(first.toString(), 'first')
    await lent.fill(async (block) => block.write('other'))
    assert.equal(first.toString(), 'other', 'a piece is valid until the next is asked for')
    assert.equal(taken.length, 1)
    lent.end()
    lent.end()
    assert.deepEqual([given.length, given[0] === taken[0]], [1, true])
  })

  it('is not given to another while a read still writes into it', async () => {
    const { pool, given } = watchedPool()
    const lent = new LentBlock(pool)
    const read = Promise.withResolvers<number>()
    const filling = lent.fill(() => read.promise)
    lent.end()
    assert.equal(given.length, 0)
    read.resolve(1)
    await assert.rejects(filling, /closed/, 'its memory is given away')
    assert.equal(given.length, 1)
    await assert.rejects(
      lent.fill(() => read.promise),
      /closed/,
    )
  })

  it('is given back by a read that fails after the end, and stays where it may be filled again', async () => {
    const { pool, taken, given } = watchedPool()
    const lent = new LentBlock(pool)
    await assert.rejects(
      lent.fill(() => Promise.reject(new Error('EIO'))),
      /EIO/,
    )
    assert.equal(given.length, 0)
    const read = Promise.withResolvers<number>()
    const filling = lent.fill(() => read.promise)
    lent.end()
    read.reject(new Error('EIO'))
    await assert.rejects(filling, /EIO/)
    assert.deepEqual([taken.length, given.length], [1, 1])
  })

  it('is given to others while it rests, and not while a read writes into it', async () => {
    const { pool, taken, given } = watchedPool()
    const lent = new LentBlock(pool)
    lent.rest()
    const read = Promise.withResolvers<number>()
    const filling = lent.fill(() => read.promise)
    lent.rest()
    assert.equal(given.length, 0)
    read.resolve(1)
    await filling
    lent.rest()
    lent.rest()
    assert.equal(given.length, 1)
    await lent.fill(async () => 1)
    lent.end()
    assert.deepEqual([taken.length, given.length], [2, 2])
  })

  it('goes to the next who needs one', () => {
    const pool = new BlockPool()
    const block = pool.take()
    assert.equal(block.length, BLOCK_BYTES)
    pool.give(block)
    assert.equal(pool.take(), block)
    assert.notEqual(pool.take(), block)
  })

  it('is long as long as there are long ones, and short then', async () => {
    const pool = new BlockPool()
    const lengths = async (lent: LentBlock): Promise<number> =>
      (await lent.fill(async (block) => block.length)).length
    const many = Array.from({ length: 20 }, () => new LentBlock(pool, 'long'))
    const found: number[] = []
    for (const lent of many) found.push(await lengths(lent))
    assert.deepEqual(
      [found.filter((length) => length === LONG_BLOCK_BYTES).length, new Set(found.slice(16))],
      [16, new Set([BLOCK_BYTES])],
    )
    assert.equal(await lengths(new LentBlock(pool)), BLOCK_BYTES)
    many[0]?.end()
    assert.equal(await lengths(new LentBlock(pool)), BLOCK_BYTES, 'not for those who want a short one')
    assert.equal(await lengths(new LentBlock(pool, 'long')), LONG_BLOCK_BYTES)
  })
})
