import { LRUCache } from 'lru-cache'
import type { Digest } from '../oci/digest.ts'
import { BLOCK_BYTES } from './blocks.ts'
import { DiskWatch, type DiskWatchOptions } from './disk-watch.ts'
import { diskBytesOfThread, NODE_FILE_WAYS, type FileCalls, type FileWays } from './file-calls.ts'

export type RecentReadsOptions = Partial<DiskWatchOptions> & {
  /** Default: node:fs. */
  readonly ways?: FileWays
  /** Of the times that are kept. Default 4 MiB: those of 130 GB, for a block takes 8 bytes. */
  readonly timesBytesMax?: number
}

const DEFAULTS = {
  ways: NODE_FILE_WAYS,
  elapsed: () => performance.now(),
  diskBytes: diskBytesOfThread,
  timesBytesMax: 4 * 1024 * 1024,
}

/** The block of stored content in which a byte lies. `size` is that of the content. */
export type BlockPlace = { readonly digest: Digest; readonly size: number; readonly position: number }

/** How long what was read counts as still in memory. Short: little memory is soon read over. */
export const RECENT_MS = 5_000
/** Beside the times of its blocks. */
const ENTRY_BYTES = 256

/**
 * Which blocks lie in the kernel's memory, as far as one can tell without asking it: Node has no read that rather fails than waits
 * (preadv2(2), RWF_NOWAIT). What was read a moment ago is taken to be there, and copied by the thread that asks: a trip through
 * the thread pool costs as much as the copy. Where that was wrong, threads read everything for a while.
 */
export class RecentReads {
  readonly #elapsed: () => number
  readonly #byThread: FileCalls
  readonly #atOnce: FileCalls
  readonly #watch: DiskWatch
  /** When each block was last read, by its number. */
  readonly #times: LRUCache<Digest, Float64Array>

  constructor(options: RecentReadsOptions = {}) {
    const { ways, elapsed, diskBytes, timesBytesMax } = { ...DEFAULTS, ...options }
    this.#elapsed = elapsed
    this.#watch = new DiskWatch({ elapsed, diskBytes })
    this.#byThread = ways.byThread
    this.#atOnce = watched(ways.atOnce, this.#watch)
    this.#times = new LRUCache({
      maxSize: timesBytesMax,
      sizeCalculation: ({ byteLength }) => byteLength + ENTRY_BYTES,
    })
  }

  /** How to read this block now. */
  way({ digest, position }: Omit<BlockPlace, 'size'>): FileCalls {
    const at = this.#times.get(digest)?.[blockAt(position)] ?? -Infinity
    const isRecent = this.#elapsed() - at < RECENT_MS
    return isRecent && !this.#watch.hasWaited() ? this.#atOnce : this.#byThread
  }

  isAtOnce(calls: FileCalls): boolean {
    return calls === this.#atOnce
  }

  /**
   * Told of `count` bytes that were read from there, either way: what could be read at once was still in memory, or else the belief
   * in everything has just ended. A part of a block says nothing about its rest.
   */
  note({ digest, size, position }: BlockPlace, count: number): void {
    if (position % BLOCK_BYTES !== 0 || count < Math.min(BLOCK_BYTES, size - position)) return
    const known = this.#times.get(digest)
    const times = known ?? new Float64Array(blockAt(size - 1) + 1).fill(-Infinity)
    times[blockAt(position)] = this.#elapsed()
    if (known === undefined) this.#times.set(digest, times)
  }
}

function blockAt(position: number): number {
  return Math.floor(position / BLOCK_BYTES)
}

function watched(calls: FileCalls, watch: DiskWatch): FileCalls {
  return {
    open: (path) => watch.call(() => calls.open(path)),
    size: (descriptor) => watch.call(() => calls.size(descriptor)),
    read: (descriptor, block, position) => watch.call(() => calls.read(descriptor, block, position)),
    close: (descriptor) => watch.call(() => calls.close(descriptor)),
  }
}
