import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { openState, refuseWrites } from '../store/testing/state.ts'
import { noteStages, ringOrder } from './stages.ts'
import { policyOf, RINGS, setOf } from './testing/rollout.ts'

const at = (ms: number) => new Date(ms)

function setUp() {
  const opened = openState()
  const note = (set: ReturnType<typeof setOf>, ms: number, rings = RINGS) =>
    noteStages(set, at(ms), { rings, state: opened.state })
  const since = () =>
    Object.fromEntries(
      opened.state
        .rolloutStages()
        .filter(({ policy }) => policy !== 'unmatched')
        .map(({ policy, ring, mode, since: from }) => [`${policy} ${ring} ${mode}`, from.getTime()]),
    )
  return { ...opened, note, since }
}

describe('a stage', () => {
  it('begins for every policy in every ring, and for the rule about images without one', () => {
    const { note, state, since } = setUp()
    note(setOf(policyOf('signed', { byRing: { beta: 'enforce' } })), 5)
    assert.deepEqual(since(), {
      'signed beta enforce': 5,
      'signed prod observe': 5,
      'signed default observe': 5,
    })
    assert.equal(state.rolloutStages().filter(({ policy }) => policy === 'unmatched').length, 3)
  })

  it('goes on while nothing changes, whatever else does', () => {
    const { note, since } = setUp()
    note(setOf(policyOf('signed')), 5)
    note(
      setOf(policyOf('signed', { runbook: 'https://r.test', origin: 'moved.yaml:1' }), policyOf('other')),
      9,
    )
    assert.deepEqual(
      Object.entries(since())
        .filter(([key]) => key.startsWith('signed'))
        .map(([, ms]) => ms),
      [5, 5, 5],
    )
    assert.equal(since()['other beta observe'], 9)
  })

  it('begins anew in a ring whose mode changes, and only there', () => {
    const { note, since } = setUp()
    note(setOf(policyOf('signed')), 5)
    note(setOf(policyOf('signed', { byRing: { beta: 'enforce' } })), 9)
    assert.deepEqual(since(), {
      'signed beta enforce': 9,
      'signed prod observe': 5,
      'signed default observe': 5,
    })
  })

  it('begins anew everywhere where the policy demands something else, also what it once demanded', () => {
    const { note, since } = setUp()
    note(setOf(policyOf('signed')), 5)
    note(setOf(policyOf('signed', { version: 'sha256:2' })), 7)
    note(setOf(policyOf('signed')), 9)
    assert.deepEqual(Object.values(since()), [9, 9, 9])
  })

  it('ends with its policy or its ring, and a policy that comes back begins anew', () => {
    const { note, since } = setUp()
    note(setOf(policyOf('signed')), 5)
    note(setOf(policyOf('signed')), 6, ['beta', 'default'])
    assert.deepEqual(Object.keys(since()), ['signed beta observe', 'signed default observe'])
    note(setOf(), 7)
    assert.deepEqual(since(), {})
    note(setOf(policyOf('signed')), 9)
    assert.deepEqual(Object.values(since()), [9, 9, 9])
  })

  it('outlives a restart with the same policies, and writes nothing then', () => {
    const { note, database, since } = setUp()
    note(setOf(policyOf('signed')), 5)
    refuseWrites(database)
    note(setOf(policyOf('signed')), 9)
    assert.deepEqual(Object.values(since()), [5, 5, 5])
    assert.throws(() => note(setOf(policyOf('other')), 9), { name: 'StoreError' })
  })
})

it('rings get something new as they are configured, and who is in none last', () => {
  assert.deepEqual(ringOrder(['b', 'a']), ['b', 'a', 'default'])
  assert.deepEqual(ringOrder(['b', 'default', 'a']), ['b', 'a', 'default'])
  assert.deepEqual(ringOrder([]), ['default'])
})
