/** Bytes of a block: what one reader holds, however slow its client is, and what one trip through the thread pool reads. */
export const BLOCK_BYTES = 256 * 1024
/** Blocks that are kept for the next reader, 16 MiB. */
const IDLE_MAX = 64

/**
 * Memory for bytes on their way from disk to clients, used again and again: a buffer for each read would have V8 go through
 * its whole heap every few dozen MiB to find which of them are free.
 */
export class BlockPool {
  readonly #idle: Buffer[] = []

  take(): Buffer {
    return this.#idle.pop() ?? Buffer.allocUnsafeSlow(BLOCK_BYTES)
  }

  give(block: Buffer): void {
    if (this.#idle.length < IDLE_MAX) this.#idle.push(block)
  }
}

/** The block of one reader: taken when it is first filled, given back once. */
export class LentBlock {
  readonly #pool: BlockPool
  #block: Buffer | undefined
  #isFilling = false
  #isEnded = false

  constructor(pool: BlockPool) {
    this.#pool = pool
  }

  /** The beginning of the block, as much of it as `read` has filled. One call at a time. */
  async fill(read: (block: Buffer) => Promise<number>): Promise<Buffer> {
    if (this.#isEnded) throw new Error('the reader is closed')
    const block = (this.#block ??= this.#pool.take())
    this.#isFilling = true
    try {
      return block.subarray(0, await read(block))
    } finally {
      this.#isFilling = false
      if (this.#isEnded) this.#giveBack()
    }
  }

  /** Between two reads, when the bytes of the one before are no longer needed: while this one waits, others fill the same memory. */
  rest(): void {
    if (!this.#isFilling) this.#giveBack()
  }

  /** At once, or when a read that is under way no longer writes into it. May be called again. */
  end(): void {
    this.#isEnded = true
    if (!this.#isFilling) this.#giveBack()
  }

  #giveBack(): void {
    if (this.#block !== undefined) this.#pool.give(this.#block)
    this.#block = undefined
  }
}
