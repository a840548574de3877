import { rowChecksum } from './checksum.ts'
import { inTransaction, integerOf, textOf, type Database, type Row } from './database.ts'
import { StoreError } from './error.ts'
import { createTableBudget } from './table-budget.ts'
import type { StateStore } from './types.ts'
import { createUseNotes } from './use-notes.ts'

type LogEntries = Pick<StateStore, 'getLogEntry' | 'setLogEntry' | 'findLogEntry'>

/** By which of the two an entry was asked for; the other stands in its row. */
type Key = { readonly log: string; readonly uuid?: string; readonly logIndex?: string }

/** What a row takes beside its JSON: its key, twice more in the indexes, and its checksum. */
const ROW_BYTES = 512

/** Entries of transparency logs, the least recently used dropped beyond `bytesMax`. */
export function createLogEntries(
  database: Database,
  options: { now: () => Date; bytesMax: number; onError: (error: StoreError) => void },
): LogEntries {
  const columns = 'id, uuid, log_index, used_at, size, checksum, json'
  const byUuid = database.prepare(`SELECT ${columns} FROM log_entry WHERE log = ? AND uuid = ?`)
  const byIndex = database.prepare(
    `SELECT ${columns} FROM log_entry WHERE log = ? AND log_index = ? ORDER BY id DESC LIMIT 1`,
  )
  const insert = database.prepare(
    'INSERT INTO log_entry (log, uuid, log_index, used_at, size, checksum, json) VALUES (?, ?, ?, ?, ?, ?, ?)',
  )
  const remove = database.prepare('DELETE FROM log_entry WHERE log = ? AND uuid = ? RETURNING size')
  const removeRow = database.prepare('DELETE FROM log_entry WHERE id = ?')
  const table = { table: 'log_entry', key: ['id'], size: 'size', order: 'used_at' }
  const budget = createTableBudget(database, table, options.bytesMax, options.onError)
  const noteUse = createUseNotes(database, 'log_entry', options)

  /** The entry in the row, unless it is not what was written under the key that was asked for. */
  function entryIn(row: Row | undefined, asked: Key): { uuid: string; json: string } | undefined {
    if (row === undefined) return undefined
    const [id, json] = [integerOf(row, 'id'), textOf(row, 'json')]
    const { log, uuid = textOf(row, 'uuid'), logIndex = textOf(row, 'log_index') } = asked
    if (textOf(row, 'checksum') !== rowChecksum([log, uuid, logIndex, json])) {
      removeRow.run(id)
      budget.settle(-integerOf(row, 'size'))
      options.onError(new StoreError('damaged', `dropped damaged log entry ${uuid}`))
      return undefined
    }
    noteUse(id, integerOf(row, 'used_at'))
    return { uuid, json }
  }

  return {
    getLogEntry: (log, uuid) => entryIn(byUuid.get(log, uuid), { log, uuid })?.json,
    findLogEntry: (log, logIndex) => entryIn(byIndex.get(log, logIndex), { log, logIndex }),
    setLogEntry(log, uuid, { logIndex, json }) {
      const size = Buffer.byteLength(json) + ROW_BYTES
      const usedAtMs = options.now().getTime()
      const checksum = rowChecksum([log, uuid, logIndex, json])
      const change = inTransaction(database, () => {
        const replaced = remove.get(log, uuid)
        const freed = replaced === undefined ? 0 : integerOf(replaced, 'size')
        // Too large to keep: what it replaces is out of date all the same.
        if (size > options.bytesMax) return -freed
        insert.run(log, uuid, logIndex, usedAtMs, size, checksum, json)
        return size - freed
      })
      budget.settle(change)
    },
  }
}
