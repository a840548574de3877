import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { openState, refuseWrites, rowCount } from './testing/state.ts'

const LOG = 'public-good'
const entry = (logIndex: string, size = 10) => ({ logIndex, json: JSON.stringify('x'.repeat(size)) })

describe('log entries', () => {
  it('are known by log and uuid, and by index', () => {
    const { state } = openState()
    state.setLogEntry(LOG, 'ab', entry('7'))
    assert.equal(state.getLogEntry(LOG, 'ab'), entry('7').json)
    assert.deepEqual(state.findLogEntry(LOG, '7'), { uuid: 'ab', json: entry('7').json })
    assert.equal(state.getLogEntry('another', 'ab'), undefined)
    assert.equal(state.findLogEntry('another', '7'), undefined)
    assert.equal(state.findLogEntry(LOG, '8'), undefined)
  })

  it('are replaced as a whole, and outlive the store', () => {
    const { state, database } = openState()
    state.setLogEntry(LOG, 'ab', entry('7'))
    state.setLogEntry(LOG, 'ab', entry('8', 20))
    const again = openState({ database }).state
    assert.equal(again.getLogEntry(LOG, 'ab'), entry('8', 20).json)
    assert.equal(again.findLogEntry(LOG, '7'), undefined)
    assert.equal(rowCount(database, 'log_entry'), 1)
  })

  it('go by last use when the budget is passed', () => {
    const { state, clock, database } = openState({ logEntryBytesMax: 10_000 })
    for (const uuid of ['aa', 'bb']) {
      state.setLogEntry(LOG, uuid, entry(uuid, 4_000))
      clock.ms += 2 * 3_600_000
    }
    assert.ok(state.getLogEntry(LOG, 'aa') !== undefined, 'used after bb')
    clock.ms += 1
    state.setLogEntry(LOG, 'cc', entry('cc', 4_000))
    assert.deepEqual(
      ['aa', 'bb', 'cc'].filter((uuid) => state.getLogEntry(LOG, uuid) !== undefined),
      ['aa', 'cc'],
    )
    assert.ok(Number(database.prepare('SELECT sum(size) AS n FROM log_entry').get()?.['n']) <= 10_000)
  })

  it('that are many and small count for what they take', () => {
    const { state, database } = openState({ logEntryBytesMax: 10_000 })
    for (let index = 0; index < 1_000; index += 1) state.setLogEntry(LOG, String(index), entry('1', 0))
    assert.ok(rowCount(database, 'log_entry') < 20)
  })

  it('larger than the budget are not kept, nor what they replace', () => {
    const { state } = openState({ logEntryBytesMax: 5_000 })
    state.setLogEntry(LOG, 'ab', entry('7'))
    state.setLogEntry(LOG, 'ab', entry('7', 6_000))
    assert.equal(state.getLogEntry(LOG, 'ab'), undefined)
  })

  for (const column of ['json', 'log_index', 'checksum']) {
    it(`are dropped where ${column} has changed, and may be looked up again`, () => {
      const { state, database, errors } = openState()
      state.setLogEntry(LOG, 'ab', entry('7'))
      database.exec(`UPDATE log_entry SET ${column} = '1'`)
      assert.equal(state.getLogEntry(LOG, 'ab'), undefined)
      assert.deepEqual(
        errors.map(({ code }) => code),
        ['damaged'],
      )
      assert.equal(rowCount(database, 'log_entry'), 0)
      state.setLogEntry(LOG, 'ab', entry('7'))
      assert.equal(state.getLogEntry(LOG, 'ab'), entry('7').json)
    })
  }

  it('are kept in memory where the disk refuses them', () => {
    const { state, database, errors } = openState()
    state.setLogEntry(LOG, 'ab', entry('7'))
    const allow = refuseWrites(database)
    state.setLogEntry(LOG, 'cd', entry('8'))
    assert.equal(errors.length, 1)
    assert.equal(state.getLogEntry(LOG, 'ab'), entry('7').json)
    assert.equal(state.getLogEntry(LOG, 'cd'), entry('8').json)
    assert.equal(state.findLogEntry(LOG, '8')?.uuid, 'cd')
    allow()
    state.close()
  })
})
