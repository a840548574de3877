import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { StoreError, storeError } from './error.ts'

/**
 * Takes the data directory for this process, until it calls the function returned or ends, however it ends: the lock is
 * the operating system's, held through SQLite. Throws StoreError `in-use`: two processes would remove each other's
 * incoming files.
 */
export function lockDirectory(directory: string): () => void {
  let lock: DatabaseSync | undefined
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    lock = new DatabaseSync(join(directory, 'portcullis.lock'), { timeout: 0 })
    lock.exec('BEGIN EXCLUSIVE')
  } catch (error) {
    lock?.close()
    if (!isBusy(error)) throw storeError(`cannot use the data directory ${directory}`, error)
    const advice = 'stop that one or give this one its own'
    throw new StoreError(
      'in-use',
      `the data directory ${directory} is in use by another process; ${advice}`,
      error,
    )
  }
  const held = lock
  return () => held.close()
}

/** https://sqlite.org/rescode.html, SQLITE_BUSY. */
const SQLITE_BUSY = 5

function isBusy(error: unknown): boolean {
  return error instanceof Error && 'errcode' in error && error.errcode === SQLITE_BUSY
}
