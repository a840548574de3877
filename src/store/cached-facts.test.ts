import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { digestOf, type Digest } from '../oci/digest.ts'
import { parseRepository, parseTag } from '../oci/reference.ts'
import { inTransaction, integerOf, openDatabase, type Database } from './database.ts'
import type { StoreError } from './error.ts'
import { createStateStore } from './state.ts'
import type { StateStore } from './types.ts'

const digest = (name: string): Digest => digestOf(Buffer.from(name))
const repository = parseRepository('ghcr.io', 'a/b')!
const tag = parseTag('v1')!
const noEvidence = { candidates: [], rejected: [], failures: [] }
const fact = {
  repository,
  digest: digest('image'),
  policy: 'p',
  policyVersion: '1',
  at: new Date(1),
}

function openLater(t: TestContext, limits: { manifestRowsMax?: number } = {}) {
  const directory = mkdtempSync(join(tmpdir(), 'cached-facts-'))
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  const path = join(directory, 'state.db')
  const database = openDatabase(path)
  const errors: StoreError[] = []
  const queue = { soon: [] as (() => void)[], eventually: [] as (() => void)[] }
  const state = createStateStore(database, {
    ...limits,
    now: () => new Date(1_000_000),
    onError: (error) => errors.push(error),
    later: {
      soon: (work) => queue.soon.push(work),
      eventually: (work) => queue.eventually.push(work),
    },
  })
  const run = (kind: keyof typeof queue) => {
    for (const work of queue[kind].splice(0)) work()
  }
  const elsewhere = openDatabase(path, 'guest')
  t.after(() => elsewhere.close())
  return { state, database, errors, queue, run, elsewhere }
}

/** Another text after each commit of somebody else. */
function revision(database: Database): number {
  return integerOf(database.prepare('PRAGMA data_version').get() ?? {}, 'data_version')
}

function tellAll(state: StateStore): void {
  state.addManifest(repository, digest('image'), 'type')
  state.setEvidence(repository, digest('image'), noEvidence, new Date(1))
  state.setFindings(repository, digest('image'), { trusted: '', json: '{}' })
  state.addClosure(repository, digest('image'), {
    children: [digest('child')],
    blobs: [digest('blob')],
    isEvidence: false,
  })
  state.noteSatisfied(fact)
}

function assertKnown(state: StateStore): void {
  assert.equal(state.manifestType(repository, digest('image')), 'type')
  assert.deepEqual(state.getEvidence(repository, digest('image'))?.discovery, noEvidence)
  assert.deepEqual(state.getFindings(repository, digest('image')), { trusted: '', json: '{}' })
  assert.deepEqual(state.parentsOfManifest(repository, digest('child')), [digest('image')])
  assert.deepEqual(state.parentsOfBlob(repository, digest('blob')), [digest('image')])
  assert.deepEqual(state.lastSatisfied(fact), fact.at)
}

function refuse(database: Database, table: string): void {
  database.exec(
    `CREATE TEMP TRIGGER full BEFORE INSERT ON main.${table} BEGIN SELECT RAISE(ABORT, 'full'); END`,
  )
}

const asWritten = { now: () => new Date(1_000_000), isChecked: true, onError: assert.fail }

