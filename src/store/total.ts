import { inTransaction, integerOf, type Database } from './database.ts'

/** How much a table holds, known without counting it. */
export type Total = {
  readonly value: () => number
  /** Told after a commit by how much a write changed it. */
  readonly add: (change: number) => void
  /** Told after a commit what it is. */
  readonly set: (value: number) => void
  /** Counts the table. */
  readonly measure: () => number
}

/** `table` and `size` (a column, or `1`) are SQL, constants of ours. `name` is its own in the whole database. */
export type Totalled = { readonly name: string; readonly table: string; readonly size: string }

/**
 * Where one process has the database alone, a number in its memory. Where several have it (shared.ts), a row that triggers
 * change in the transaction of whoever writes, so that it is right whoever writes, and whoever dies meanwhile.
 */
export function createTotal(database: Database, totalled: Totalled): Total {
  const { table, size } = totalled
  const sum = database.prepare(`SELECT coalesce(sum(${size}), 0) AS total FROM ${table}`)
  const measure = (): number => totalIn(sum.get())
  return isShared(database) ? sharedTotal(database, totalled, measure) : ownTotal(measure)
}

function ownTotal(measure: () => number): Total {
  let total = measure()
  return {
    value: () => total,
    add: (change) => void (total += change),
    set: (value) => void (total = value),
    measure,
  }
}

function sharedTotal(database: Database, { name, table, size }: Totalled, measure: () => number): Total {
  const sizeOf = (row: 'new' | 'old'): string => (size === '1' ? '1' : `${row}.${size}`)
  // Temporary: they belong to this connection, and nobody who opens the file later stumbles over them.
  database.exec(`
    CREATE TEMP TRIGGER "${name} grows" AFTER INSERT ON main.${table} BEGIN
      UPDATE total SET total = total + ${sizeOf('new')} WHERE name = '${name}';
    END;
    CREATE TEMP TRIGGER "${name} shrinks" AFTER DELETE ON main.${table} BEGIN
      UPDATE total SET total = total - ${sizeOf('old')} WHERE name = '${name}';
    END;
  `)
  const isCounted = database.prepare('SELECT 1 FROM total WHERE name = ?')
  const begin = database.prepare('INSERT INTO total (name, total) VALUES (?, ?)')
  // Whoever is first counts, and what another writes meanwhile is counted once.
  inTransaction(database, () => {
    if (isCounted.get(name) === undefined) begin.run(name, measure())
  })
  const select = database.prepare('SELECT total FROM total WHERE name = ?')
  const correct = database.prepare('UPDATE total SET total = ? WHERE name = ?')
  return {
    value: () => totalIn(select.get(name)),
    add: () => undefined,
    set: () => undefined,
    measure: () =>
      inTransaction(database, () => {
        const measured = measure()
        correct.run(measured, name)
        return measured
      }),
  }
}

/** Begins or ends sharing: the table of totals is there for as long as several processes have the database. */
export function shareTotals(database: Database, isSharing: boolean): void {
  database.exec('DROP TABLE IF EXISTS total')
  if (isSharing)
    database.exec('CREATE TABLE total (name TEXT PRIMARY KEY, total INTEGER NOT NULL) STRICT, WITHOUT ROWID')
}

function isShared(database: Database): boolean {
  return database.prepare("SELECT 1 FROM main.sqlite_schema WHERE name = 'total'").get() !== undefined
}

function totalIn(row: ReturnType<ReturnType<Database['prepare']>['get']>): number {
  return row === undefined ? 0 : integerOf(row, 'total')
}
