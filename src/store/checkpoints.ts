import { statSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import type { Database } from './database.ts'
import { storeError, type StoreError } from './error.ts'

/** Moves what was written from the log of the database into its file, so that the log does not grow for ever. */
export type Checkpoints = {
  /** Before the database is closed. */
  close(): Promise<void>
}

export type CheckpointOptions = {
  readonly onError: (error: StoreError) => void
  /** Default 250 ms. */
  readonly lookEveryMs?: number
  /** A log that is shorter is left alone: with nothing but warm requests, no thread is ever started. Default 1 MiB. */
  readonly logBytesMin?: number
  /** Default 49,152, of 4 KiB. Under steady writing nothing but a short stop of all writers lets the log begin again. */
  readonly logPagesMax?: number
  /** After a failure, and twice as long after each that follows. Default 1 s. */
  readonly retryAfterMs?: number
  /** Default: checkpoint-thread.ts. */
  readonly threadUrl?: URL
  /** Milliseconds, monotonic. */
  readonly elapsed?: () => number
}

const DEFAULTS = {
  lookEveryMs: 250,
  logBytesMin: 1024 * 1024,
  logPagesMax: 48 * 1024,
  retryAfterMs: 1_000,
  elapsed: () => performance.now(),
}
const RETRY_AFTER_MS_MAX = 60_000
/** Where readers did not let the log begin again, writers are not stopped for it again before this. */
const RESTART_AFTER_BUSY_MS = 60_000

/** What the database does by itself where there is no thread: https://sqlite.org/pragma.html#pragma_wal_autocheckpoint. */
const AUTOMATIC_PAGES = 128
/** The same where there is one, in another process perhaps: a net for when that one cannot, for it must not grow for ever. */
const AUTOMATIC_PAGES_BESIDE_THREAD = 64 * 1024

const THREAD_URL = new URL('./checkpoint-thread.ts', import.meta.url)

/**
 * A checkpoint waits for the medium twice, some 10 ms each time on a usual disk. SQLite does it within whichever write comes last,
 * and every third image that is new would hold up all requests for so long; so it is done in a thread, which holds up nobody
 * (https://sqlite.org/wal.html, "Avoiding Excessively Large WAL Files").
 */
export function createCheckpoints(database: Database, options: CheckpointOptions): Checkpoints {
  const path = database.location()
  if (path === null) return { close: () => Promise.resolve() }
  leaveCheckpoints(database)
  return new CheckpointThread(database, path, { ...DEFAULTS, threadUrl: THREAD_URL, ...options })
}

class CheckpointThread implements Checkpoints {
  readonly #database: Database
  readonly #path: string
  readonly #options: Required<CheckpointOptions>
  readonly #timer: NodeJS.Timeout
  #thread: Worker | undefined
  #isAsked = false
  #writtenMs = 0
  #pages = 0
  /** In a row. */
  #failures = 0
  #notBeforeMs = -Infinity
  #noRestartBeforeMs = -Infinity

  constructor(database: Database, path: string, options: Required<CheckpointOptions>) {
    this.#database = database
    this.#path = path
    this.#options = options
    this.#timer = setInterval(() => this.#look(), options.lookEveryMs)
    this.#timer.unref()
  }

  async close(): Promise<void> {
    clearInterval(this.#timer)
    const thread = this.#thread
    if (thread === undefined) return
    this.#thread = undefined
    const ended = Promise.withResolvers<void>()
    thread.once('exit', () => ended.resolve())
    thread.ref()
    thread.postMessage('close')
    await ended.promise
  }

  #look(): void {
    const { logBytesMin, logPagesMax, elapsed } = this.#options
    const nowMs = elapsed()
    if (this.#isAsked || nowMs < this.#notBeforeMs) return
    try {
      const log = statSync(`${this.#path}-wal`, { throwIfNoEntry: false })
      if (log === undefined || log.size < logBytesMin || log.mtimeMs === this.#writtenMs) return
      this.#thread ??= this.#start()
      const isRestart = this.#pages > logPagesMax && nowMs >= this.#noRestartBeforeMs
      this.#thread.postMessage(isRestart ? 'restart' : 'passive')
      this.#writtenMs = log.mtimeMs
      this.#isAsked = true
    } catch (error) {
      this.#failed('cannot look at the log of the database', error)
    }
  }

  #start(): Worker {
    const started = new Worker(this.#options.threadUrl, { workerData: this.#path })
    started.unref()
    started.on('message', (answer: CheckpointAnswer) => this.#answered(answer))
    started.on('error', (error) => this.#ended(started, error))
    started.on('exit', (code) => this.#ended(started, new Error(`exit code ${code}`)))
    return started
  }

  #answered(answer: CheckpointAnswer): void {
    if ('failure' in answer) {
      const cause = Object.assign(new Error(answer.failure), { errcode: answer.errcode })
      return this.#failed('cannot move the log into the database', cause)
    }
    const { pages, isBusy } = answer
    this.#isAsked = false
    this.#pages = pages
    if (isBusy) this.#noRestartBeforeMs = this.#options.elapsed() + RESTART_AFTER_BUSY_MS
    if (this.#failures === 0) return
    this.#failures = 0
    leaveCheckpoints(this.#database)
  }

  /** Told of an error first, and then of the end that comes of it; of an end that close asked for, too. */
  #ended(thread: Worker, cause: unknown): void {
    if (this.#thread !== thread) return
    this.#thread = undefined
    this.#failed('the thread for checkpoints ended', cause)
  }

  /** The database does it by itself until the thread can again. */
  #failed(what: string, cause: unknown): void {
    const { retryAfterMs, elapsed, onError } = this.#options
    this.#notBeforeMs = elapsed() + Math.min(retryAfterMs * 2 ** this.#failures, RETRY_AFTER_MS_MAX)
    this.#failures += 1
    this.#isAsked = false
    this.#writtenMs = 0
    try {
      checkpointEvery(this.#database, AUTOMATIC_PAGES)
    } finally {
      onError(storeError(what, cause))
    }
  }
}

/** Of checkpoint-thread.ts. */
type CheckpointAnswer =
  | { readonly pages: number; readonly isBusy: boolean }
  | { readonly failure: string; readonly errcode: unknown }

/** What is left to the thread, which may be that of another process. */
export function leaveCheckpoints(database: Database): void {
  checkpointEvery(database, AUTOMATIC_PAGES_BESIDE_THREAD)
}

function checkpointEvery(database: Database, pages: number): void {
  database.exec(`PRAGMA wal_autocheckpoint = ${pages}`)
}
