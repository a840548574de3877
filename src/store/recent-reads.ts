import { readSync } from 'node:fs'
import { LRUCache } from 'lru-cache'
import type { Digest } from '../oci/digest.ts'
import { BLOCK_BYTES } from './blocks.ts'
import { diskBytesOfThread, DiskWatch, type DiskWatchOptions } from './disk-watch.ts'

/** A piece of stored content from `position` on. `size` is that of all of it, in bytes. */
export type ContentPlace = { readonly digest: Digest; readonly size: number; readonly position: number }

/** Into the beginning of `block`; how many bytes that were. Throws what read(2) says. */
export type ReadAtOnce = (descriptor: number, block: Buffer, position: number) => number

export type RecentReadsOptions = Partial<DiskWatchOptions> & {
  /** Default: node:fs. */
  readonly readAtOnce?: ReadAtOnce
  /** Of the times that are kept. Default 4 MiB: those of 130 GB, for a block takes 8 bytes. */
  readonly timesBytesMax?: number
}

const DEFAULTS = {
  readAtOnce: (descriptor: number, block: Buffer, position: number) =>
    readSync(descriptor, block, 0, block.length, position),
  elapsed: () => performance.now(),
  diskBytes: diskBytesOfThread,
  timesBytesMax: 4 * 1024 * 1024,
}

/** How long what was read counts as still in memory. Short: little memory is soon read over. */
export const RECENT_MS = 5_000
/** Beside the times of its blocks. */
const ENTRY_BYTES = 256

/**
 * Which blocks lie in the kernel's memory, as far as one can tell without asking it: Node has no read that rather fails than waits
 * (preadv2(2), RWF_NOWAIT). What was read a moment ago is taken to be there, and may be copied by the thread that asks: a trip
 * through the thread pool costs as much as the copy. Where that was wrong, nothing is taken to be there for a while.
 */
export class RecentReads {
  readonly #elapsed: () => number
  readonly #readAtOnce: ReadAtOnce
  readonly #watch: DiskWatch
  readonly #timesBytesMax: number
  /** When each block was last read, by its number. */
  readonly #times: LRUCache<Digest, Float64Array>

  constructor(options: RecentReadsOptions = {}) {
    const { readAtOnce, elapsed, diskBytes, timesBytesMax } = { ...DEFAULTS, ...options }
    this.#elapsed = elapsed
    this.#readAtOnce = readAtOnce
    this.#watch = new DiskWatch({ elapsed, diskBytes })
    this.#timesBytesMax = timesBytesMax
    this.#times = new LRUCache({
      maxSize: timesBytesMax,
      sizeCalculation: ({ byteLength }) => byteLength + ENTRY_BYTES,
    })
  }

  /** Whether the block there may be read at once. */
  isInMemory({ digest, position }: Pick<ContentPlace, 'digest' | 'position'>): boolean {
    const readAt = this.#times.get(digest)?.[blockAt(position)] ?? -Infinity
    return this.#elapsed() - readAt < RECENT_MS && !this.#watch.hasWaited()
  }

  readAtOnce(descriptor: number, block: Buffer, position: number): number {
    return this.#watch.call(() => this.#readAtOnce(descriptor, block, position))
  }

  /**
   * To be told of `count` bytes that were read from there, either way: what could be read at once was still in memory, or else the
   * belief in everything has just ended. A part of a block says nothing about its rest.
   */
  note({ digest, size, position }: ContentPlace, count: number): void {
    if (position % BLOCK_BYTES !== 0 || count < Math.min(BLOCK_BYTES, size - position)) return
    const blocks = blockAt(size - 1) + 1
    if (blocks * Float64Array.BYTES_PER_ELEMENT + ENTRY_BYTES > this.#timesBytesMax) return
    const known = this.#times.get(digest)
    const times = known ?? new Float64Array(blocks).fill(-Infinity)
    times[blockAt(position)] = this.#elapsed()
    if (known === undefined) this.#times.set(digest, times)
  }
}

function blockAt(position: number): number {
  return Math.floor(position / BLOCK_BYTES)
}
