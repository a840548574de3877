import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { test } from 'node:test'
import { isVouchedFor, type Trial } from './gate.ts'
import type { Digest } from './oci/digest.ts'
import type { Verdict } from './policy/types.ts'
import { StoreError } from './store/error.ts'
import { refuseWrites } from './store/testing/state.ts'
import { admittedBy, APP, CHILD, ELSEWHERE, INDEX, judged, MINUTE, OTHER, setUp } from './testing/gate.ts'

test('an image that nobody could judge passes within the budget, and is on the disk when it does', () => {
  const { pull, state, kinds } = setUp()
  assert.equal(admittedBy(pull(INDEX, judged('undetermined'))), 'open')
  assert.deepEqual(
    state.openAdmissions().map(({ digest: image, clients }) => [image, clients]),
    [[INDEX, ['10.0.0.1']]],
  )
  assert.equal(pull(OTHER, judged('undetermined')).kind, 'hold')
  assert.deepEqual(kinds(), ['admitted', 'no-room'])
})

test('stance closed holds and stance last-verified holds what was never satisfied; neither asks the budget', () => {
  const { pull, state, kinds } = setUp()
  for (const stance of ['closed', 'last-verified'] as const)
    assert.equal(pull(INDEX, judged('undetermined', stance)).kind, 'hold')
  assert.deepEqual(state.openAdmissions(), [])
  assert.deepEqual(kinds(), [])
})

test('what was satisfied before passes without spending budget, until it is too old', () => {
  const { pull, satisfy, state, clock } = setUp()
  satisfy(INDEX)
  clock.ms += 60 * MINUTE
  for (const stance of ['last-verified', 'open'] as const)
    assert.equal(admittedBy(pull(INDEX, judged('undetermined', stance))), 'last-verified')
  assert.deepEqual(state.openAdmissions(), [])
  clock.ms += 1
  assert.equal(pull(INDEX, judged('undetermined', 'last-verified')).kind, 'hold')
  assert.equal(admittedBy(pull(INDEX, judged('undetermined', 'open'))), 'open')
})

test('what satisfied the policy in another version did not satisfy this one', () => {
  const { gate, satisfy } = setUp()
  satisfy(INDEX)
  const results = judged('undetermined', 'last-verified').results.map((result) => ({
    ...result,
    version: 'v2',
  }))
  assert.equal(gate.outcome(APP, INDEX, { results }).kind, 'hold')
})

test('a violation is refused whatever was before, and ends what was before', () => {
  const { gate, pull, satisfy, clock } = setUp()
  satisfy(INDEX)
  clock.ms += 1
  assert.equal(pull(INDEX, judged('violated')).kind, 'refuse')
  gate.noteJudged(APP, INDEX, judged('violated'))
  assert.equal(pull(INDEX, judged('undetermined')).kind, 'hold')
  clock.ms += 1
  satisfy(INDEX)
  assert.equal(admittedBy(pull(INDEX, judged('undetermined'))), 'last-verified')
})

test('children and blobs pass as long as their image does, and spend nothing', () => {
  const { gate, pull, state, clock } = setUp()
  assert.equal(gate.peek(APP, INDEX, judged('undetermined')).kind, 'hold', 'nobody has pulled it')
  assert.equal(gate.peek(APP, CHILD, judged('undetermined')).kind, 'hold')
  pull(INDEX, judged('undetermined'))
  assert.equal(admittedBy(gate.peek(APP, INDEX, judged('undetermined'))), 'open')
  assert.equal(admittedBy(gate.peek(APP, CHILD, judged('undetermined'))), 'open')
  assert.equal(admittedBy(pull(CHILD, judged('undetermined'), '10.0.0.2')), 'open')
  const [stored, ...others] = state.openAdmissions()
  assert.deepEqual(others, [], 'the child is recorded under its index')
  assert.deepEqual(stored?.clients, ['10.0.0.1', '10.0.0.2'])
  clock.ms += 10 * MINUTE + 1
  for (const image of [INDEX, CHILD]) assert.equal(gate.peek(APP, image, judged('undetermined')).kind, 'hold')
})

test('a child that was refused by itself is not let in by an index that nobody could judge', () => {
  const { gate, pull } = setUp()
  gate.noteJudged(APP, CHILD, judged('violated'))
  pull(INDEX, judged('undetermined'))
  assert.equal(pull(CHILD, judged('undetermined')).kind, 'hold')
  assert.equal(gate.peek(APP, CHILD, judged('undetermined')).kind, 'hold')
})

test('a child of an index that was satisfied was satisfied', () => {
  const { pull, satisfy } = setUp()
  satisfy(INDEX)
  assert.equal(admittedBy(pull(CHILD, judged('undetermined', 'last-verified'))), 'last-verified')
  assert.equal(pull(OTHER, judged('undetermined', 'last-verified')).kind, 'hold')
})

test('a restart in the middle of an outage lets pass what passed before, and no more', () => {
  const { pull, restart } = setUp()
  pull(INDEX, judged('undetermined'))
  const { gate, events } = restart()
  assert.deepEqual(events, [{ kind: 'waiting', count: 1 }])
  assert.equal(admittedBy(gate.peek(APP, CHILD, judged('undetermined'))), 'open')
  assert.equal(gate.outcome(APP, OTHER, judged('undetermined')).kind, 'hold')
})

test('a disk that refuses: the admission throws, and nothing is admitted afterwards', () => {
  const { gate, pull, database } = setUp()
  const allow = refuseWrites(database)
  assert.throws(() => pull(INDEX, judged('undetermined')), StoreError)
  allow()
  assert.equal(gate.peek(APP, INDEX, judged('undetermined')).kind, 'hold')
  assert.equal(gate.admittedLately(APP, INDEX), undefined)
})

