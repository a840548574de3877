import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { describe, it } from 'node:test'
import { openDatabase, type Database } from './database.ts'
import { checkRecords } from './records.ts'
import { digest, openState, repository } from './testing/state.ts'

function record(): Database {
  const { state, database } = openState()
  for (const name of ['one', 'two']) {
    const key = JSON.stringify({ name })
    state.recordDecision({ key, id: hash('sha256', key, 'hex').slice(0, 12), at: new Date(1), json: key })
  }
  const id = hash('sha256', 'three', 'hex').slice(0, 12)
  state.recordDecision({ key: 'three', id, at: new Date(1), json: '{"name":"three"}' })
  const image = { repository: repository('a/b'), digest: digest('image'), policies: ['signed'] }
  state.admitOpen({ ...image, decision: 'd1', client: '10.0.0.1', at: new Date(5) })
  state.recordPromotion({
    at: new Date(6),
    policy: 'signed',
    ring: 'canary',
    from: 'observe',
    to: 'enforce',
    policyVersion: 'sha256:1',
    by: 'ada',
    isMet: false,
    criteria: '[]',
    override: 'no time',
  })
  return database
}

describe('records', () => {
  it('that are what was written let the store open', () => {
    const database = record()
    checkRecords(database)
    assert.equal(openState({ database }).state.decisions(10).length, 3)
  })

  const damages = [
    { name: 'a key', of: 'decision 2', sql: `UPDATE decision SET key = replace(key, 'two', 'twp')` },
    { name: 'an id', of: 'decision 2', sql: `UPDATE decision SET id = 'feedfeedfeed' WHERE rowid = 2` },
    { name: 'an id that is gone', of: 'decision 2', sql: `UPDATE decision SET id = '' WHERE rowid = 2` },
    { name: 'a text', of: 'decision 2', sql: `UPDATE decision SET json = '{}' WHERE rowid = 2` },
    { name: 'a text of its own', of: 'decision 3', sql: `UPDATE decision SET json = '{}' WHERE rowid = 3` },
    { name: 'a client', of: 'admission 1', sql: `UPDATE admission SET clients = '["10.0.0.2"]'` },
    { name: 'a digest', of: 'admission 1', sql: `UPDATE admission SET digest = 'sha256:00'` },
    { name: 'a reason', of: 'promotion 1', sql: `UPDATE promotion SET override = 'because'` },
    { name: 'a reason that is gone', of: 'promotion 1', sql: `UPDATE promotion SET override = NULL` },
    { name: 'a figure', of: 'promotion 1', sql: `UPDATE promotion SET is_met = 1` },
  ]
  for (const { name, of, sql } of damages) {
    it(`with ${name} changed stop the start, and say which and how to go on`, () => {
      const database = record()
      database.exec(sql)
      const [table = '', rowid = ''] = of.split(' ')
      const goOn = new RegExp(
        `^${of} in .* is damaged: .*Copy the file.*DELETE FROM ${table} WHERE rowid = ${rowid}`,
      )
      assert.throws(() => openState({ database }), { name: 'StoreError', code: 'damaged', message: goOn })
      database.exec(`DELETE FROM ${table} WHERE rowid = ${rowid}`)
      openState({ database })
    })
  }

  it('whose index has lost them stop the start', () => {
    const database = record()
    // The only way to part an index from its table through SQL: tell SQLite that the index begins elsewhere.
    database.enableDefensive(false)
    database.exec(`
      CREATE TABLE empty (last_at INTEGER);
      CREATE INDEX empty_by_time ON empty (last_at);
      PRAGMA writable_schema = ON;
      UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE name = 'empty_by_time')
        WHERE name = 'decision_by_time';
      DELETE FROM sqlite_schema WHERE name = 'empty_by_time';
      PRAGMA writable_schema = RESET`)
    assert.throws(() => checkRecords(database), {
      name: 'StoreError',
      code: 'damaged',
      message: /^the decision table in .* is damaged: .*move .* away/,
    })
  })

  it('are none in a new database', () => checkRecords(openDatabase(':memory:')))
})
