import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync, type SQLOutputValue } from 'node:sqlite'
import { openingError, StoreError } from './error.ts'
import { MIGRATIONS } from './schema.ts'

/**
 * Who else writes to the database. `alone`: nobody. `first`: processes that open it after this one, as `guest`, while this
 * one goes on; a guest finds everything checked and of this release.
 */
export type Sharing = 'alone' | 'first' | 'guest'

export type Database = DatabaseSync

export type Row = Readonly<Record<string, SQLOutputValue>>

/** How long a statement waits for another process (a backup, an operator's sqlite3) to let go of the file. */
const BUSY_TIMEOUT_MS = 5_000
const WAL_BYTES_MAX = 64 * 1024 * 1024
/** Of 4 KiB. A checkpoint runs inside some write: often and short holds the event loop less than seldom and long. */
const CHECKPOINT_PAGES = 128

/**
 * Opens or creates the database at `path` (`:memory:` for none on disk), checks it whole and brings its schema up to
 * date. Throws StoreError where it is damaged, written by a later release, or cannot be opened.
 *
 * WAL with `synchronous = NORMAL`: a commit of cached facts costs no fsync, and the worst that a power cut does is to
 * forget the last of them. What must outlive a power cut goes through `inDurableTransaction`.
 */
export function openDatabase(path: string, sharing: Sharing = 'alone'): Database {
  let database: DatabaseSync | undefined
  try {
    if (path !== ':memory:') mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    database = new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS })
    if (sharing !== 'guest') checkIntegrity(database, path)
    checkVersion(database, path)
    database.exec('PRAGMA journal_mode = WAL')
    database.exec('PRAGMA synchronous = NORMAL')
    database.exec('PRAGMA trusted_schema = OFF')
    // Of temporary things there are triggers (total.ts), and a file for them may have no place.
    if (sharing !== 'alone') database.exec('PRAGMA temp_store = MEMORY')
    database.exec(`PRAGMA journal_size_limit = ${WAL_BYTES_MAX}`)
    database.exec(`PRAGMA wal_autocheckpoint = ${CHECKPOINT_PAGES}`)
    if (sharing !== 'guest') migrate(database)
    return database
  } catch (error) {
    database?.close()
    throw openingFailure(path, error)
  }
}

/** What went wrong while the database was opened; where it is damaged, with the way to go on. */
export function openingFailure(path: string, error: unknown): StoreError {
  if (error instanceof StoreError) return error
  const failure = openingError(`cannot open the database ${path}`, error)
  return failure.code === 'damaged' ? damaged(path, error) : failure
}

function checkIntegrity(database: Database, path: string): void {
  const [row] = database.prepare('PRAGMA quick_check(1)').all()
  const finding = row === undefined ? 'no answer' : textOf(row, 'quick_check')
  if (finding !== 'ok') throw damaged(path, finding)
}

function damaged(path: string, cause: unknown): StoreError {
  const detail = cause instanceof Error ? cause.message : String(cause)
  return new StoreError(
    'damaged',
    `the database ${path} is damaged (${detail}); move ${path}, ${path}-wal and ${path}-shm away and start again: ` +
      `caches fill themselves, and docs/state.md says how to bring the records over`,
    cause,
  )
}

function schemaVersion(database: Database): number {
  const row = database.prepare('PRAGMA user_version').get()
  return row === undefined ? 0 : integerOf(row, 'user_version')
}

function checkVersion(database: Database, path: string): void {
  const version = schemaVersion(database)
  if (version <= MIGRATIONS.length) return
  throw new StoreError(
    'newer-schema',
    `the database ${path} has schema ${version} and this release knows ${MIGRATIONS.length}; ` +
      `start the release that wrote it, or give this one a data directory of its own`,
  )
}

function migrate(database: Database): void {
  for (let version = schemaVersion(database); version < MIGRATIONS.length; version += 1) {
    inTransaction(database, () => {
      database.exec(MIGRATIONS[version] ?? '')
      database.exec(`PRAGMA user_version = ${version + 1}`)
    })
  }
}

/** What waits for the end of the transaction that is open. */
const waiting = new WeakMap<Database, (() => void)[]>()

/**
 * All of `work` or, where it throws, nothing of it. Survives the end of the process, perhaps not a power cut. Within
 * another transaction it is a part of that.
 */
export function inTransaction<T>(database: Database, work: () => T): T {
  if (database.isTransaction) return work()
  // It will write: one that began by reading would be turned away where another process has written meanwhile.
  database.exec('BEGIN IMMEDIATE')
  let result: T
  try {
    result = work()
    database.exec('COMMIT')
  } catch (error) {
    waiting.delete(database)
    // A full disk may have rolled it back already (https://sqlite.org/lang_transaction.html, "Response To Errors").
    if (database.isTransaction) database.exec('ROLLBACK')
    throw error
  }
  const next = waiting.get(database) ?? []
  waiting.delete(database)
  for (const one of next) one()
  return result
}

/**
 * Runs `work` when the transaction that is open is committed, and never where it is not; at once where none is open. It must
 * not throw: whoever has committed would think that nothing is written.
 */
export function afterCommit(database: Database, work: () => void): void {
  if (!database.isTransaction) return work()
  const others = waiting.get(database)
  if (others === undefined) waiting.set(database, [work])
  else others.push(work)
}

/**
 * As inTransaction, and on the medium when it returns: with FULL the commit ends with an fsync of the log
 * (https://sqlite.org/pragma.html#pragma_synchronous), which takes everything committed before it along.
 */
export function inDurableTransaction<T>(database: Database, work: () => T): T {
  if (database.isTransaction) return work()
  database.exec('PRAGMA synchronous = FULL')
  try {
    return inTransaction(database, work)
  } finally {
    database.exec('PRAGMA synchronous = NORMAL')
  }
}

/** The column as text; StoreError `damaged` where it is something else. So for the other two. */
export function textOf(row: Row, column: string): string {
  const value = row[column]
  if (typeof value === 'string') return value
  throw wrongType(column)
}

export function integerOf(row: Row, column: string): number {
  const value = row[column]
  if (typeof value === 'number') return value
  throw wrongType(column)
}

export function bytesOf(row: Row, column: string): Buffer {
  const value = row[column]
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength)
  throw wrongType(column)
}

function wrongType(column: string): StoreError {
  return new StoreError('damaged', `column ${column} holds a value of the wrong type`)
}
