/** Bytes of a block: what a reader whose client is slow holds, and what readers share. */
export const BLOCK_BYTES = 256 * 1024
/** Bytes of a long block: a quarter of the trips through the thread pool. */
export const LONG_BLOCK_BYTES = 1024 * 1024
/** Blocks that are kept for the next reader, 16 MiB. */
const IDLE_MAX = 64
/** Long blocks that there are at all, 16 MiB: more readers than that, and their clients may hold as much memory as they like. */
const LONG_MAX = 16

/**
 * Memory for bytes on their way from disk to clients, used again and again: a buffer for each read would have V8 go through
 * its whole heap every few dozen MiB to find which of them are free.
 */
export class BlockPool {
  readonly #idle: Buffer[] = []
  readonly #idleLong: Buffer[] = []
  #long = 0

  take(): Buffer {
    return this.#idle.pop() ?? Buffer.allocUnsafeSlow(BLOCK_BYTES)
  }

  /** Where there is one left; a block otherwise. */
  takeLong(): Buffer {
    const idle = this.#idleLong.pop()
    if (idle !== undefined) return idle
    if (this.#long === LONG_MAX) return this.take()
    this.#long += 1
    return Buffer.allocUnsafeSlow(LONG_BLOCK_BYTES)
  }

  give(block: Buffer): void {
    if (block.length === LONG_BLOCK_BYTES) this.#idleLong.push(block)
    else if (this.#idle.length < IDLE_MAX) this.#idle.push(block)
  }
}

/** The block of one reader: taken when it is first filled, given back once. */
export class LentBlock {
  readonly #take: () => Buffer
  readonly #pool: BlockPool
  #block: Buffer | undefined
  #isFilling = false
  #isEnded = false

  constructor(pool: BlockPool, length: 'block' | 'long' = 'block') {
    this.#pool = pool
    this.#take = () => (length === 'long' ? pool.takeLong() : pool.take())
  }

  /** The beginning of the block, as much of it as `read` has filled. One call at a time. Rejects where it has ended meanwhile. */
  async fill(read: (block: Buffer) => Promise<number>): Promise<Buffer> {
    this.#refuseEnded()
    const block = (this.#block ??= this.#take())
    this.#isFilling = true
    try {
      const length = await read(block)
      this.#refuseEnded()
      return block.subarray(0, length)
    } finally {
      this.#isFilling = false
      if (this.#isEnded) this.#giveBack()
    }
  }

  /** Between two reads, when the bytes of the one before are no longer needed: others may have the memory until the next. */
  rest(): void {
    if (!this.#isFilling) this.#giveBack()
  }

  /** At once, or when a read that is under way no longer writes into it. May be called again. */
  end(): void {
    this.#isEnded = true
    if (!this.#isFilling) this.#giveBack()
  }

  #refuseEnded(): void {
    if (this.#isEnded) throw new Error('the reader is closed')
  }

  #giveBack(): void {
    if (this.#block !== undefined) this.#pool.give(this.#block)
    this.#block = undefined
  }
}
