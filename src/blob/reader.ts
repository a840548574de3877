import type { ByteReader } from '../byte-reader.ts'
import { LentBlock, type BlockPool } from '../store/blocks.ts'
import type { BlobSpool, Cursor } from './spool.ts'

export type ArrivingOptions = {
  readonly spool: BlobSpool
  /** First and last byte to give, inclusive; `end` is Infinity where the size is unknown. */
  readonly range: { readonly start: number; readonly end: number }
  readonly blocks: BlockPool
  /** Undefined while the blob arrives, then whether all of it is right. Throws where it is not, or broke off. */
  readonly isVerified: () => boolean
  /** Until something has changed. */
  readonly progress: () => Promise<void>
  /** Told once. */
  readonly onClose: () => void
}

/**
 * Reads a blob while it arrives, and lets go of its last byte only when the whole blob has been verified: a client that was given
 * wrong bytes sees its answer break off before the end.
 */
export class ArrivingReader implements ByteReader {
  readonly #options: ArrivingOptions
  readonly #block: LentBlock
  readonly #cursor: Cursor
  /** The last byte of a range that has been read before the blob was verified: the spool need not keep it. */
  #held: Buffer | undefined
  #isClosed = false

  constructor(options: ArrivingOptions) {
    this.#options = options
    this.#block = new LentBlock(options.blocks)
    this.#cursor = options.spool.enter(options.range.start)
  }

  async next(): Promise<Buffer | undefined> {
    for (;;) {
      if (this.#isClosed) throw new Error('the reader is closed')
      const isVerified = this.#options.isVerified()
      const count = this.#readable(isVerified)
      if (count > 0) {
        const piece = await this.#read(count)
        const ready = this.#isAtEnd() && !isVerified ? this.#holdBack(piece) : piece
        if (ready.length > 0) return ready
      } else if (isVerified) {
        return this.#takeHeld()
      } else {
        await this.#options.progress()
      }
    }
  }

  /** Bytes. The last byte that has arrived may be the last of the blob, where nobody has said how large it is. */
  #readable(isVerified: boolean): number {
    const { spool, range } = this.#options
    const arrived = isVerified || range.end < Infinity ? spool.received : spool.received - 1
    return Math.min(arrived, range.end + 1) - this.#cursor.position
  }

  async #read(count: number): Promise<Buffer> {
    const { spool } = this.#options
    const inMemory = spool.peek(this.#cursor, count)
    if (inMemory !== undefined) return inMemory
    return await this.#block.fill((block) => spool.read(this.#cursor, block.subarray(0, count)))
  }

  #isAtEnd(): boolean {
    return this.#cursor.position > this.#options.range.end
  }

  #holdBack(piece: Buffer): Buffer {
    const { spool } = this.#options
    spool.leave(this.#cursor)
    this.#held = Buffer.from(piece.subarray(-1))
    return piece.subarray(0, -1)
  }

  #takeHeld(): Buffer | undefined {
    const held = this.#held
    this.#held = undefined
    return held
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#block.end()
    this.#options.spool.leave(this.#cursor)
    this.#options.onClose()
  }
}
