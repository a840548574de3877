import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { checkAdmissions } from './admissions.ts'
import { digest, openState, refuseWrites, repository, rowCount } from './testing/state.ts'
import type { OpenAdmission } from './types.ts'

const admission: OpenAdmission = {
  repository: repository('a/b'),
  digest: digest('image'),
  policies: ['signed', 'attested'],
  decision: 'd1',
  client: '10.0.0.1',
  at: new Date(5),
}
const finding = { at: new Date(99), verdict: 'violated', reason: 'no signature' } as const

describe('images that were admitted open', () => {
  it('are kept as they were told, and outlive the store', () => {
    const { state, database } = openState()
    state.admitOpen(admission)
    const stored = openState({ database }).state.openAdmissions()
    const { client: _, at: __, ...rest } = admission
    assert.deepEqual(stored, [
      {
        ...rest,
        id: 1,
        firstAt: new Date(5),
        lastAt: new Date(5),
        count: 1,
        clients: ['10.0.0.1'],
        finding: undefined,
      },
    ])
  })

  it('count repeats, and name each client once and at most 32', () => {
    const { state, database } = openState()
    for (let index = 0; index < 40; index += 1)
      state.admitOpen({ ...admission, client: `10.0.0.${index}`, at: new Date(index) })
    state.admitOpen({ ...admission, client: '10.0.0.0', at: new Date(1) })
    const [stored] = state.openAdmissions()
    assert.equal(stored?.count, 41)
    assert.equal(stored.clients.length, 32)
    assert.equal(stored.clients[31], '10.0.0.31')
    assert.deepEqual([stored.firstAt, stored.lastAt], [new Date(0), new Date(39)])
    assert.equal(rowCount(database, 'admission'), 1)
  })

  it('are one for each image and decision', () => {
    const { state } = openState()
    state.admitOpen(admission)
    state.admitOpen({ ...admission, decision: 'd2' })
    state.admitOpen({ ...admission, digest: digest('another') })
    state.admitOpen({ ...admission, repository: repository('a/c') })
    assert.equal(state.openAdmissions().length, 4)
  })

  it('are closed with what they turned out to be, once', () => {
    const { state } = openState()
    state.admitOpen(admission)
    state.closeAdmission(1, finding)
    state.closeAdmission(1, { ...finding, verdict: 'satisfied' })
    state.closeAdmission(77, finding)
    assert.deepEqual(state.openAdmissions(), [])
    assert.deepEqual(state.admissions(10)[0]?.finding, finding)
  })

  it('are new ones when they are admitted again after that', () => {
    const { state } = openState()
    state.admitOpen(admission)
    state.closeAdmission(1, finding)
    state.admitOpen({ ...admission, at: new Date(200) })
    assert.deepEqual(
      state.openAdmissions().map(({ id, count }) => ({ id, count })),
      [{ id: 2, count: 1 }],
    )
    assert.equal(state.admissions(10).length, 2)
  })

  it('are listed oldest first where they wait, newest first otherwise', () => {
    const { state } = openState()
    for (const [index, decision] of ['a', 'b', 'c'].entries())
      state.admitOpen({ ...admission, decision, at: new Date(index) })
    state.admitOpen({ ...admission, decision: 'a', at: new Date(10) })
    const decisions = (stored: readonly { decision: string }[]) => stored.map(({ decision }) => decision)
    assert.deepEqual(decisions(state.openAdmissions()), ['a', 'b', 'c'])
    assert.deepEqual(decisions(state.admissions(2)), ['a', 'c'])
    assert.deepEqual(state.admissions(-1), [])
  })

  it('that cannot be written are an error, never a silence', () => {
    const { state, database } = openState()
    state.admitOpen(admission)
    const allow = refuseWrites(database)
    const refused = { name: 'StoreError', code: 'unavailable' }
    assert.throws(() => state.admitOpen(admission), refused)
    assert.throws(() => state.admitOpen({ ...admission, decision: 'd2' }), refused)
    assert.throws(() => state.closeAdmission(1, finding), refused)
    allow()
    assert.equal(state.openAdmissions()[0]?.count, 1)
    state.admitOpen(admission)
    assert.equal(state.openAdmissions()[0]?.count, 2)
  })

  it('name a client on the medium before they return, and count a known one without an fsync', () => {
    const { state, database } = openState()
    const synchronous: unknown[] = []
    database.function('note_sync', () => {
      synchronous.push(database.prepare('PRAGMA synchronous').get()?.['synchronous'])
      return 0
    })
    database.exec('CREATE TEMP TRIGGER watch AFTER INSERT ON admission BEGIN SELECT note_sync(); END')
    for (const client of ['one', 'one', 'two']) state.admitOpen({ ...admission, client })
    state.closeAdmission(1, finding)
    assert.deepEqual(synchronous, [2, 1, 2, 2])
  })

  const damages = [
    { name: 'a digest that is none', sql: "UPDATE admission SET digest = 'sha256:xyz'" },
    { name: 'policies that are no JSON', sql: "UPDATE admission SET policies = '['" },
    { name: 'clients that are no list of texts', sql: "UPDATE admission SET clients = '[1]'" },
    { name: 'another client', sql: 'UPDATE admission SET clients = \'["10.9.9.9"]\'' },
    { name: 'another count', sql: 'UPDATE admission SET count = 2' },
    { name: 'half a finding', sql: "UPDATE admission SET verdict = 'satisfied'" },
    { name: 'another checksum', sql: "UPDATE admission SET checksum = ''" },
  ]
  for (const { name, sql } of damages) {
    it(`with ${name} are told to be damaged, not left out`, () => {
      const { state, database } = openState()
      state.admitOpen(admission)
      assert.deepEqual([...checkAdmissions(database)], [])
      database.exec(sql)
      const damaged = { name: 'StoreError', code: 'damaged', message: /admission 1 / }
      assert.throws(() => state.admissions(10), damaged)
      assert.equal([...checkAdmissions(database)][0]?.id, 1)
    })
  }
})
