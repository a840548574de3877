export type StoreErrorCode =
  | 'damaged' // bytes or rows that cannot be what was written
  | 'newer-schema' // written by a later release
  | 'full' // no space, quota or budget left
  | 'unavailable' // cannot be opened, read or written: permissions, a read-only or broken disk, a lock
  | 'in-use' // another process has the data directory

/** Every way in which the disk can fail us. `message` says what a person can do where there is something to do. */
export class StoreError extends Error {
  override readonly name = 'StoreError'
  readonly code: StoreErrorCode

  constructor(code: StoreErrorCode, message: string, cause?: unknown) {
    super(message, { cause })
    this.code = code
  }
}

// https://sqlite.org/rescode.html, primary codes. Extended codes keep the primary one in their low byte.
const SQLITE_ERROR = 1
const SQLITE_CORRUPT = 11
const SQLITE_FULL = 13
const SQLITE_NOTADB = 26

const FULL_ERRNO = new Set<unknown>(['ENOSPC', 'EDQUOT', 'EFBIG'])

/** Gives what node:sqlite or node:fs threw its code; `what` is the sentence before the colon. */
export function storeError(what: string, cause: unknown): StoreError {
  if (cause instanceof StoreError) return cause
  return new StoreError(
    codeOf(cause),
    `${what}: ${cause instanceof Error ? cause.message : String(cause)}`,
    cause,
  )
}

/** What `work` gives, or a StoreError that begins with `what`. */
export function attempt<T>(what: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    throw storeError(what, error)
  }
}

function primaryCode(cause: unknown): number | undefined {
  const isCode = cause instanceof Error && 'errcode' in cause && typeof cause.errcode === 'number'
  return isCode ? Number(cause.errcode) & 0xff : undefined
}

function codeOf(cause: unknown): StoreErrorCode {
  if (!(cause instanceof Error)) return 'unavailable'
  if ('code' in cause && FULL_ERRNO.has(cause.code)) return 'full'
  const primary = primaryCode(cause)
  if (primary === SQLITE_CORRUPT || primary === SQLITE_NOTADB) return 'damaged'
  return primary === SQLITE_FULL ? 'full' : 'unavailable'
}

/**
 * As storeError, for the moments in which a database is opened: an SQL error means then that a table or a column is not
 * there, because all SQL is ours.
 */
export function openingError(what: string, cause: unknown): StoreError {
  const failure = storeError(what, cause)
  return primaryCode(cause) === SQLITE_ERROR ? new StoreError('damaged', failure.message, cause) : failure
}

/** True for ENOENT, the one file system error that is an answer. */
export function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT'
}
