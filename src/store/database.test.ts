import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, it, type TestContext } from 'node:test'
import { afterCommit, inDurableTransaction, inTransaction, openDatabase } from './database.ts'
import { MIGRATIONS } from './schema.ts'

function newPath(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'database-'))
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  return join(directory, 'nested', 'state.db')
}

const version = (database: DatabaseSync) => database.prepare('PRAGMA user_version').get()?.['user_version']

describe('openDatabase', () => {
  it('makes the directory, migrates once and opens again', (t) => {
    const path = newPath(t)
    const first = openDatabase(path)
    assert.equal(version(first), MIGRATIONS.length)
    assert.equal(first.prepare('PRAGMA journal_mode').get()?.['journal_mode'], 'wal')
    first.prepare("INSERT INTO tag VALUES ('r', 't', 'd', 1)").run()
    first.close()
    const second = openDatabase(path)
    assert.equal(second.prepare('SELECT count(*) AS n FROM tag').get()?.['n'], 1)
    second.close()
  })

  it('stops at a file that is no database', (t) => {
    const path = newPath(t)
    openDatabase(path).close()
    writeFileSync(path, 'this was a database once '.repeat(100))
    assert.throws(() => openDatabase(path), {
      name: 'StoreError',
      code: 'damaged',
      message: /move .*-wal .* away/,
    })
  })

  it('stops at a damaged page', (t) => {
    const path = newPath(t)
    openDatabase(path).close()
    const bytes = readFileSync(path)
    bytes.fill(0xff, 4096, 8192)
    writeFileSync(path, bytes)
    assert.throws(() => openDatabase(path), { name: 'StoreError', code: 'damaged' })
  })

  it('stops at a newer schema and leaves it alone', (t) => {
    const path = newPath(t)
    const newer = openDatabase(path)
    newer.exec(`PRAGMA user_version = ${MIGRATIONS.length + 1}`)
    newer.close()
    assert.throws(() => openDatabase(path), {
      name: 'StoreError',
      code: 'newer-schema',
      message: /data directory/,
    })
    const raw = new DatabaseSync(path)
    assert.equal(version(raw), MIGRATIONS.length + 1)
    raw.close()
  })

  it('says what it could not open', (t) => {
    const path = newPath(t)
    openDatabase(path).close()
    assert.throws(() => openDatabase(join(path, 'state.db')), { name: 'StoreError', code: 'unavailable' })
  })
})

describe('afterCommit', () => {
  it('runs once the outermost transaction is committed, and at once where there is none', () => {
    const database = openDatabase(':memory:')
    const seen: string[] = []
    const note = (what: string) => () => seen.push(`${what} ${database.isTransaction}`)
    inTransaction(database, () => {
      inTransaction(database, () => afterCommit(database, note('inner')))
      afterCommit(database, note('outer'))
      assert.deepEqual(seen, [])
    })
    afterCommit(database, note('none'))
    assert.deepEqual(seen, ['inner false', 'outer false', 'none false'])
  })

  it('never runs where the transaction failed, nor with the next one', () => {
    const database = openDatabase(':memory:')
    const seen: string[] = []
    assert.throws(() =>
      inTransaction(database, () => {
        afterCommit(database, () => seen.push('lost'))
        throw new Error('no')
      }),
    )
    inTransaction(database, () => undefined)
    assert.deepEqual(seen, [])
  })
})

describe('transactions', () => {
  it('roll back all of a failed one', () => {
    const database = openDatabase(':memory:')
    for (const transaction of [inTransaction, inDurableTransaction]) {
      assert.throws(
        () =>
          transaction(database, () => {
            database.prepare("INSERT INTO tag VALUES ('r', 't', 'd', 1)").run()
            throw new Error('half way')
          }),
        /half way/,
      )
      assert.equal(database.prepare('SELECT count(*) AS n FROM tag').get()?.['n'], 0)
      assert.equal(database.isTransaction, false)
    }
  })

  it('syncs a durable one and goes back to normal, also after a failure', () => {
    const database = openDatabase(':memory:')
    const synchronous = () => database.prepare('PRAGMA synchronous').get()?.['synchronous']
    assert.equal(synchronous(), 1)
    assert.equal(
      inDurableTransaction(database, () => synchronous()),
      2,
    )
    assert.throws(() => inDurableTransaction(database, () => database.exec('nonsense')))
    assert.equal(synchronous(), 1)
  })

  it('outlive a process that is killed after the commit', (t) => {
    const path = newPath(t)
    openDatabase(path).close()
    const program = `
      import { openDatabase, inDurableTransaction } from ${JSON.stringify(new URL('./database.ts', import.meta.url).href)}
      const database = openDatabase(${JSON.stringify(path)})
      inDurableTransaction(database, () => database.prepare("INSERT INTO tag VALUES ('r', 't', 'd', 1)").run())
      database.exec('BEGIN')
      database.prepare("INSERT INTO tag VALUES ('r', 'u', 'd', 1)").run()
      process.kill(process.pid, 'SIGKILL')`
    const { signal } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
      stdio: 'ignore',
    })
    assert.equal(signal, 'SIGKILL')
    const database = openDatabase(path)
    const tags = database.prepare('SELECT tag FROM tag').all()
    assert.deepEqual(
      tags.map((row) => row['tag']),
      ['t'],
    )
    database.close()
  })
})
