import { afterCommit, inTransaction, integerOf, type Database } from './database.ts'
import { storeError, type StoreError } from './error.ts'
import { createTotal } from './total.ts'

/** Keeps a table within its budget. */
export type TableBudget = {
  /** Told by how much a write changed the table. Once it is committed, what is too much is removed. Never throws. */
  settle(change: number): void
}

/** Parts of SQL, constants of ours. */
export type BudgetedTable = {
  readonly table: string
  /** What identifies a row. */
  readonly key: readonly string[]
  /** What a row counts: a column in bytes, or `1`. */
  readonly size: string
  /** An indexed column: rows with the smallest go first. */
  readonly order: string
}

/** Rows looked up a statement. */
const VICTIMS_AT_ONCE = 64

/**
 * The oldest rows go when `max` is passed. A write pays for what it added and no more, so eviction takes as long as the
 * write itself; only a budget that was lowered is made up for at once, when the table is opened. Rows that cannot be removed
 * are reported, and go with the next write: what was committed before them is no less written.
 */
export function createTableBudget(
  database: Database,
  { table, key, size, order }: BudgetedTable,
  max: number,
  onError: (error: StoreError) => void,
): TableBudget {
  const columns = key.join(', ')
  const oldest = database.prepare(
    `SELECT ${columns}, ${size} AS budgeted FROM ${table} ORDER BY ${order} LIMIT ?`,
  )
  const remove = database.prepare(
    `DELETE FROM ${table} WHERE ${key.map((column) => `${column} = ?`).join(' AND ')}`,
  )
  const total = createTotal(database, { name: table, table, size })

  function evict(): number {
    let left = total.value()
    while (left > max) {
      const victims = oldest.all(VICTIMS_AT_ONCE)
      // The count was wrong, or the table is empty: either way the table knows better.
      if (victims.length === 0) return total.measure()
      for (const victim of victims) {
        if (left <= max) break
        remove.run(...key.map((column) => victim[column] ?? null))
        left -= integerOf(victim, 'budgeted')
      }
    }
    return left
  }

  function keepWithin(): void {
    if (total.value() > max) total.set(inTransaction(database, evict))
  }

  keepWithin()
  return {
    settle(change) {
      afterCommit(database, () => {
        total.add(change)
        try {
          keepWithin()
        } catch (error) {
          onError(storeError(`cannot make room in ${table}`, error))
        }
      })
    },
  }
}