test('blobs of a pull that was just admitted need no judgement: in the same epoch, for a minute, unless refused', () => {
  const { gate, pull, epoch, clock } = setUp()
  const judgement = judged('undetermined')
  pull(INDEX, judgement)
  assert.equal(gate.admittedLately(APP, INDEX), judgement)
  epoch.key = 'two'
  assert.equal(gate.admittedLately(APP, INDEX), undefined)
  epoch.key = 'one'
  clock.ms += MINUTE + 1
  assert.equal(gate.admittedLately(APP, INDEX), undefined)
  clock.ms -= MINUTE
  gate.noteJudged(APP, INDEX, judged('violated'))
  assert.equal(gate.admittedLately(APP, INDEX), undefined)
})

test('a child that was refused does not pass by the fact of its index, unless it was satisfied itself since', () => {
  const { satisfy, restart, state, clock } = setUp()
  const undetermined = judged('undetermined', 'last-verified')
  satisfy(INDEX)
  const refused = { repository: APP, digest: CHILD }
  const id = hash('sha256', 'k', 'hex').slice(0, 12)
  state.recordDecision({ key: 'k', id, at: new Date(clock.ms), json: 'k', refused })
  const later = restart()
  assert.equal(later.pull(CHILD, undetermined).kind, 'hold')
  assert.equal(later.gate.peek(APP, CHILD, undetermined).kind, 'hold')
  assert.equal(admittedBy(later.pull(INDEX, undetermined)), 'last-verified')
  later.satisfy(CHILD)
  assert.equal(admittedBy(later.pull(CHILD, undetermined)), 'last-verified')
})

test('when an index is refused, what it names does not pass by what it was before, also after a restart', () => {
  const { gate, satisfy, restart, clock } = setUp()
  const undetermined = judged('undetermined', 'last-verified')
  satisfy(INDEX)
  satisfy(CHILD)
  clock.ms += 1
  gate.noteJudged(APP, INDEX, judged('violated'))
  const later = restart()
  assert.equal(later.pull(CHILD, undetermined).kind, 'hold')
  assert.equal(later.gate.peek(APP, CHILD, undetermined).kind, 'hold')
  later.clock.ms += 60 * MINUTE
  later.satisfy(CHILD)
  assert.equal(admittedBy(later.pull(CHILD, undetermined)), 'last-verified', 'by itself, or by another index')
})

test('what is judged when nobody waits for it any more counts as what is served', () => {
  const { gate, pull } = setUp()
  gate.noteJudged(APP, OTHER, judged('satisfied'))
  gate.flush()
  assert.equal(admittedBy(pull(OTHER, judged('undetermined', 'last-verified'))), 'last-verified')
})

test('a rehearsal tells nothing, spends nothing, and admits no more than the budget has', () => {
  const { gate, state, kinds, pull } = setUp()
  const trial: Trial = new Map()
  const rehearse = (image: Digest, verdict: Verdict['kind'] = 'undetermined') =>
    admittedBy(gate.rehearse(APP, image, judged(verdict), trial))
  assert.equal(rehearse(INDEX), 'open')
  assert.equal(rehearse(CHILD), 'open', 'it is one image with its index')
  assert.equal(rehearse(INDEX), 'open')
  assert.equal(rehearse(OTHER), 'hold')
  assert.equal(rehearse(OTHER, 'satisfied'), '')
  assert.equal(admittedBy(gate.rehearse(ELSEWHERE, OTHER, judged('undetermined'), trial)), 'open')
  assert.deepEqual([kinds(), state.openAdmissions()], [[], []])
  pull(OTHER, judged('undetermined'))
  trial.clear()
  assert.equal(rehearse(OTHER), 'open', 'it is admitted')
  assert.equal(rehearse(INDEX), 'hold')
  assert.deepEqual(kinds(), ['admitted'])
})

test('vouched for is what a policy was content with, not what a budget let pass', () => {
  const { pull, satisfy } = setUp()
  const open = pull(INDEX, judged('undetermined'))
  assert.ok(open.kind === 'serve' && !isVouchedFor(open))
  satisfy(OTHER)
  const before = pull(OTHER, judged('undetermined'))
  assert.ok(before.kind === 'serve' && isVouchedFor(before))
})

test('what a ring without that policy is served ends no refusal', () => {
  const { gate } = setUp()
  const violated = judged('violated')
  gate.noteJudged(APP, INDEX, violated)
  // Of the ring's own pull, by the judgement for all rings.
  gate.noteServed(APP, INDEX, { ...violated })
  assert.equal(gate.outcome(APP, INDEX, judged('undetermined')).kind, 'hold')
  gate.noteServed(APP, INDEX, judged('satisfied'))
  assert.equal(admittedBy(gate.outcome(APP, INDEX, judged('undetermined', 'open'))), 'open')
})

test('where the disk does not say how many images wait, what was told last counts on', (context) => {
  const { gate, pull, events, budget } = setUp()
  const counts = () => events.flatMap((event) => (event.kind === 'waiting' ? [event.count] : []))
  const broken = context.mock.getter(budget, 'waiting', () => {
    throw new StoreError('unavailable', 'disk I/O error')
  })
  assert.equal(admittedBy(pull(INDEX, judged('undetermined'))), 'open', 'it is on the disk')
  gate.countWaiting()
  assert.deepEqual(counts(), [0])
  broken.mock.restore()
  gate.countWaiting()
  assert.deepEqual(counts(), [0, 1])
})
