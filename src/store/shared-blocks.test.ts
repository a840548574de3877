import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { BlockPool } from './blocks.ts'
import { SharedBlocks, type FillBlock, type SharedBlock } from './shared-blocks.ts'
import { seededRandom } from './testing/random.ts'

const KEPT = 128

/** A pool whose blocks out in use are known. */
function setUp() {
  const pool = new BlockPool()
  const out = new Set<ArrayBufferLike>()
  const [take, give] = [pool.take.bind(pool), pool.give.bind(pool)]
  pool.take = () => {
    const block = take()
    assert.ok(!out.has(block.buffer), 'a block that is in use')
    out.add(block.buffer)
    return block
  }
  pool.give = (block) => {
    assert.ok(out.delete(block.buffer), 'a block that was given back before')
    give(block)
  }
  return { shared: new SharedBlocks(pool), out }
}

const filling =
  (text: string): FillBlock =>
  async (block) =>
    block.write(text)

const nobody: FillBlock = () => assert.fail('nobody needs to read it')

/** Makes it forget what it has kept so far. */
async function pushOut(shared: SharedBlocks): Promise<void> {
  for (let index = 0; index < KEPT; index += 1)
    (await shared.take(`other ${index}`, filling('other'))).release()
}

describe('a block that is shared', () => {
  it('is read once for all who want it at the same time', async () => {
    const { shared, out } = setUp()
    const { promise, resolve } = Promise.withResolvers<number>()
    let filled: Buffer | undefined
    const taken = [
      shared.take('a', (block) => {
        filled = block
        return promise
      }),
      shared.take('a', nobody),
      shared.take('a', nobody),
    ]
    assert.equal(shared.peek('a'), undefined, 'it is not there yet')
    resolve(filled?.write('first') ?? 0)
    const blocks = await Promise.all(taken)
    for (const { bytes } of blocks) assert.equal(bytes.toString(), 'first')
    assert.equal(out.size, 1)
  })

  it('is found by who comes later, read and released or not', async () => {
    const { shared } = setUp()
    const first = await shared.take('a', filling('first'))
    assert.equal(shared.peek('a')?.bytes.toString(), 'first')
    first.release()
    assert.equal(shared.peek('a')?.bytes.toString(), 'first')
    assert.equal((await shared.take('a', nobody)).bytes.toString(), 'first')
    assert.equal(shared.peek('b'), undefined)
  })

  it('fails for all who wait for it, and is read again by the next', async () => {
    const { shared, out } = setUp()
    const { promise, reject } = Promise.withResolvers<number>()
    const taken = [shared.take('a', () => promise), shared.take('a', nobody)]
    reject(new Error('EIO'))
    for (const one of taken) await assert.rejects(one, /EIO/)
    await turn()
    assert.equal(out.size, 0)
    assert.equal((await shared.take('a', filling('again'))).bytes.toString(), 'again')
  })

  it('keeps its bytes while anybody reads them, although nobody may find them any more', async () => {
    const { shared, out } = setUp()
    const [first, second] = [await shared.take('a', filling('first')), shared.peek('a')]
    await pushOut(shared)
    assert.equal(shared.peek('a'), undefined)
    assert.equal(out.size, KEPT + 1)
    first.release()
    assert.equal(out.size, KEPT + 1, 'the other reads it still')
    assert.equal(second?.bytes.toString(), 'first')
    second.release()
    assert.equal(out.size, KEPT)
  })

  it('is nobody else’s while it is filled', async () => {
    const { shared, out } = setUp()
    const { promise, resolve } = Promise.withResolvers<number>()
    const slow = shared.take('a', () => promise)
    await pushOut(shared)
    const again = await shared.take('a', filling('again'))
    assert.equal(out.size, KEPT + 1)
    resolve(0)
    const { release } = await slow
    release()
    assert.equal(out.size, KEPT)
    assert.equal(shared.peek('a')?.bytes.toString(), 'again')
    again.release()
  })

  it('gives back what failed after nobody could find it any more', async () => {
    const { shared, out } = setUp()
    const { promise, reject } = Promise.withResolvers<number>()
    const slow = shared.take('a', () => promise)
    await pushOut(shared)
    await shared.take('a', filling('again'))
    reject(new Error('EIO'))
    await assert.rejects(slow, /EIO/)
    await turn()
    assert.equal(shared.peek('a')?.bytes.toString(), 'again', 'of the one that came after it')
    assert.equal(out.size, KEPT)
  })

  it('is never another one’s bytes, whoever comes and goes', async () => {
    const { shared, out } = setUp()
    const pick = seededRandom(7)
    const held: { key: number; block: SharedBlock }[] = []
    const fill =
      (key: number): FillBlock =>
      async (block) => {
        for (let turns = pick(3); turns > 0; turns -= 1) await turn()
        if (pick(20) === 0) throw new Error('EIO')
        block.fill(key % 256)
        return block.length
      }
    const letGo = (index: number): void => {
      const [one] = held.splice(index, 1)
      if (one === undefined) return
      const { key, block } = one
      assert.deepEqual([block.bytes[0], block.bytes.at(-1)], [key % 256, key % 256])
      block.release()
    }
    const visit = async (): Promise<void> => {
      const key = pick(200)
      const block = shared.peek(`${key}`) ?? (await shared.take(`${key}`, fill(key)).catch(() => undefined))
      if (block !== undefined) held.push({ key, block })
      if (held.length > 40) letGo(pick(held.length))
    }
    for (let round = 0; round < 200; round += 1) await Promise.all(Array.from({ length: 10 }, visit))
    while (held.length > 0) letGo(0)
    await turn()
    assert.ok(out.size <= KEPT, `${out.size} blocks are kept`)
  })
})
