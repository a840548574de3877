import type { FileHandle } from 'node:fs/promises'
import { setImmediate } from 'node:timers/promises'
import type { ByteReader } from '../byte-reader.ts'
import { BLOCK_BYTES, BlockPool, LentBlock } from './blocks.ts'
import { StoreError } from './error.ts'
import { SharedBlocks, type SharedBlock } from './shared-blocks.ts'

/** What all readers of a store have in common. */
export type Reading = {
  readonly blocks: BlockPool
  readonly shared: SharedBlocks
  /** Until the event loop has looked after everybody else. */
  readonly nextTurn: () => Promise<unknown>
}

export type ReadingOptions = {
  /** Default: setImmediate. */
  readonly nextTurn?: () => Promise<unknown>
}

export function createReading({ nextTurn = setImmediate }: ReadingOptions): Reading {
  const blocks = new BlockPool()
  return { blocks, shared: new SharedBlocks(blocks), nextTurn }
}

export type OpenContent = {
  /** Open; the reader closes it. */
  readonly file: FileHandle
  /** Stands for this file as it is: another one of the same name, or other bytes in it, have another identity. */
  readonly identity: string
  /** Of all of it, in bytes. */
  readonly size: number
  /** Of bytes, inclusive; `end` is -1 where there are none. */
  readonly range: { readonly start: number; readonly end: number }
}

type ContentReaderOptions = Reading &
  OpenContent & {
    /** Whether others read the same content now. */
    readonly isShared: () => boolean
    /** Told once, before `next` rejects: the disk failed, or the file has become shorter. */
    readonly onFailure: (cause: unknown) => void
    /** Told once. */
    readonly onClose: () => void
  }

/**
 * Reads stored content a block at a time, each when it is asked for: what is read ahead is the kernel's business. Beside others who
 * read the same, from blocks that are read once for all of them; alone, into memory that it fills again and again.
 */
export class ContentReader implements ByteReader {
  readonly #options: ContentReaderOptions
  readonly #own: LentBlock
  #shared: SharedBlock | undefined
  /** Whether nobody had to be waited for since the event loop came round. */
  #wasAtOnce = false
  #position: number
  /** Whether it reads a block for others, too, which goes on when this reader is closed. */
  #isFilling = false
  #isClosed = false

  constructor(options: ContentReaderOptions) {
    this.#options = options
    this.#own = new LentBlock(options.blocks, 'long')
    this.#position = options.range.start
  }

  async next(): Promise<Buffer | undefined> {
    const left = this.#options.range.end + 1 - this.#position
    this.#letGo()
    if (left <= 0) return undefined
    const piece = this.#options.isShared() ? await this.#nextShared(left) : await this.#nextOwn(left)
    this.#position += piece.length
    return piece
  }

  #letGo(): void {
    this.#shared?.release()
    this.#shared = undefined
  }

  async #nextOwn(left: number): Promise<Buffer> {
    this.#wasAtOnce = false
    return await this.#own.fill((block) => this.#read(block.subarray(0, left), this.#position))
  }

  async #nextShared(left: number): Promise<Buffer> {
    this.#own.rest()
    // What the kernel takes at once is written without a turn of the loop, so a fast client alone would have all of them.
    if (this.#wasAtOnce) await this.#options.nextTurn()
    this.#refuseClosed()
    const offset = this.#position % BLOCK_BYTES
    const { bytes } = await this.#hold(this.#position - offset)
    return bytes.subarray(offset, offset + left)
  }

  /** The block of the content that begins at `start`. */
  async #hold(start: number): Promise<SharedBlock> {
    const { shared, identity } = this.#options
    const key = `${identity} ${start}`
    const known = shared.peek(key)
    this.#wasAtOnce = known !== undefined
    const block = known ?? (await shared.take(key, (memory) => this.#readBlock(memory, start)))
    this.#shared = block
    if (this.#isClosed) this.#letGo()
    this.#refuseClosed()
    return block
  }

  #refuseClosed(): void {
    if (this.#isClosed) throw new Error('the reader is closed')
  }

  /** All of it, for others than this reader, too. */
  async #readBlock(block: Buffer, start: number): Promise<number> {
    const length = Math.min(BLOCK_BYTES, this.#options.size - start)
    let filled = 0
    this.#isFilling = true
    try {
      while (filled < length) filled += await this.#read(block.subarray(filled, length), start + filled)
      return filled
    } finally {
      this.#isFilling = false
      if (this.#isClosed) this.#closeFile()
    }
  }

  async #read(memory: Buffer, position: number): Promise<number> {
    const { file, onFailure } = this.#options
    try {
      const { bytesRead } = await file.read(memory, 0, memory.length, position)
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
    this.#own.end()
    this.#letGo()
    if (!this.#isFilling) this.#closeFile()
    this.#options.onClose()
  }

  #closeFile(): void {
    // Waits for a read that is under way. There is nobody left whom a failure would concern.
    void this.#options.file.close().catch(() => undefined)
  }
}
