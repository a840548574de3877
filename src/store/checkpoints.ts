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
  /** Default 65,536, of 4 KiB. Under steady writing nothing but a short stop of all writers lets the log begin again. */
  readonly logPagesMax?: number
  /** Default: checkpoint-thread.ts. */
  readonly threadUrl?: URL
}

const DEFAULTS = { lookEveryMs: 250, logBytesMin: 1024 * 1024, logPagesMax: 64 * 1024 }

/** What the database does by itself where there is no thread: https://sqlite.org/pragma.html#pragma_wal_autocheckpoint. */
const AUTOMATIC_PAGES = 128

const THREAD_URL = new URL('./checkpoint-thread.ts', import.meta.url)

/**
 * A checkpoint waits for the medium twice, some 10 ms each time on a usual disk. SQLite does it within whichever write comes last,
 * and every third image that is new would hold up all requests for so long; so it is done in a thread, which holds up nobody
 * (https://sqlite.org/wal.html, "Avoiding Excessively Large WAL Files").
 */
export function createCheckpoints(database: Database, options: CheckpointOptions): Checkpoints {
  const { lookEveryMs, logBytesMin, logPagesMax } = { ...DEFAULTS, ...options }
  const path = database.location()
  if (path === null) return { close: () => Promise.resolve() }
  const logPath = `${path}-wal`
  let thread: Worker | undefined
  let isBusy = false
  let writtenMs = 0
  let pages = 0

  function look(): void {
    const log = statSync(logPath, { throwIfNoEntry: false })
    if (isBusy || log === undefined || log.size < logBytesMin || log.mtimeMs === writtenMs) return
    writtenMs = log.mtimeMs
    isBusy = true
    thread ??= start()
    thread.postMessage(pages > logPagesMax ? 'restart' : 'passive')
  }

  function start(): Worker {
    const started = new Worker(options.threadUrl ?? THREAD_URL, { workerData: path })
    started.unref()
    started.on('message', (logPages: unknown) => {
      pages = Number(logPages)
      isBusy = false
    })
    started.on('error', (error) => {
      clearInterval(timer)
      thread = undefined
      checkpointEvery(database, AUTOMATIC_PAGES)
      options.onError(storeError('the thread for checkpoints ended', error))
    })
    return started
  }

  leaveCheckpoints(database)
  const timer = setInterval(look, lookEveryMs)
  timer.unref()
  return {
    async close() {
      clearInterval(timer)
      if (thread === undefined) return
      const ended = Promise.withResolvers<void>()
      thread.once('exit', () => ended.resolve())
      thread.ref()
      thread.postMessage('close')
      await ended.promise
    },
  }
}

/** In a process beside the one that has the thread: it does none itself. */
export function leaveCheckpoints(database: Database): void {
  checkpointEvery(database, 0)
}

function checkpointEvery(database: Database, pages: number): void {
  database.exec(`PRAGMA wal_autocheckpoint = ${pages}`)
}
