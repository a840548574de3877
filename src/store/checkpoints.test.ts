import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, readFileSync, rmSync, statSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { createCheckpoints } from './checkpoints.ts'
import { openDatabase, type Database } from './database.ts'
import { StoreError } from './error.ts'

const EAGER = { lookEveryMs: 1, logBytesMin: 1 }

function dataUrl(source: string): URL {
  return new URL(`data:text/javascript,${encodeURIComponent(source)}`)
}

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
    assert.equal(automaticPages(database), 65_536, 'a net, if ever the thread cannot')
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

  test('a failure ends no thread: it tells of it, and goes on when it can', async () => {
    const { path, database, write } = open('failing.db')
    const thread = new Worker(new URL('./checkpoint-thread.ts', import.meta.url), { workerData: path })
    const ask = async (): Promise<unknown> => {
      const answer = once(thread, 'message')
      thread.postMessage('passive')
      return (await answer)[0]
    }
    await ask()
    write()
    const log = readFileSync(`${path}-wal`)
    truncateSync(`${path}-wal`, 40)
    const SQLITE_IOERR_SHORT_READ = 522
    assert.deepEqual(await ask(), { failure: 'disk I/O error', errcode: SQLITE_IOERR_SHORT_READ })
    writeFileSync(`${path}-wal`, log, { flag: 'r+' })
    assert.deepEqual(Object.keys(Object(await ask())), ['pages', 'isBusy'])
    thread.postMessage('close')
    await once(thread, 'exit')
    database.close()
  })

  test('of a failure the database is told what it is, and does it by itself until there is none', async () => {
    const { database, write } = open('full.db')
    const threadUrl = dataUrl(`
      import { parentPort } from 'node:worker_threads'
      let isFull = true
      parentPort.on('message', (asked) => {
        if (asked === 'close') return parentPort.close()
        parentPort.postMessage(isFull ? { failure: 'disk is full', errcode: 13 } : { pages: 1, isBusy: false })
        isFull = false
      })`)
    const told: unknown[] = []
    const onError = ({ code }: StoreError) => void told.push([code, automaticPages(database)])
    const checkpoints = createCheckpoints(database, { ...EAGER, retryAfterMs: 1, threadUrl, onError })
    write()
    await until(() => told.length > 0 && automaticPages(database) === 65_536)
    assert.deepEqual(told, [['full', 128]])
    await checkpoints.close()
    database.close()
  })

  test('a thread that ends is started again', async () => {
    const { database } = open('dying.db')
    const threadUrl = dataUrl(`
      import { existsSync, writeFileSync } from 'node:fs'
      import { parentPort, workerData } from 'node:worker_threads'
      const mark = workerData + '.mark'
      const isFirst = !existsSync(mark)
      writeFileSync(mark, '')
      parentPort.on('message', (asked) => {
        if (isFirst) throw new Error('no')
        if (asked === 'close') return parentPort.close()
        parentPort.postMessage({ pages: 1, isBusy: false })
      })`)
    const told: string[] = []
    const onError = (error: StoreError) => void told.push(error.message)
    const checkpoints = createCheckpoints(database, { ...EAGER, retryAfterMs: 1, threadUrl, onError })
    await until(() => told.length > 0)
    await until(() => automaticPages(database) === 65_536)
    assert.deepEqual(told, ['the thread for checkpoints ended: no'])
    await checkpoints.close()
    database.close()
  })

  test('where readers do not let the log begin again, writers are left alone for a minute', async () => {
    const { path, database, write } = open('busy.db')
    const clock = { ms: 0 }
    const threadUrl = dataUrl(`
      import { appendFileSync } from 'node:fs'
      import { parentPort, workerData } from 'node:worker_threads'
      parentPort.on('message', (asked) => {
        appendFileSync(workerData + '.asked', asked + ' ')
        if (asked === 'close') return parentPort.close()
        parentPort.postMessage({ pages: 9, isBusy: asked === 'restart' })
      })`)
    const asked = () => {
      write()
      return existsSync(`${path}.asked`) ? readFileSync(`${path}.asked`, 'utf8') : ''
    }
    const elapsed = () => clock.ms
    const options = { ...EAGER, logPagesMax: 1, threadUrl, elapsed, onError: assert.fail }
    const checkpoints = createCheckpoints(database, options)
    await until(() => asked().startsWith('passive restart passive passive passive '))
    clock.ms += 59_999
    const before = asked().length
    await until(() => asked().length > before + 'passive '.length * 3)
    assert.equal(asked().split('restart').length, 2)
    clock.ms += 1
    await until(() => asked().split('restart').length === 3)
    await checkpoints.close()
    database.close()
  })

  test('the thread lets writers go on where a reader stays', async () => {
    const { path, database, write } = open('reader.db')
    const reader = openDatabase(path)
    write()
    const thread = new Worker(new URL('./checkpoint-thread.ts', import.meta.url), { workerData: path })
    reader.exec('BEGIN')
    reader.prepare('SELECT count(*) FROM thing').get()
    write()
    const answer = once(thread, 'message')
    thread.postMessage('restart')
    let isAnswered = false
    thread.once('message', () => (isAnswered = true))
    // Far longer than writers may be kept out, and far shorter than others wait for a lock.
    database.exec('PRAGMA busy_timeout = 2000')
    await until(() => {
      write()
      return isAnswered
    })
    const [{ isBusy }] = await answer
    assert.equal(isBusy, true)
    reader.exec('COMMIT')
    thread.postMessage('close')
    await once(thread, 'exit')
    for (const each of [reader, database]) each.close()
  })

  test('a log that cannot be looked at is told of, and looked at again', async () => {
    const { path, database, write } = open('unseen.db')
    write()
    const log = `${path}-wal`
    const told: string[] = []
    const onError = (error: StoreError) => void told.push(error.message)
    rmSync(log)
    symlinkSync('unseen.db-wal', log)
    const checkpoints = createCheckpoints(database, { ...EAGER, retryAfterMs: 1, onError })
    await until(() => told.length > 1)
    assert.match(String(told[0]), /cannot look at the log of the database: ELOOP/)
    await checkpoints.close()
    rmSync(log)
    database.close()
  })

  test('a database in memory has no log', async () => {
    const database = openDatabase(':memory:')
    await createCheckpoints(database, { onError: assert.fail }).close()
    database.close()
  })
})
