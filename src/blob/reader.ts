import { Readable } from 'node:stream'
import type { Cursor } from './spool.ts'

/** Bytes a read, and a stream's buffer. */
const READ_BYTES = 256 * 1024

export type ReaderSource = {
  /** Last byte to give, inclusive; Infinity where the size is unknown. */
  readonly end: number
  readonly cursor: Cursor
  /** Waits for bytes at the cursor; undefined after the last byte of a verified blob; rejects where it failed. */
  read(lengthMax: number): Promise<Buffer | undefined>
  verified(): Promise<void>
  /** The reader has all it wants: nothing needs to be kept for it. */
  leaveSpool(): void
  leave(): void
}

/**
 * A stream that stays one chunk behind what it has read, and lets go of the last only when the whole blob has been
 * verified: a client that was given wrong bytes sees its answer break off before the end.
 */
export function createReader(source: ReaderSource): Readable {
  let held: Buffer | undefined

  async function next(): Promise<Buffer | undefined> {
    const wanted = source.end + 1 - source.cursor.position
    if (wanted > 0) return await source.read(Math.min(READ_BYTES, wanted))
    source.leaveSpool()
    await source.verified()
    return undefined
  }

  async function advance(stream: Readable): Promise<void> {
    while (!stream.destroyed) {
      const chunk = await next()
      if (stream.destroyed) return
      const ready = held
      held = chunk
      if (ready !== undefined) stream.push(ready)
      if (chunk === undefined) stream.push(null)
      if (ready !== undefined || chunk === undefined) return
    }
  }

  return new Readable({
    highWaterMark: READ_BYTES,
    read() {
      advance(this).catch((error: unknown) => {
        this.destroy(error instanceof Error ? error : new Error(String(error)))
      })
    },
    destroy(error, callback) {
      held = undefined
      source.leaveSpool()
      source.leave()
      callback(error)
    },
  })
}
