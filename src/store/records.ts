import { hash } from 'node:crypto'
import { checkAdmissions } from './admissions.ts'
import { integerOf, textOf, type Database, type Row } from './database.ts'
import { decisionChecksum } from './decisions.ts'
import { StoreError } from './error.ts'
import { checkPromotions } from './rollout.ts'

/** The tables of what nobody can gather again. */
const RECORD_TABLES = ['decision', 'admission', 'promotion'] as const

/**
 * Reads every record and checks that it is what was written. Throws StoreError `damaged`, which says how to go on: a
 * record that cannot be trusted is for a person to look at, not for a program to drop.
 */
export function checkRecords(database: Database): void {
  for (const table of RECORD_TABLES) checkTable(database, table)
  for (const row of database.prepare('SELECT rowid, id, key, json, checksum FROM decision').iterate()) {
    const finding = decisionFinding(row)
    if (finding !== undefined)
      throw damaged(database, { table: 'decision', rowid: integerOf(row, 'rowid'), finding })
  }
  for (const row of checkAdmissions(database)) {
    throw damaged(database, { table: 'admission', rowid: row.id, finding: row.finding })
  }
  for (const row of checkPromotions(database)) {
    throw damaged(database, { table: 'promotion', rowid: row.id, finding: row.finding })
  }
}

/** With its indexes, which the check of the whole file leaves out. */
function checkTable(database: Database, table: (typeof RECORD_TABLES)[number]): void {
  const [row] = database.prepare(`PRAGMA integrity_check('${table}')`).all()
  const finding = row === undefined ? 'no answer' : textOf(row, 'integrity_check')
  if (finding !== 'ok') throw damaged(database, { table, rowid: undefined, finding })
}

function decisionFinding(row: Row): string | undefined {
  const [id, key, json] = [textOf(row, 'id'), textOf(row, 'key'), textOf(row, 'json')]
  if (id === '' || !hash('sha256', key, 'hex').startsWith(id)) return 'its id is not that of its content'
  return row['checksum'] === decisionChecksum(key, json) ? undefined : 'its text is not what was written'
}

type Damage = { table: (typeof RECORD_TABLES)[number]; rowid: number | undefined; finding: string }

function damaged(database: Database, { table, rowid, finding }: Damage): StoreError {
  const path = database.location() ?? ':memory:'
  const what = rowid === undefined ? `the ${table} table` : `${table} ${rowid}`
  const goOn =
    rowid === undefined
      ? `move ${path}, ${path}-wal and ${path}-shm away: caches fill themselves`
      : `sqlite3 ${path} "DELETE FROM ${table} WHERE rowid = ${rowid}" drops this one record`
  return new StoreError(
    'damaged',
    `${what} in ${path} is damaged: ${finding}. Copy the file first; ` +
      `sqlite3 ${path} ".mode json" "SELECT * FROM ${table}" saves what can be read; then ${goOn}. See docs/state.md`,
  )
}
