import { open, type FileHandle } from 'node:fs/promises'
import { freeBytes } from '../free-bytes.ts'
import type { IncomingContent } from '../store/types.ts'

/** How far one reader has come; the spool keeps in memory what the slowest still needs. */
export type Cursor = { position: number }

export type SpoolOptions = {
  /** The file to spool to; absent or rejecting, everything goes through memory. */
  readonly createIncoming: (() => Promise<IncomingContent>) | undefined
  /** Bytes in memory at which append waits for readers. */
  readonly windowBytesMax: number
  /** Told once, when bytes begin to go through memory although there was to be a file. */
  readonly onDiskTrouble: () => void
  /** Told whenever more bytes can be read. */
  readonly onKept: () => void
}

/** Bytes that wait for the disk before upstream waits too. */
const QUEUED_BYTES_MAX = 512 * 1024

type Chunk = { readonly start: number; readonly bytes: Buffer }

/**
 * Bytes that one writer appends and many readers read at their own pace. On disk while the disk takes them: nobody
 * waits for anybody. When it does not (full, read-only, broken), later bytes pass through a window in memory, and the
 * writer waits for the slowest reader.
 */
export class BlobSpool {
  readonly #options: SpoolOptions
  #incoming: IncomingContent | undefined
  #file: FileHandle | undefined
  #fileBytes = 0
  #window: Chunk[] = []
  #queue: Buffer[] = []
  #queuedBytes = 0
  /** The one write under way, which goes on until nothing is queued. */
  #keeping: Promise<void> | undefined
  #received = 0
  #isOnDisk = false
  readonly #cursors = new Set<Cursor>()
  #hadReaders = false
  #wakeWriter: (() => void) | undefined

  private constructor(options: SpoolOptions) {
    this.#options = options
  }

  static async open(options: SpoolOptions): Promise<BlobSpool> {
    const spool = new BlobSpool(options)
    if (options.createIncoming === undefined) return spool
    try {
      spool.#incoming = await options.createIncoming()
      spool.#file = await open(spool.#incoming.path, 'r')
      spool.#isOnDisk = true
    } catch {
      // The store has reported why. One failure is enough to go without it.
      await spool.#incoming?.discard()
      spool.#incoming = undefined
      options.onDiskTrouble()
    }
    return spool
  }

  /** Bytes kept so far. */
  get received(): number {
    return this.#received
  }

  /** True while every byte goes to the file, so that the writer needs no readers. */
  get isOnDisk(): boolean {
    return this.#isOnDisk
  }

  /** True where a reader that starts at `position` still finds everything from there on. */
  reaches(position: number): boolean {
    const windowStart = this.#window[0]?.start ?? this.#received
    return position >= windowStart || windowStart === this.#fileBytes
  }

  /** A reader at `position`; give it back with `leave`. */
  enter(position: number): Cursor {
    const cursor = { position }
    this.#cursors.add(cursor)
    this.#hadReaders = true
    this.#trim()
    return cursor
  }

  leave(cursor: Cursor): void {
    this.#cursors.delete(cursor)
    this.#trim()
  }

  /**
   * Takes bytes that are the spool's own from here on, and resolves when there is room for more. They are kept, and `onKept`
   * is told, when those before them are. Rejects with the reason of `signal`.
   */
  async append(chunk: Buffer, signal: AbortSignal): Promise<void> {
    this.#queue.push(chunk)
    this.#queuedBytes += chunk.length
    this.#keeping ??= this.#keepQueued(signal)
    // It rejects where `signal` is aborted, of which every caller hears.
    this.#keeping.catch(() => undefined)
    if (this.#queuedBytes >= QUEUED_BYTES_MAX || !this.#isOnDisk) await this.#keeping
  }

  /** Resolves when everything that was appended is kept, and not otherwise. */
  async flush(signal: AbortSignal): Promise<void> {
    await this.#keeping
    signal.throwIfAborted()
    if (this.#queue.length > 0) throw new Error('the spool has not kept all that it was given')
  }

  /** What gathers while the disk writes goes to it in one go: a trip through the thread pool costs as much as 64 KiB. */
  async #keepQueued(signal: AbortSignal): Promise<void> {
    try {
      while (this.#queue.length > 0) {
        const chunks = this.#queue
        this.#queue = []
        this.#queuedBytes = 0
        if (!this.#isOnDisk || !(await this.#appendToFile(chunks))) await this.#appendToWindow(chunks, signal)
      }
    } finally {
      // In the turn in which the queue was seen to be empty: what is appended after it begins anew.
      this.#keeping = undefined
    }
  }

  async #appendToFile(chunks: readonly Buffer[]): Promise<boolean> {
    try {
      await this.#incoming?.write(...chunks)
    } catch {
      // Reported by the store. What is in the file so far is whole and stays readable.
      this.#isOnDisk = false
      this.#options.onDiskTrouble()
      return false
    }
    const size = chunks.reduce((sum, { length }) => sum + length, 0)
    this.#fileBytes += size
    this.#received += size
    for (const chunk of chunks) freeBytes(chunk)
    this.#options.onKept()
    return true
  }

  async #appendToWindow(chunks: readonly Buffer[], signal: AbortSignal): Promise<void> {
    for (const chunk of chunks) {
      this.#window.push({ start: this.#received, bytes: chunk })
      this.#received += chunk.length
      this.#options.onKept()
      // oxlint-disable-next-line no-await-in-loop -- the window is full or not, chunk by chunk
      await this.#roomInWindow(signal)
    }
  }

