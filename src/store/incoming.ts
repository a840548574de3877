import type { FileHandle } from 'node:fs/promises'
import { StoreError, storeError } from './error.ts'
import type { IncomingContent } from './types.ts'

/** What a temporary file needs of the store that it is for. */
export type IncomingOwner = {
  /** Told before `count` more bytes are written; throws StoreError `full` where `total` may never be content. */
  reserve(count: number, total: number): Promise<void>
  /** Moves the file, synced and closed, into place; its `size` bytes are content then, and no longer on their way. */
  adopt(path: string, size: number): Promise<void>
  /** `count` bytes that were reserved will not become content. */
  release(count: number): void
  remove(path: string): Promise<void>
  onError(error: StoreError): void
}

/** Bytes on their way into the store. Every error is reported to the owner and thrown as StoreError. */
export class IncomingFile implements IncomingContent {
  readonly path: string
  readonly #handle: FileHandle
  readonly #owner: IncomingOwner
  #size = 0
  #state: 'open' | 'closed' = 'open'

  constructor(path: string, handle: FileHandle, owner: IncomingOwner) {
    this.path = path
    this.#handle = handle
    this.#owner = owner
  }

  async write(...chunks: readonly Uint8Array[]): Promise<void> {
    try {
      if (this.#state === 'closed') throw new StoreError('unavailable', 'the temporary file is closed')
      const size = chunks.reduce((sum, { length }) => sum + length, 0)
      await this.#owner.reserve(size, this.#size + size)
      this.#size += size
      await writeAll(this.#handle, chunks)
    } catch (error) {
      throw this.#report('cannot write content', error)
    }
  }

  async commit(): Promise<void> {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    try {
      try {
        // Before the rename: otherwise a power cut can leave the name with none of the bytes.
        await this.#handle.sync()
      } finally {
        await this.#handle.close()
      }
      await this.#owner.adopt(this.path, this.#size)
    } catch (error) {
      await this.#owner.remove(this.path)
      this.#owner.release(this.#size)
      throw this.#report('cannot store content', error)
    }
  }

  async discard(): Promise<void> {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    try {
      await this.#handle.close()
    } catch (error) {
      this.#report('cannot close a temporary file', error)
    }
    await this.#owner.remove(this.path)
    this.#owner.release(this.#size)
  }

  #report(what: string, cause: unknown): StoreError {
    const error = storeError(what, cause)
    this.#owner.onError(error)
    return error
  }
}

/** A system call may take less than it was given (write(2)), and says so without an error. */
async function writeAll(handle: FileHandle, chunks: readonly Uint8Array[]): Promise<void> {
  let left = chunks.filter(({ length }) => length > 0)
  while (left.length > 0) {
    // At the handle's own position.
    const { bytesWritten } = await handle.writev(left)
    left = after(left, bytesWritten)
  }
}

function after(chunks: readonly Uint8Array[], count: number): Uint8Array[] {
  let toSkip = count
  return chunks.flatMap((chunk) => {
    const skipped = Math.min(toSkip, chunk.length)
    toSkip -= skipped
    return skipped === chunk.length ? [] : [chunk.subarray(skipped)]
  })
}
