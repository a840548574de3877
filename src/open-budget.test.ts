import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Digest } from './oci/digest.ts'
import { OpenBudget } from './open-budget.ts'
import { StoreError } from './store/error.ts'
import { digest, openState, refuseWrites, repository } from './store/testing/state.ts'

const APP = repository('acme/app')
const ELSEWHERE = { registry: 'quay.io', name: 'acme/app' }
const [ONE, TWO, THREE] = ['one', 'two', 'three'].map(digest) as [Digest, Digest, Digest]
const MINUTE = 60_000

function setUp(opened = openState()) {
  const { clock, state, database } = opened
  const deps = { state, now: () => new Date(clock.ms), openImagesMax: 2, openForMs: 10 * MINUTE }
  const budget = new OpenBudget(deps)
  const admit = (image: Digest, client = '10.0.0.1', decision = 'd1') =>
    budget.admit({ repository: APP, digest: image, policies: ['signed'], decision, client })
  const close = (image: Digest, verdict: 'satisfied' | 'violated') => {
    const admission = state.openAdmissions().find((one) => one.digest === image)
    assert.ok(admission)
    budget.close(admission, { at: new Date(clock.ms), verdict, reason: 'a reason' })
  }
  /** A process that starts over the same disk, at the same time. */
  const restart = () => {
    const next = openState({ database })
    next.clock.ms = clock.ms
    return setUp(next)
  }
  return { budget, admit, close, restart, clock, state, database }
}

test('images are counted once each, and no more of them pass than the budget has', () => {
  const { budget, admit } = setUp()
  assert.equal(budget.noRoomFor(APP, ONE), undefined)
  admit(ONE)
  admit(ONE, '10.0.0.2')
  admit(TWO)
  assert.equal(budget.noRoomFor(APP, THREE), 'images')
  assert.equal(budget.noRoomFor(repository('acme/other'), ONE), 'images', 'another repository, another image')
  assert.equal(budget.noRoomFor(APP, ONE), undefined)
  assert.ok(budget.isAdmitted(APP, ONE))
  assert.ok(!budget.isAdmitted(APP, THREE))
  assert.equal(budget.waiting, 2)
})

test('time runs from the first admission, and ends for all of them', () => {
  const { budget, admit, clock } = setUp()
  clock.ms += 1000 * MINUTE
  assert.equal(budget.noRoomFor(APP, ONE), undefined, 'no outage has begun')
  admit(ONE)
  clock.ms += 9 * MINUTE
  admit(TWO)
  clock.ms += MINUTE
  assert.ok(budget.isAdmitted(APP, TWO))
  clock.ms += 1
  assert.ok(!budget.isAdmitted(APP, ONE))
  assert.ok(!budget.isAdmitted(APP, TWO))
  assert.equal(budget.noRoomFor(APP, ONE), 'time')
  assert.equal(budget.noRoomFor(APP, THREE), 'time')
  assert.equal(budget.waiting, 2, 'they still wait to be judged')
})

test('the outage ends when all of its images have been judged, not before', () => {
  const { budget, admit, close, clock } = setUp()
  admit(ONE)
  admit(TWO)
  close(ONE, 'satisfied')
  assert.ok(!budget.isAdmitted(APP, ONE), 'what is judged is not open any more')
  assert.equal(budget.noRoomFor(APP, THREE), 'images', 'what is judged was spent')
  clock.ms += 11 * MINUTE
  close(TWO, 'satisfied')
  assert.equal(budget.waiting, 0)
  assert.equal(budget.noRoomFor(APP, THREE), undefined, 'another outage has a budget of its own')
})

test('what turned out to violate its policy passes in no outage', () => {
  const { budget, admit, close, restart } = setUp()
  admit(ONE)
  close(ONE, 'violated')
  assert.equal(budget.noRoomFor(APP, ONE), 'refused')
  const again = restart()
  assert.equal(again.budget.noRoomFor(APP, ONE), 'refused')
  again.budget.forgive(APP, ONE)
  assert.equal(again.budget.noRoomFor(APP, ONE), undefined)
})

test('a violation that is known ends an admission at once', () => {
  const { budget, admit } = setUp()
  admit(ONE)
  budget.refuse(APP, ONE)
  assert.ok(!budget.isAdmitted(APP, ONE))
})

test('a restart changes nothing: images, time, and those that were judged', () => {
  const { admit, close, restart, clock } = setUp()
  admit(ONE)
  clock.ms += 5 * MINUTE
  admit(TWO)
  close(ONE, 'satisfied')
  const { budget } = restart()
  assert.equal(budget.waiting, 1)
  assert.ok(budget.isAdmitted(APP, TWO))
  assert.ok(!budget.isAdmitted(APP, ONE))
  assert.equal(budget.noRoomFor(APP, THREE), 'images')
  clock.ms += 6 * MINUTE
  assert.equal(restart().budget.noRoomFor(APP, TWO), 'time')
})

test('a restart after an outage knows that it is over', () => {
  const { admit, close, restart, clock } = setUp()
  admit(ONE)
  admit(TWO)
  close(ONE, 'satisfied')
  close(TWO, 'satisfied')
  clock.ms += 1
  const after = restart()
  assert.equal(after.budget.noRoomFor(APP, THREE), undefined)
  after.admit(THREE)
  const { budget } = after.restart()
  assert.equal(budget.noRoomFor(APP, ONE), undefined, 'the second outage has spent one image')
  assert.equal(budget.waiting, 1)
})

