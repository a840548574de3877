import assert from 'node:assert/strict'
import { test } from 'node:test'
import { StoreError } from './store/error.ts'
import { refuseWrites } from './store/testing/state.ts'
import { APP, INDEX, judged, MINUTE, RING, setUp } from './testing/gate.ts'

/** What the gate tells and writes of what it lets pass. */

test('the same client and image are told of once a minute, another client at once', () => {
  const { pull, kinds, state, clock } = setUp()
  for (let repeat = 0; repeat < 3; repeat++) pull(INDEX, judged('undetermined'))
  assert.equal(kinds().length, 1)
  pull(INDEX, judged('undetermined'), '10.0.0.2')
  clock.ms += MINUTE
  pull(INDEX, judged('undetermined'))
  assert.equal(kinds().length, 3)
  assert.equal(state.openAdmissions()[0]?.count, 3)
})

test('an image pulled again at once in another outage is recorded again', () => {
  const { gate, pull, state, clock } = setUp()
  pull(INDEX, judged('undetermined'))
  const [admission] = state.openAdmissions()
  assert.ok(admission)
  gate.close(admission, { at: new Date(clock.ms), verdict: 'satisfied', reason: 'by signed' })
  pull(INDEX, judged('undetermined'))
  assert.equal(state.openAdmissions().length, 1)
})

test('an admission that turns out violated is told before it is closed, and the image is held from then on', () => {
  const { gate, pull, events, state, database, clock } = setUp()
  pull(INDEX, judged('undetermined'))
  const [admission] = state.openAdmissions()
  assert.ok(admission)
  const finding = { at: new Date(clock.ms), verdict: 'violated', reason: 'no signature' } as const
  const allow = refuseWrites(database)
  assert.throws(() => gate.close(admission, finding), StoreError)
  allow()
  assert.deepEqual(events.at(-1), { kind: 'judged', admission, finding })
  gate.close(admission, finding)
  assert.deepEqual(events.at(-1), { kind: 'waiting', count: 0 })
  assert.equal(pull(INDEX, judged('undetermined')).kind, 'hold')
})

test('a decision is written before the first pull of a minute leaves, once for each client', () => {
  const { pull, pulls, clock } = setUp()
  const judgement = judged('undetermined')
  for (let repeat = 0; repeat < 3; repeat++) pull(INDEX, judgement)
  assert.deepEqual(pulls.recorded, ['d1'])
  pull(INDEX, judgement, '10.0.0.2')
  assert.equal(pulls.recorded.length, 2)
  clock.ms += MINUTE
  pull(INDEX, judgement)
  assert.equal(pulls.recorded.length, 3)
})

test('a decision that the disk refuses to hold leaves nothing', () => {
  const { gate, state, kinds } = setUp()
  const judgement = judged('undetermined')
  const admitted = [{ result: judgement.results[0] ?? assert.fail(), by: 'open' }] as const
  const asker = { client: '10.0.0.1', ring: RING }
  const pulled = { repository: APP, digest: INDEX, judgement, admitted, decision: 'd1', ...asker }
  const refuse = () => {
    throw new StoreError('unavailable', 'the disk is full')
  }
  assert.throws(() => gate.admit(pulled, refuse), StoreError)
  assert.deepEqual([state.openAdmissions(), kinds()], [[], []])
  assert.equal(gate.admittedLately(APP, INDEX), undefined)
})

test('an admission that waits for very long is told of once', () => {
  const { gate, pull, kinds, state, clock } = setUp()
  pull(INDEX, judged('undetermined'))
  clock.ms += 60 * MINUTE
  gate.noteWaiting(state.openAdmissions())
  assert.deepEqual(kinds(), ['admitted'])
  clock.ms += 1
  gate.noteWaiting(state.openAdmissions())
  gate.noteWaiting(state.openAdmissions())
  assert.deepEqual(kinds(), ['admitted', 'stale'])
  assert.equal(state.openAdmissions().length, 1, 'it still waits')
})

test('one client in two rings is told of by each', () => {
  const { gate, kinds } = setUp()
  const judgement = judged('undetermined')
  const admitted = [{ result: judgement.results[0] ?? assert.fail(), by: 'open' }] as const
  const image = { repository: APP, digest: INDEX, judgement, admitted, client: '10.0.0.1' }
  const ids = ['one', 'two', 'one'].map((name) =>
    gate.admit({ ...image, decision: name, ring: { name, stanceLimit: undefined } }, () => undefined),
  )
  assert.deepEqual(ids, ['one', 'two', 'one'])
  assert.deepEqual(kinds(), ['admitted', 'admitted'])
})
