import { LogQueue, type LogQueueDeps } from './log-queue.ts'

/** Lines are written in bulk, so that a busy proxy does not pay a system call and a thread for each, but never late. */
const BLOCK_BYTES = 64 * 1024
const FLUSH_MS = 1_000
const ASCII_MAX = 0x7f

/**
 * The lines of a log, in order, as the bytes that are written. Who writes one for each request puts it together from parts that
 * are bytes already: as text each would be measured, made flat and encoded anew, in pauses that grow with the load.
 */
export class LogOutput {
  readonly #queue: LogQueue
  readonly #later: LogQueueDeps['later']
  /** Whole lines up to `#used`, but between `begin` and `end`. */
  #block: Buffer = Buffer.allocUnsafeSlow(BLOCK_BYTES)
  #used = 0
  /** Was written, and is filled next: while the reader keeps up, two are enough. */
  #spare: Buffer | undefined
  #isFlushDue = false
  #isClosed = false

  constructor(deps: LogQueueDeps) {
    this.#queue = new LogQueue(deps)
    this.#later = deps.later
  }

  /** Whole lines. */
  write(lines: string): void {
    this.begin(Buffer.byteLength(lines))
    this.#used += this.#block.write(lines, this.#used)
    this.end()
  }

  /** Of a line of at most so many bytes, which `append` and `appendText` write. */
  begin(bytesMax: number): void {
    if (bytesMax <= this.#block.length - this.#used) return
    this.flush()
    if (bytesMax > this.#block.length) this.#block = Buffer.allocUnsafeSlow(bytesMax)
  }

  append(bytes: Uint8Array): void {
    this.#block.set(bytes, this.#used)
    this.#used += bytes.length
  }

  /** A short text: calling node's own encoder takes longer than a few characters do. */
  appendText(text: string): void {
    const block = this.#block
    const start = this.#used
    for (let index = 0; index < text.length; index += 1) {
      const code = text.charCodeAt(index)
      if (code > ASCII_MAX) {
        this.#used = start + block.write(text, start)
        return
      }
      block[start + index] = code
    }
    this.#used = start + text.length
  }

  end(): void {
    if (this.#isClosed) this.flush()
    else if (!this.#isFlushDue) this.#flushLater()
  }

  /** Hands on what there is. */
  flush(): void {
    if (this.#used === 0) return
    const block = this.#block
    const bytes = block.subarray(0, this.#used)
    this.#block = this.#spare ?? Buffer.allocUnsafeSlow(BLOCK_BYTES)
    this.#spare = undefined
    this.#used = 0
    this.#queue.push(bytes, () => {
      if (block.length === BLOCK_BYTES) this.#spare = block
    })
  }

  /** Returns when all is written, but for what is on its way. For a process that ends at once. */
  closeSync(): void {
    this.#isClosed = true
    this.#queue.becomeSync()
    this.flush()
  }

  /** Resolves when all is written, or cannot be, or nobody reads it. What is told later is written at once. */
  async close(): Promise<void> {
    this.flush()
    await this.#queue.settled()
    this.closeSync()
  }

  #flushLater(): void {
    this.#isFlushDue = true
    this.#later(() => {
      this.#isFlushDue = false
      this.flush()
    }, FLUSH_MS)
  }
}