describe('facts that are written later', () => {
  it('are one transaction, with those of everybody else', async (t) => {
    const { state, run, elsewhere, queue } = openLater(t)
    const before = revision(elsewhere)
    tellAll(state)
    assert.equal(revision(elsewhere), before, 'nobody waits for them yet')
    const waits = [state.written(), state.written()]
    state.addManifest(repository, digest('another'), 'type')
    assert.equal(queue.soon.length, 1)
    assert.equal(revision(elsewhere), before, 'others may be ready in this turn')
    run('soon')
    await Promise.all(waits)
    assert.equal(revision(elsewhere), before + 1)
    const reader = createStateStore(elsewhere, asWritten)
    assertKnown(reader)
    assert.equal(reader.manifestType(repository, digest('another')), 'type')
    state.close()
  })

  it('are written though nobody waits', (t) => {
    const { state, run, elsewhere, queue } = openLater(t)
    tellAll(state)
    assert.equal(queue.eventually.length, 1)
    run('eventually')
    assertKnown(createStateStore(elsewhere, asWritten))
    state.addManifest(repository, digest('newer'), 'type')
    assert.equal(queue.eventually.length, 1, 'and so are those that come after')
    state.close()
  })

  it('nothing to write is nothing to wait for', async (t) => {
    const { state, queue } = openLater(t)
    await state.written()
    assert.deepEqual(queue, { soon: [], eventually: [] })
    state.close()
  })

  it('are known at once to whoever asks here', (t) => {
    const { state } = openLater(t)
    tellAll(state)
    assertKnown(state)
    assert.equal(state.isManifest(digest('image')), true)
    state.addManifest(repository, digest('second'), 'type')
    assert.equal(state.isManifest(digest('second')), true)
    state.close()
  })

  it('are written when the store is closed', (t) => {
    const { state, elsewhere } = openLater(t)
    tellAll(state)
    state.close()
    assertKnown(createStateStore(elsewhere, asWritten))
  })

  it('are written when there is no time to wait', async (t) => {
    const { state, elsewhere } = openLater(t)
    tellAll(state)
    const written = state.written()
    state.flush()
    await written
    assertKnown(createStateStore(elsewhere, asWritten))
    state.close()
  })

  it('are no part of a transaction of somebody else, and are not told as written when it is rolled back', async (t) => {
    const { state, database, elsewhere, run } = openLater(t)
    tellAll(state)
    let isWritten = false
    const written = state.written().then(() => (isWritten = true))
    const rolledBack = () =>
      inTransaction(database, () => {
        state.recordDecision({ key: 'k', id: 'i', at: new Date(1), json: '{}' })
        assert.equal(state.lastSatisfied(fact), undefined, 'what is stored is what counts within it')
        throw new Error('full')
      })
    assert.throws(rolledBack, { message: 'full' })
    await Promise.resolve()
    assert.equal(isWritten, false)
    run('soon')
    await written
    assertKnown(createStateStore(elsewhere, asWritten))
    state.close()
  })

  it('tags are not: one that waits would come back after somebody else has dropped it', (t) => {
    const { state, elsewhere, run, errors } = openLater(t)
    const other = createStateStore(elsewhere, asWritten)
    state.addManifest(repository, digest('image'), 'type')
    state.setTag(repository, tag, digest('image'), new Date(1))
    assert.equal(other.manifestType(repository, digest('image')), undefined, 'what waits goes on waiting')
    assert.equal(other.getTag(repository, tag)?.digest, digest('image'))
    other.dropTag(repository, tag)
    run('eventually')
    assert.equal(state.getTag(repository, tag), undefined)
    assert.deepEqual(errors, [])
    state.close()
  })

  it('overwrite no evidence that somebody else has gathered since', (t) => {
    const { state, elsewhere, run } = openLater(t)
    const other = createStateStore(elsewhere, asWritten)
    state.setEvidence(repository, digest('image'), noEvidence, new Date(1_000))
    other.setEvidence(repository, digest('image'), noEvidence, new Date(2_000))
    run('eventually')
    assert.deepEqual(state.getEvidence(repository, digest('image'))?.gatheredAt, new Date(2_000))
    state.close()
  })

  it('are written before a record that was made after them', (t) => {
    const { state, elsewhere } = openLater(t)
    state.noteSatisfied(fact)
    state.recordDecision({ key: 'k', id: 'i', at: new Date(1), json: '{}' })
    assert.deepEqual(createStateStore(elsewhere, asWritten).lastSatisfied(fact), fact.at)
    state.close()
  })
})

describe('a disk that refuses one of them', () => {
  it('takes the others, and the one is known until the end', async (t) => {
    const { state, database, elsewhere, errors, run } = openLater(t)
    refuse(database, 'evidence')
    tellAll(state)
    const written = state.written()
    run('soon')
    await written
    assert.deepEqual(
      errors.map(({ message }) => message.includes('cannot write state')),
      [true],
    )
    assertKnown(state)
    const reader = createStateStore(elsewhere, asWritten)
    assert.equal(reader.getEvidence(repository, digest('image')), undefined)
    assert.equal(reader.manifestType(repository, digest('image')), 'type')
    state.close()
  })

  it('does not make the others count twice', (t) => {
    const { state, database, elsewhere, run } = openLater(t, { manifestRowsMax: 2 })
    refuse(database, 'evidence')
    for (const name of ['first', 'second']) {
      state.addManifest(repository, digest(name), 'type')
      state.setEvidence(repository, digest(name), noEvidence, new Date(1))
      run('eventually')
    }
    const reader = createStateStore(elsewhere, asWritten)
    for (const name of ['first', 'second'])
      assert.equal(reader.manifestType(repository, digest(name)), 'type', name)
    state.close()
  })
})

describe('a database that somebody else holds', () => {
  it('is waited for once, however many facts there are, and all of them are known until the end', async (t) => {
    const { state, database, elsewhere, errors, run } = openLater(t)
    database.exec('PRAGMA busy_timeout = 0')
    tellAll(state)
    const written = state.written()
    elsewhere.exec('BEGIN IMMEDIATE')
    run('soon')
    await written
    assert.deepEqual(
      errors.map(({ message }) => message),
      ['cannot write state: database is locked'],
    )
    assertKnown(state)
    elsewhere.exec('ROLLBACK')
    state.close()
  })
})

describe('a fact that nothing can keep', () => {
  it('is reported, and the others are written', async (t) => {
    const { state, elsewhere, errors, run } = openLater(t)
    const unspeakable = {
      children: [],
      isEvidence: false,
      get blobs(): never {
        throw new Error('no')
      },
    }
    state.addClosure(repository, digest('image'), unspeakable)
    state.noteSatisfied(fact)
    const written = state.written()
    run('soon')
    await written
    assert.deepEqual(
      errors.map(({ message }) => message),
      ['cannot write state: no', 'cannot keep state in memory: no'],
    )
    assert.deepEqual(createStateStore(elsewhere, asWritten).lastSatisfied(fact), fact.at)
    state.close()
  })
})
