import { integerOf, type Database } from './database.ts'
import { StoreError } from './error.ts'

/** The number of a repository, given to it the first time; it is gone with the last row that has it. */
export function createRepositoryIds(database: Database): (name: string) => number {
  const insert = database.prepare('INSERT OR IGNORE INTO repository (name) VALUES (?)')
  const select = database.prepare('SELECT id FROM repository WHERE name = ?')
  return (name) => {
    insert.run(name)
    const row = select.get(name)
    if (row === undefined) throw new StoreError('damaged', `repository ${name} was written and is not there`)
    return integerOf(row, 'id')
  }
}
