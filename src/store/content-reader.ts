import type { FileHandle } from 'node:fs/promises'
import { setImmediate } from 'node:timers/promises'
import type { ByteReader } from '../byte-reader.ts'
import type { Digest } from '../oci/digest.ts'
import { BLOCK_BYTES, BlockPool, LentBlock } from './blocks.ts'
import { StoreError } from './error.ts'
import { RecentReads, type RecentReadsOptions } from './recent-reads.ts'

/** What all readers of a store have in common. */
export type Reading = {
  readonly blocks: BlockPool
  readonly reads: RecentReads
  /** Until the event loop has looked after everybody else. */
  readonly nextTurn: () => Promise<unknown>
}

export type ReadingOptions = {
  readonly reads?: RecentReadsOptions
  /** Default: setImmediate. */
  readonly nextTurn?: () => Promise<unknown>
}

export function createReading({ reads, nextTurn = setImmediate }: ReadingOptions): Reading {
  return { blocks: new BlockPool(), reads: new RecentReads(reads), nextTurn }
}

export type ContentReaderOptions = Reading & {
  /** Open; the reader closes it. */
  readonly file: FileHandle
  readonly digest: Digest
  /** Of all of it, in bytes. */
  readonly size: number
  /** Of bytes, inclusive; `end` is -1 where there are none. */
  readonly range: { readonly start: number; readonly end: number }
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
  /** Whether the last read was made by the thread that serves everybody. */
  #wasAtOnce = false
  #isClosed = false

  constructor(options: ContentReaderOptions) {
    this.#options = options
    this.#block = new LentBlock(options.blocks)
    this.#position = options.range.start
  }

  async next(): Promise<Buffer | undefined> {
    const left = this.#options.range.end + 1 - this.#position
    if (left <= 0) return undefined
    if (this.#wasAtOnce) await this.#letOthers()
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
    const { digest, size, reads, onFailure } = this.#options
    const position = this.#position
    // Never beyond the end of a block of the content: what is known of it is known block by block.
    const bytesMax = Math.min(left, BLOCK_BYTES - (position % BLOCK_BYTES))
    try {
      const bytesRead = await this.#readInto(block.subarray(0, bytesMax), position)
      // A regular file gives at least a byte, except at its end (read(2)), and its length was looked at when it was opened.
      if (bytesRead === 0) throw new StoreError('damaged', 'a file has become shorter while it was read')
      reads.note({ digest, size, position }, bytesRead)
      return bytesRead
    } catch (error) {
      onFailure(error)
      throw error
    }
  }

  async #readInto(block: Buffer, position: number): Promise<number> {
    const { file, digest, reads } = this.#options
    this.#wasAtOnce = reads.isInMemory({ digest, position })
    if (this.#wasAtOnce) return reads.readAtOnce(file.fd, block, position)
    return (await file.read(block, 0, block.length, position)).bytesRead
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
