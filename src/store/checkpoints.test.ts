import assert from 'node:assert/strict'
import { existsSync, statSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { createCheckpoints } from './checkpoints.ts'
import { openDatabase, type Database } from './database.ts'
import { StoreError } from './error.ts'

const EAGER = { lookEveryMs: 1, logBytesMin: 1 }

suite('checkpoints', () => {
  let directory: string

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'portcullis-checkpoints-'))
  })
  after(async () => {
    await rm(directory, { recursive: true })
  })

  function open(name: string) {
    const path = join(directory, name)
    const database = openDatabase(path)
    database.exec('CREATE TABLE thing (text TEXT) STRICT')
    const insert = database.prepare('INSERT INTO thing (text) VALUES (?)')
    const write = () => void insert.run('x'.repeat(10_000))
    return { path, database, write, size: () => statSync(path).size }
  }

  function automaticPages(database: Database): unknown {
    return database.prepare('PRAGMA wal_autocheckpoint').get()?.['wal_autocheckpoint']
  }

  async function until(isSo: () => boolean): Promise<void> {
    while (!isSo()) await nextTurn()
  }

  test('what is written moves into the file while writing goes on, and the log begins again', async () => {
    const { path, database, write, size } = open('steady.db')
    const checkpoints = createCheckpoints(database, { ...EAGER, logPagesMax: 1, onError: assert.fail })
    let written = 0
    const sizeBefore = size()
    const logSize = () => statSync(`${path}-wal`).size
    await until(() => {
      write()
      written++
      return size() > sizeBefore + 100_000
    })
    // The log is as long as it was at its longest, so that it no longer grows says that it began again.
    for (let longest = -1; longest < logSize();) {
      longest = logSize()
      for (let n = 0; n < 100; n++) {
        write()
        written++
        await nextTurn()
      }
    }
    assert.equal(automaticPages(database), 0)
    await checkpoints.close()
    assert.equal(database.prepare('SELECT count(*) AS count FROM thing').get()?.['count'], written)
    database.close()
    assert.equal(existsSync(`${path}-wal`), false, 'nobody else has it open')
  })

  test('a short log starts no thread', async () => {
    const { database, write } = open('short.db')
    const threadUrl = new URL('./no-such-thread.ts', import.meta.url)
    const checkpoints = createCheckpoints(database, { lookEveryMs: 1, threadUrl, onError: assert.fail })
    write()
    for (let n = 0; n < 100; n++) await nextTurn()
    await checkpoints.close()
    database.close()
  })

  test('without the thread the database does it by itself', async () => {
    const { database, write } = open('threadless.db')
    const failed = Promise.withResolvers<StoreError>()
    const threadUrl = new URL('./no-such-thread.ts', import.meta.url)
    const checkpoints = createCheckpoints(database, { ...EAGER, threadUrl, onError: failed.resolve })
    write()
    assert.ok((await failed.promise) instanceof StoreError)
    assert.equal(automaticPages(database), 128)
    await checkpoints.close()
    database.close()
  })

  test('a database in memory has no log', async () => {
    const database = openDatabase(':memory:')
    await createCheckpoints(database, { onError: assert.fail }).close()
    database.close()
  })
})
