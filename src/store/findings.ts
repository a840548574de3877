import { repositoryName } from '../oci/reference.ts'
import { rowChecksum } from './checksum.ts'
import { inTransaction, integerOf, textOf, type Database } from './database.ts'
import { StoreError } from './error.ts'
import { createTableBudget } from './table-budget.ts'
import type { StateStore } from './types.ts'
import { createUseNotes } from './use-notes.ts'

type FindingFacts = Pick<StateStore, 'setFindings' | 'getFindings'>

/** What a row takes beside its JSON: its key, once more in the index, and its checksum. */
const ROW_BYTES = 512
/** Of one image: reading it holds the event loop. What is larger is found again from the evidence. */
const FINDING_BYTES_MAX = 1024 * 1024

/** What verification found, by image; those of images that nobody pulls dropped first beyond `bytesMax`. */
export function createFindings(
  database: Database,
  options: { now: () => Date; bytesMax: number; onError: (error: StoreError) => void },
): FindingFacts {
  const select = database.prepare(
    'SELECT id, used_at, size, checksum, trusted, json FROM finding WHERE repository = ? AND subject = ?',
  )
  const insert = database.prepare(
    `INSERT INTO finding (repository, subject, used_at, size, checksum, trusted, json)
     VALUES (?, ?, ?, ?, ?, ?, ?)`,
  )
  const remove = database.prepare('DELETE FROM finding WHERE repository = ? AND subject = ? RETURNING size')
  const table = { table: 'finding', key: ['id'], size: 'size', order: 'used_at' }
  const budget = createTableBudget(database, table, options.bytesMax, options.onError)
  const noteUse = createUseNotes(database, 'finding', options)
  const sizeMax = Math.min(FINDING_BYTES_MAX, options.bytesMax)

  return {
    setFindings(repository, subject, { trusted, json }) {
      const name = repositoryName(repository)
      const size = Buffer.byteLength(json) + Buffer.byteLength(trusted) + ROW_BYTES
      const checksum = rowChecksum([name, subject, trusted, json])
      const usedAtMs = options.now().getTime()
      const change = inTransaction(database, () => {
        const replaced = remove.get(name, subject)
        const freed = replaced === undefined ? 0 : integerOf(replaced, 'size')
        // Too large to keep: what it replaces is out of date all the same.
        if (size > sizeMax) return -freed
        insert.run(name, subject, usedAtMs, size, checksum, trusted, json)
        return size - freed
      })
      budget.settle(change)
    },
    getFindings(repository, subject) {
      const name = repositoryName(repository)
      const row = select.get(name, subject)
      if (row === undefined) return undefined
      const [trusted, json] = [textOf(row, 'trusted'), textOf(row, 'json')]
      if (textOf(row, 'checksum') !== rowChecksum([name, subject, trusted, json])) {
        remove.get(name, subject)
        budget.settle(-integerOf(row, 'size'))
        options.onError(new StoreError('damaged', `dropped damaged findings of ${name}@${subject}`))
        return undefined
      }
      noteUse(integerOf(row, 'id'), integerOf(row, 'used_at'))
      return { trusted, json }
    },
  }
}
