/** What waits for a reader that does not read. Beyond it lines are lost: what was decided is in the store all the same. */
const LOG_WAITING_BYTES_MAX = 32 * 1024 * 1024
/** Until a reader that took nothing, or a disk that was full, is tried again. */
const RETRY_MS = 100
/** At the end: for a reader that takes nothing meanwhile. */
const SETTLE_MS = 1_000
const LINE_FEED = 0x0a

/** Where a log goes: a file, a pipe, a terminal. */
export type LogFile = {
  /** As that of node:fs: it may take less than all. */
  write(bytes: Buffer, done: (error: NodeJS.ErrnoException | null, taken: number) => void): void
  /** Returns how many bytes it took. */
  writeSync(bytes: Buffer): number
}

export type LogQueueDeps = {
  readonly file: LogFile
  /** Calls back after that many milliseconds, unless the process has ended by then. */
  readonly later: (call: () => void, ms: number) => void
  /** Told how many lines were lost: nobody reads them in time. */
  readonly onDropped: (lines: number) => void
}

type Waiting = { bytes: Buffer; readonly onWritten: () => void }

/**
 * Whole lines that wait until those before them are written. What fails is tried again from where it failed, so that no line is
 * broken by one that follows.
 */
export class LogQueue {
  readonly #deps: LogQueueDeps
  readonly #waiting: Waiting[] = []
  #waitingBytes = 0
  /** How often the file took something. */
  #pieces = 0
  /** Of the first: `writing` until the file has said how much it took, `failed` until it is tried again. */
  #state: 'idle' | 'writing' | 'failed' = 'idle'
  #isSync = false
  /** Nobody has read anything for long, and who ends waits no more. */
  #isStuck = false
  /** Nobody will read any more. */
  #isGone = false
  #onSettled: (() => void)[] = []

  constructor(deps: LogQueueDeps) {
    this.#deps = deps
  }

  /** `onWritten`: the bytes are not needed any more. */
  push(bytes: Buffer, onWritten: () => void): void {
    if (this.#isGone || this.#waitingBytes + bytes.length > LOG_WAITING_BYTES_MAX) {
      this.#deps.onDropped(linesIn(bytes))
      onWritten()
      return
    }
    this.#waitingBytes += bytes.length
    this.#waiting.push({ bytes, onWritten })
    if (this.#isSync) this.#writeSync()
    else if (this.#state === 'idle') this.#write()
  }

  /** Resolves when all is written, or something cannot be, or nobody has read anything for a second. */
  async settled(): Promise<void> {
    if (this.#state !== 'writing') return
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#onSettled.push(resolve)
    this.#settleLater(resolve)
    await promise
  }

  #settleLater(resolve: () => void): void {
    const pieces = this.#pieces
    this.#deps.later(() => {
      if (this.#pieces !== pieces) return this.#settleLater(resolve)
      this.#isStuck = true
      resolve()
    }, SETTLE_MS)
  }

  /**
   * From now on, and with all that waits, `push` returns when it is written, or lost and counted where nobody reads. For a
   * process that ends.
   */
  becomeSync(): void {
    this.#isSync = true
    this.#writeSync()
  }

  #write(): void {
    const [first] = this.#waiting
    this.#state = first === undefined ? 'idle' : 'writing'
    if (first === undefined) this.#tellSettled()
    else this.#deps.file.write(first.bytes, (error, taken) => this.#took(first, error, taken))
  }

  #took(first: Waiting, error: NodeJS.ErrnoException | null, taken: number): void {
    if (error?.code === 'EPIPE') return this.#give()
    if (error !== null) {
      this.#state = 'failed'
      this.#deps.later(() => this.#write(), RETRY_MS)
      this.#tellSettled()
      return
    }
    this.#pieces += 1
    this.#waitingBytes -= taken
    first.bytes = first.bytes.subarray(taken)
    if (first.bytes.length === 0) {
      this.#waiting.shift()
      first.onWritten()
    }
    this.#write()
  }

  /** Nobody reads it, so it takes no memory. */
  #give(): void {
    this.#isGone = true
    this.#drop(this.#waiting.splice(0))
    this.#write()
  }

  #drop(lost: readonly Waiting[]): void {
    for (const { bytes } of lost) {
      this.#waitingBytes -= bytes.length
      this.#deps.onDropped(linesIn(bytes))
    }
  }

  /** But for what the file is taking at this moment. */
  #writeSync(): void {
    const waiting = this.#waiting.splice(this.#state === 'writing' ? 1 : 0)
    // It would wait for ever.
    if (this.#state === 'writing' && this.#isStuck) return this.#drop(waiting)
    this.#waitingBytes = 0
    try {
      for (const { bytes } of waiting) {
        for (let rest = bytes; rest.length > 0;) rest = rest.subarray(this.#deps.file.writeSync(rest))
      }
    } catch {
      // It is lost, and nobody is left to be told.
    }
  }

  #tellSettled(): void {
    for (const resolve of this.#onSettled.splice(0)) resolve()
  }
}

function linesIn(bytes: Buffer): number {
  let lines = 0
  for (const byte of bytes) if (byte === LINE_FEED) lines += 1
  return lines
}
