import type { FileHandle } from 'node:fs/promises'
import type { ByteReader } from '../byte-reader.ts'
import { LentBlock, type BlockPool } from './blocks.ts'
import { StoreError } from './error.ts'

export type ContentReaderOptions = {
  /** Open; the reader closes it. */
  readonly file: FileHandle
  /** Of bytes, inclusive; `end` is -1 where there are none. */
  readonly range: { readonly start: number; readonly end: number }
  readonly blocks: BlockPool
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
    const piece = await this.#block.fill((block) => this.#read(block, left))
    this.#position += piece.length
    return piece
  }

  async #read(block: Buffer, left: number): Promise<number> {
    const { file, onFailure } = this.#options
    try {
      const { bytesRead } = await file.read(block, 0, Math.min(left, block.length), this.#position)
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
    // Waits for a read that is under way. There is nobody left whom a failure would concern.
    void this.#options.file.close().catch(() => undefined)
    this.#options.onClose()
  }
}
