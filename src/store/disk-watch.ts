import { readFileSync } from 'node:fs'

export type DiskWatchOptions = {
  /** Milliseconds, monotonic. */
  readonly elapsed: () => number
  /** Bytes that the disk was asked for by this thread, and no other, so far. NaN where nobody counts them. */
  readonly diskBytes: () => number
}

/** A block in memory takes 0.02 to 0.2 ms. Beyond this, where the disk was asked meanwhile, everybody waited for it. */
export const SLOW_MS = 0.25
/** Beyond this nobody asks why: some file systems (FUSE) read on nobody's account. Less may be a wait for the core, 4 ms at a time. */
export const STALLED_MS = 20
/** How long a wait for the disk is remembered. */
export const DISTRUST_MS = 10_000
/** How old the count may be that a call is compared with: this thread reads its database as well. To count takes 6 us. */
export const COUNT_AGE_MS = 100

/**
 * Tells whether calls that everybody waits for have waited for the disk. The clock alone cannot: where the core is shared, some calls
 * in a thousand are interrupted for as long as a disk takes. So the kernel is asked as well, which counts by thread what is read.
 */
export class DiskWatch {
  readonly #elapsed: () => number
  readonly #diskBytes: () => number
  #waitedAt = -Infinity
  #count = { bytes: NaN, at: -Infinity }

  constructor({ elapsed, diskBytes }: DiskWatchOptions) {
    this.#elapsed = elapsed
    this.#diskBytes = diskBytes
  }

  /** Whether one of them has, not long ago. */
  hasWaited(): boolean {
    return this.#elapsed() - this.#waitedAt < DISTRUST_MS
  }

  call<T>(work: () => T): T {
    const begun = this.#elapsed()
    if (begun - this.#count.at >= COUNT_AGE_MS) this.#count = { bytes: this.#diskBytes(), at: begun }
    try {
      return work()
    } finally {
      const ended = this.#elapsed()
      if (ended - begun >= SLOW_MS && this.#isWait(ended - begun)) this.#waitedAt = ended
    }
  }

  #isWait(tookMs: number): boolean {
    // Never equal where nobody counts: then the clock has to do.
    return tookMs >= STALLED_MS || this.#diskBytes() !== this.#count.bytes
  }
}

/** As DiskWatchOptions asks: proc_pid_io(5). NaN but on Linux, and for a process that nobody may look into. */
export function diskBytesOfThread(): number {
  try {
    return Number(/^read_bytes: (\d+)$/m.exec(readFileSync('/proc/thread-self/io', 'latin1'))?.[1])
  } catch {
    return NaN
  }
}
