import type { Digest } from '../oci/digest.ts'
import { BLOCK_BYTES } from './blocks.ts'
import type { FileCalls } from './file-calls.ts'
import type { RecentReads } from './recent-reads.ts'

/** Content to be read from `position` on. */
export type StoredFilePlace = { readonly digest: Digest; readonly path: string; readonly position: number }

/** Rejects as open(2) and fstat(2) fail, with nothing left open. */
export async function openStoredFile(
  { digest, path, position }: StoredFilePlace,
  reads: RecentReads,
): Promise<StoredFile> {
  const calls = reads.way({ digest, position })
  const descriptor = await calls.open(path)
  try {
    const size = await calls.size(descriptor)
    return new StoredFile({ descriptor, digest, size, reads, calls })
  } catch (error) {
    await close(calls, descriptor)
    throw error
  }
}

type Opened = {
  readonly descriptor: number
  readonly digest: Digest
  readonly size: number
  readonly reads: RecentReads
  readonly calls: FileCalls
}

/** An open file of content, read by a thread or at once: block by block, whichever way is right at that moment. */
export class StoredFile {
  /** In bytes, when it was opened. */
  readonly size: number
  readonly #descriptor: number
  readonly #digest: Digest
  readonly #reads: RecentReads
  /** By which the last was done. */
  #calls: FileCalls
  #isReading = false
  #isClosed = false

  constructor({ descriptor, digest, size, reads, calls }: Opened) {
    this.size = size
    this.#descriptor = descriptor
    this.#digest = digest
    this.#reads = reads
    this.#calls = calls
  }

  /** Whether the last call held the event loop, which others wait for. */
  get wasAtOnce(): boolean {
    return this.#reads.isAtOnce(this.#calls)
  }

  /** Gives how many bytes lie in `block`: never beyond the end of a block of the file. One call at a time. */
  async read(block: Buffer, position: number): Promise<number> {
    const part = block.subarray(0, BLOCK_BYTES - (position % BLOCK_BYTES))
    this.#calls = this.#reads.way({ digest: this.#digest, position })
    this.#isReading = true
    try {
      const count = await this.#calls.read(this.#descriptor, part, position)
      this.#reads.note({ digest: this.#digest, size: this.size, position }, count)
      return count
    } finally {
      this.#isReading = false
      if (this.#isClosed) void close(this.#calls, this.#descriptor)
    }
  }

  /** At once, or after a read that is under way: another file could have the descriptor before a thread comes to read from it. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    if (!this.#isReading) void close(this.#calls, this.#descriptor)
  }
}

async function close(calls: FileCalls, descriptor: number): Promise<void> {
  try {
    await calls.close(descriptor)
  } catch {
    // There is nobody left whom this would concern: nothing was written.
  }
}