test('one record an image and outage, whatever the decision is called, with everybody who pulled', () => {
  const { admit, state } = setUp()
  admit(ONE, '10.0.0.1', 'd1')
  admit(ONE, '10.0.0.2', 'd2')
  const [stored, ...others] = state.openAdmissions()
  assert.deepEqual(others, [])
  assert.deepEqual([stored?.decision, stored?.count, stored?.clients], ['d1', 2, ['10.0.0.1', '10.0.0.2']])
})

test('what the disk refuses is not admitted and spends nothing', () => {
  const { budget, admit, database } = setUp()
  const allow = refuseWrites(database)
  assert.throws(() => admit(ONE), StoreError)
  allow()
  assert.ok(!budget.isAdmitted(APP, ONE))
  assert.equal(budget.waiting, 0)
})

test('each registry has a budget of its own, and one that stays dead takes no other with it', () => {
  const { budget, admit, restart, clock } = setUp()
  admit(ONE)
  admit(TWO)
  assert.equal(budget.noRoomFor(APP, THREE), 'images')
  assert.equal(budget.noRoomFor(ELSEWHERE, THREE), undefined)
  clock.ms += 11 * MINUTE
  for (const { budget: any } of [{ budget }, restart()]) {
    assert.equal(any.noRoomFor(APP, THREE), 'time')
    assert.equal(any.noRoomFor(ELSEWHERE, THREE), undefined)
    assert.equal(any.waiting, 2)
  }
})

test('what violates its policy stays charged: who pushes it does not get the budget back when it is found out', () => {
  const { budget, admit, close, restart, clock } = setUp()
  admit(ONE)
  close(ONE, 'violated')
  admit(TWO)
  close(TWO, 'violated')
  clock.ms += 10 * MINUTE
  assert.equal(budget.noRoomFor(APP, THREE), 'images')
  assert.equal(restart().budget.noRoomFor(APP, THREE), 'images')
  clock.ms += 1
  assert.equal(restart().budget.noRoomFor(APP, THREE), undefined)
  assert.equal(budget.noRoomFor(APP, THREE), undefined)
})

test('what stays charged takes no time from the next outage', () => {
  const { budget, admit, close, restart, clock } = setUp()
  admit(ONE)
  close(ONE, 'violated')
  clock.ms += 9 * MINUTE
  admit(TWO)
  assert.equal(budget.noRoomFor(APP, THREE), 'images')
  clock.ms += 10 * MINUTE
  assert.ok(budget.isAdmitted(APP, TWO))
  assert.ok(restart().budget.isAdmitted(APP, TWO))
  clock.ms += 1
  assert.ok(!budget.isAdmitted(APP, TWO))
})

test('an image that nobody ever judges holds its outage open for six times as long as it may pass, and not for ever', () => {
  const { budget, admit, restart, clock } = setUp()
  admit(ONE)
  clock.ms += 60 * MINUTE
  assert.equal(budget.noRoomFor(APP, TWO), 'time')
  clock.ms += 1
  for (const { budget: any } of [{ budget }, restart()]) {
    assert.equal(any.noRoomFor(APP, TWO), undefined)
    assert.equal(any.waiting, 1, 'it still waits to be judged')
    assert.equal(any.noRoomFor(APP, ONE), 'time', 'and does not pass before it is')
    assert.ok(!any.isAdmitted(APP, ONE))
  }
  admit(TWO)
  admit(THREE)
  assert.equal(budget.noRoomFor(APP, digest('four')), 'images', 'it is not charged to the next outage')
})

test('a clock that was far ahead lets nothing pass, and holds no outage open', () => {
  const { budget, admit, restart, clock } = setUp()
  clock.ms += 1000 * MINUTE
  admit(ONE)
  clock.ms -= 1000 * MINUTE
  for (const { budget: any } of [{ budget }, restart()]) {
    assert.ok(!any.isAdmitted(APP, ONE))
    assert.equal(any.noRoomFor(APP, ONE), 'time')
    assert.equal(any.noRoomFor(APP, TWO), undefined)
  }
})

test('a clock that was a little ahead: the time is over until nobody can be wrong about its start', () => {
  const { budget, admit, clock } = setUp()
  clock.ms += 5 * MINUTE
  admit(ONE)
  clock.ms -= 5 * MINUTE
  assert.equal(budget.noRoomFor(APP, TWO), 'time')
  assert.ok(!budget.isAdmitted(APP, ONE))
  clock.ms += 5 * MINUTE
  assert.ok(budget.isAdmitted(APP, ONE))
})

test('a refusal on the disk counts, however many there were since', () => {
  const { budget, admit, state } = setUp()
  const refused = { repository: APP, digest: ONE }
  admit(ONE)
  state.recordDecision({ key: 'k', id: 'd1', at: new Date(0), json: 'k', refused })
  for (let index = 0; index < 10_001; index++) budget.refuse(APP, digest(`other ${index}`))
  assert.equal(budget.noRoomFor(APP, ONE), 'refused')
  assert.ok(!budget.isAdmitted(APP, ONE))
})
