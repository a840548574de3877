import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { digest, openState, refuseWrites, repository, rowCount } from './testing/state.ts'
import type { SatisfiedFact } from './types.ts'

const image = repository('a/b')
const fact = (name: string, atMs: number): SatisfiedFact => ({
  repository: image,
  digest: digest(name),
  policy: 'signed',
  policyVersion: 'v1',
  at: new Date(atMs),
})

describe('that an image satisfied a policy', () => {
  it('is known by repository, digest, policy and its version', () => {
    const { state } = openState()
    state.noteSatisfied(fact('image', 5))
    assert.deepEqual(state.lastSatisfied(fact('image', 0)), new Date(5))
    const others: Partial<SatisfiedFact>[] = [
      { repository: repository('a/c') },
      { digest: digest('another') },
      { policy: 'attested' },
      { policyVersion: 'v2' },
    ]
    for (const other of others)
      assert.equal(state.lastSatisfied({ ...fact('image', 0), ...other }), undefined, JSON.stringify(other))
  })

  it('is as of the last time, whatever the order, and outlives the store', () => {
    const { state, database } = openState()
    for (const atMs of [5, 9, 7]) state.noteSatisfied(fact('image', atMs))
    assert.deepEqual(openState({ database }).state.lastSatisfied(fact('image', 0)), new Date(9))
    assert.equal(rowCount(database, 'satisfied'), 1)
  })

  it('is forgotten beyond the limit, what was noted longest ago first', () => {
    const { state, database, clock } = openState({ satisfiedRowsMax: 3 })
    const note = (name: string): void => {
      clock.ms += 1
      state.noteSatisfied(fact(name, clock.ms))
    }
    for (const name of ['a', 'b', 'c', 'a', 'd']) note(name)
    const kept = ['a', 'b', 'c', 'd'].filter((name) => state.lastSatisfied(fact(name, 0)) !== undefined)
    assert.deepEqual(kept, ['a', 'c', 'd'])
    openState({ database, satisfiedRowsMax: 1 })
    assert.equal(rowCount(database, 'satisfied'), 1, 'a limit that was lowered')
  })

  const damages = [
    { name: 'its time', sql: 'UPDATE satisfied SET at = at + 1000000000' },
    { name: 'its checksum', sql: "UPDATE satisfied SET checksum = 'x'" },
  ]
  for (const { name, sql } of damages) {
    it(`is dropped where ${name} has changed`, () => {
      const { state, database, errors } = openState()
      state.noteSatisfied(fact('image', 5))
      database.exec(sql)
      assert.equal(state.lastSatisfied(fact('image', 0)), undefined)
      assert.deepEqual(
        errors.map(({ code }) => code),
        ['damaged'],
      )
      assert.equal(rowCount(database, 'satisfied'), 0)
      state.noteSatisfied(fact('image', 6))
      assert.deepEqual(state.lastSatisfied(fact('image', 0)), new Date(6))
    })
  }

  it('goes with all that is known of its image: it may have been the end of something', () => {
    const { state, database } = openState()
    state.noteSatisfied(fact('image', 5))
    state.noteSatisfied({ ...fact('image', 6), policyVersion: 'violated v1' })
    state.noteSatisfied(fact('another', 5))
    database.exec("UPDATE satisfied SET checksum = 'x' WHERE policy_version = 'violated v1'")
    assert.equal(state.lastSatisfied({ ...fact('image', 0), policyVersion: 'violated v1' }), undefined)
    assert.equal(state.lastSatisfied(fact('image', 0)), undefined)
    assert.deepEqual(state.lastSatisfied(fact('another', 0)), new Date(5))
  })

  it('is kept in memory where the disk refuses it; the later of the two counts', () => {
    const { state, database, errors } = openState()
    state.noteSatisfied(fact('image', 5))
    const allow = refuseWrites(database)
    state.noteSatisfied(fact('image', 9))
    state.noteSatisfied(fact('another', 3))
    assert.equal(errors.length, 2)
    assert.deepEqual(state.lastSatisfied(fact('image', 0)), new Date(9))
    assert.deepEqual(state.lastSatisfied(fact('another', 0)), new Date(3))
    allow()
    state.noteSatisfied(fact('another', 4))
    assert.deepEqual(state.lastSatisfied(fact('another', 0)), new Date(4))
    state.close()
  })
})
