import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { digest, openState, refuseWrites, repository, rowCount } from './testing/state.ts'

const image = repository('a/b')
const found = { trusted: 'root 1', json: '{"verified":[]}' }
const HOUR_MS = 3_600_000

describe('findings', () => {
  it('are what was written last for the image', () => {
    const { state } = openState()
    assert.equal(state.getFindings(image, digest('one')), undefined)
    state.setFindings(image, digest('one'), found)
    state.setFindings(image, digest('two'), { ...found, json: '{}' })
    assert.deepEqual(state.getFindings(image, digest('one')), found)
    state.setFindings(image, digest('one'), { ...found, trusted: 'root 2' })
    assert.deepEqual(state.getFindings(image, digest('one')), { ...found, trusted: 'root 2' })
    assert.equal(state.getFindings(repository('a/c'), digest('one')), undefined)
  })

  it('are bounded: those that were read longest ago go first, a pull counts as reading', () => {
    const json = JSON.stringify('x'.repeat(1_000))
    const { state, database, clock } = openState({ findingBytesMax: 5 * 1_600 })
    state.setFindings(image, digest('read'), { trusted: '', json })
    state.setFindings(image, digest('pulled'), { trusted: '', json })
    for (let index = 0; index < 20; index += 1) {
      clock.ms += 2 * HOUR_MS
      assert.notEqual(state.getFindings(image, digest('read')), undefined)
      state.noteUse(image, digest('pulled'))
      state.setFindings(image, digest(`image ${index}`), { trusted: '', json })
    }
    assert.equal(rowCount(database, 'finding'), 5)
    assert.notEqual(state.getFindings(image, digest('read')), undefined)
    assert.notEqual(state.getFindings(image, digest('pulled')), undefined)
    assert.equal(state.getFindings(image, digest('image 10')), undefined)
  })

  it('that are too large are not kept, nor what they replace', () => {
    const { state } = openState()
    state.setFindings(image, digest('one'), found)
    state.setFindings(image, digest('one'), { trusted: '', json: 'x'.repeat(1024 * 1024) })
    assert.equal(state.getFindings(image, digest('one')), undefined)
  })

  for (const damage of [`json = '{}'`, `trusted = 'root 2'`]) {
    it(`are dropped, and it is told, after UPDATE … ${damage}`, () => {
      const { state, database, errors } = openState()
      state.setFindings(image, digest('one'), found)
      database.exec(`UPDATE finding SET ${damage}`)
      assert.equal(state.getFindings(image, digest('one')), undefined)
      assert.deepEqual(
        errors.map(({ code }) => code),
        ['damaged'],
      )
      assert.equal(rowCount(database, 'finding'), 0)
    })
  }

  it('that the disk refuses are kept in memory', () => {
    const { state, database, errors } = openState()
    refuseWrites(database)
    state.setFindings(image, digest('one'), found)
    assert.deepEqual(state.getFindings(image, digest('one')), found)
    assert.equal(errors.length, 1)
  })
})
