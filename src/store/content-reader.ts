import type { ByteReader } from '../byte-reader.ts'
import { LentBlock, type BlockPool } from './blocks.ts'
import { StoreError } from './error.ts'
import type { StoredFile } from './stored-file.ts'

export type ContentReaderOptions = {
  /** Open; the reader closes it. */
  readonly file: StoredFile
  /** Of bytes, inclusive; `end` is -1 where there are none. */
  readonly range: { readonly start: number; readonly end: number }
  readonly blocks: BlockPool
  /** Until the event loop has looked after everybody else. */
  readonly nextTurn: () => Promise<unknown>
  /** Told once, before `next` rejects: the disk failed, or the file has become shorter. */
  readonly onFailure: (cause: unknown) => void
  /** Told once. */
  readonly onClose: () => void
}

/** Reads stored content a block at a time, each when it is asked for: what is read ahead is the kernel's business. */
export class ContentReader implements ByteReader {
  readonly #options: ContentReaderOptions
  readonly #block: LentBlock
  #position: number
  #isClosed = false

  constructor(options: ContentReaderOptions) {
    this.#options = options
    this.#block = new LentBlock(options.blocks)
    this.#position = options.range.start
  }

  async next(): Promise<Buffer | undefined> {
    const left = this.#options.range.end + 1 - this.#position
    if (left <= 0) return undefined
    if (this.#options.file.wasAtOnce) await this.#letOthers()
    const piece = await this.#block.fill((block) => this.#read(block, left))
    this.#position += piece.length
    return piece
  }

  /** What the kernel takes at once is written without a turn of the loop, so a fast client alone would have all of them. */
  async #letOthers(): Promise<void> {
    // A block that goes round among all readers stays in the cache of the core.
    this.#block.rest()
    await this.#options.nextTurn()
  }

  async #read(block: Buffer, left: number): Promise<number> {
    const { file, onFailure } = this.#options
    try {
      const bytesRead = await file.read(block.subarray(0, Math.min(left, block.length)), this.#position)
      // A regular file gives at least a byte, except at its end (read(2)), and its length was looked at when it was opened.
      if (bytesRead === 0) throw new StoreError('damaged', 'a file has become shorter while it was read')
      return bytesRead
    } catch (error) {
      onFailure(error)
      throw error
    }
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#block.end()
    this.#options.file.close()
    this.#options.onClose()
  }
}