  /** At most `count` bytes from the cursor on, which moves, where they are in memory; the caller asks only for what is kept. */
  peek(cursor: Cursor, count: number): Buffer | undefined {
    const { position } = cursor
    if (position < this.#fileBytes) return undefined
    const chunk = this.#window.find(
      ({ start, bytes }) => position >= start && position < start + bytes.length,
    )
    if (chunk === undefined) throw new Error('the bytes have left the spool')
    const from = position - chunk.start
    const piece = chunk.bytes.subarray(from, from + count)
    this.#move(cursor, piece.length)
    return piece
  }

  /** The same where they are in the file: into `block`. Bytes. */
  async read(cursor: Cursor, block: Buffer): Promise<number> {
    if (this.#file === undefined) throw new Error('the spool is closed')
    const count = Math.min(block.length, this.#fileBytes - cursor.position)
    const { bytesRead } = await this.#file.read(block, 0, count, cursor.position)
    if (bytesRead === 0) throw new Error('the spool file is shorter than what was written to it')
    this.#move(cursor, bytesRead)
    return bytesRead
  }

  #move(cursor: Cursor, count: number): void {
    cursor.position += count
    this.#trim()
  }

  /** Forgets what every reader has, and lets the writer go on where that made room. */
  #trim(): void {
    const needed = this.#firstNeeded()
    const kept = this.#window.findIndex(({ start, bytes }) => start + bytes.length > needed)
    this.#window.splice(0, kept === -1 ? this.#window.length : kept)
    if (this.#hasRoom()) this.#wakeWriter?.()
  }

  /** Until the first reader everything; when all have what they want, nothing. */
  #firstNeeded(): number {
    if (!this.#hadReaders) return 0
    if (this.#cursors.size === 0) return this.#received
    return Math.min(...[...this.#cursors].map(({ position }) => position))
  }

  #hasRoom(): boolean {
    return this.#received - Math.max(this.#fileBytes, this.#firstNeeded()) < this.#options.windowBytesMax
  }

  async #roomInWindow(signal: AbortSignal): Promise<void> {
    this.#trim()
    signal.throwIfAborted()
    if (this.#hasRoom()) return
    const { promise, resolve } = Promise.withResolvers<void>()
    const wake = (): void => resolve()
    this.#wakeWriter = wake
    signal.addEventListener('abort', wake, { once: true })
    await promise
    signal.removeEventListener('abort', wake)
    this.#wakeWriter = undefined
    signal.throwIfAborted()
  }

  /** Makes the file content, where it holds everything. The digest was checked. Never rejects. */
  async commit(): Promise<void> {
    if (!this.#isOnDisk) return await this.discard()
    try {
      await this.#incoming?.commit()
    } catch {
      // Reported by the store; readers have the open file.
    }
    this.#incoming = undefined
  }

  /** Removes the file's name; readers that are still there read on from the open file. Never rejects. */
  async discard(): Promise<void> {
    await this.#keeping?.catch(() => undefined)
    await this.#incoming?.discard()
    this.#incoming = undefined
  }

  /** When neither the writer nor a reader needs it any more. */
  async close(): Promise<void> {
    const file = this.#file
    this.#file = undefined
    this.#window = []
    await file?.close().catch(() => undefined)
  }
}
