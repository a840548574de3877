import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { inTransaction, openDatabase, type Database } from './database.ts'
import type { StoreError } from './error.ts'
import { createTableBudget, type TableBudget } from './table-budget.ts'

const THINGS = { table: 'thing', key: ['shelf', 'name'], size: 'size', order: 'used_at' }

function openThings(): Database {
  const database = openDatabase(':memory:')
  database.exec('CREATE TABLE thing (shelf INTEGER, name TEXT, size INTEGER, used_at INTEGER)')
  return database
}

type Thing = { name: string; size: number; usedAt: number }

function add(database: Database, budget: TableBudget, { name, size, usedAt }: Thing): void {
  database.prepare('INSERT INTO thing VALUES (1, ?, ?, ?)').run(name, size, usedAt)
  budget.settle(size)
}

const names = (database: Database) =>
  database
    .prepare('SELECT name FROM thing ORDER BY name')
    .all()
    .map((row) => row['name'])

describe('createTableBudget', () => {
  it('removes as many of the oldest as it takes, and no more', () => {
    const database = openThings()
    const budget = createTableBudget(database, THINGS, 100, assert.fail)
    add(database, budget, { name: 'a', size: 60, usedAt: 3 })
    add(database, budget, { name: 'b', size: 20, usedAt: 1 })
    add(database, budget, { name: 'c', size: 20, usedAt: 2 })
    assert.deepEqual(names(database), ['a', 'b', 'c'])
    add(database, budget, { name: 'd', size: 30, usedAt: 4 })
    assert.deepEqual(names(database), ['a', 'd'])
    add(database, budget, { name: 'e', size: 10, usedAt: 5 })
    assert.deepEqual(names(database), ['a', 'd', 'e'])
  })

  it('knows what was there before, and makes up for a limit that was lowered', () => {
    const database = openThings()
    const budget = createTableBudget(database, THINGS, 1_000, assert.fail)
    for (let index = 0; index < 500; index += 1)
      add(database, budget, { name: `n${index}`, size: 2, usedAt: index })
    createTableBudget(database, THINGS, 10, assert.fail)
    assert.deepEqual(names(database), ['n495', 'n496', 'n497', 'n498', 'n499'])
  })

  it('counts what was freed', () => {
    const database = openThings()
    const budget = createTableBudget(database, THINGS, 100, assert.fail)
    add(database, budget, { name: 'a', size: 90, usedAt: 1 })
    database.exec('DELETE FROM thing')
    budget.settle(-90)
    add(database, budget, { name: 'b', size: 90, usedAt: 2 })
    assert.deepEqual(names(database), ['b'])
  })

  it('looks again where its count turns out wrong', () => {
    const database = openThings()
    const budget = createTableBudget(database, THINGS, 100, assert.fail)
    budget.settle(1_000)
    add(database, budget, { name: 'a', size: 90, usedAt: 1 })
    assert.deepEqual(names(database), ['a'])
  })

  it('pays for a write with as many removals as it added, however full the table is', () => {
    const database = openThings()
    const budget = createTableBudget(database, { ...THINGS, size: '1' }, 1_000, assert.fail)
    for (let index = 0; index < 1_000; index += 1)
      add(database, budget, { name: `n${index}`, size: 1, usedAt: index })
    let removed = 0
    database.function('count_removed', () => (removed += 1))
    database.exec('CREATE TEMP TRIGGER watch AFTER DELETE ON thing BEGIN SELECT count_removed(); END')
    for (let index = 0; index < 50; index += 1) {
      add(database, budget, { name: `m${index}`, size: 1, usedAt: 2_000 + index })
      assert.equal(removed, index + 1)
    }
  })

  it('reports what it cannot remove, and nothing else suffers: neither what was written nor other tables', () => {
    const database = openThings()
    database.exec('CREATE TABLE other (shelf INTEGER, name TEXT, size INTEGER, used_at INTEGER)')
    const errors: StoreError[] = []
    const onError = (error: StoreError) => void errors.push(error)
    const budget = createTableBudget(database, THINGS, 10, onError)
    const otherBudget = createTableBudget(database, { ...THINGS, table: 'other' }, 10, onError)
    database.exec(
      "CREATE TEMP TRIGGER broken BEFORE DELETE ON thing BEGIN SELECT RAISE(ABORT, 'broken'); END",
    )
    inTransaction(database, () => {
      for (const usedAt of [1, 2, 3]) {
        add(database, budget, { name: `n${usedAt}`, size: 5, usedAt })
        database.prepare('INSERT INTO other VALUES (1, ?, 5, ?)').run(`n${usedAt}`, usedAt)
        otherBudget.settle(5)
      }
    })
    assert.deepEqual(names(database), ['n1', 'n2', 'n3'])
    assert.equal(database.prepare('SELECT count(*) AS n FROM other').get()?.['n'], 2)
    assert.deepEqual(
      errors.map(({ message }) => message),
      ['cannot make room in thing: broken'],
    )
    database.exec('DROP TRIGGER broken')
    add(database, budget, { name: 'n4', size: 5, usedAt: 4 })
    assert.deepEqual(names(database), ['n3', 'n4'])
  })
})
