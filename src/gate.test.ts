import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { test } from 'node:test'
import { Gate, isVouchedFor, type GateEvent, type Trial } from './gate.ts'
import type { Digest } from './oci/digest.ts'
import { OpenBudget } from './open-budget.ts'
import type { Judgement, Outcome, Stance, Verdict } from './policy/types.ts'
import { StoreError } from './store/error.ts'
import { digest, openState, refuseWrites, repository } from './store/testing/state.ts'
import { VerifiedBefore } from './verified-before.ts'

const MINUTE = 60_000
const APP = repository('acme/app')
const ELSEWHERE = { registry: 'quay.io', name: 'acme/app' }
const INDEX = digest('index')
const CHILD = digest('child')
const OTHER = digest('other')

const VERDICTS: Readonly<Record<Verdict['kind'], Verdict>> = {
  satisfied: { kind: 'satisfied', by: [] },
  violated: { kind: 'violated', reasons: [] },
  undetermined: { kind: 'undetermined', causes: [{ dependency: 'registry', message: 'timed out' }] },
}

function judged(kind: Verdict['kind'], stance: Stance = 'open'): Judgement {
  const rest = { version: 'v1', mode: 'enforce', stance, runbook: undefined } as const
  return { results: [{ policy: 'signed', ...rest, verdict: VERDICTS[kind] }] }
}

function setUp(opened = openState()) {
  const { clock, state, database } = opened
  const now = () => new Date(clock.ms)
  const epoch = { key: 'one' }
  const events: GateEvent[] = []
  const gate = new Gate({
    epoch: () => epoch,
    state,
    before: new VerifiedBefore({ state, now, lastVerifiedMaxAgeMs: 60 * MINUTE }),
    budget: new OpenBudget({ state, now, openImagesMax: 1, openForMs: 10 * MINUTE }),
    now,
    onEvent: (event) => events.push(event),
  })
  const pulls: { count: number; recorded: string[] } = { count: 0, recorded: [] }
  /** A pull as the puller does it. */
  const pull = (image: Digest, judgement: Judgement, client = '10.0.0.1'): Outcome => {
    const decision = `d${++pulls.count}`
    const record = () => void pulls.recorded.push(decision)
    const outcome = gate.outcome(APP, image, judgement)
    if (outcome.kind === 'serve' && outcome.admitted.length > 0) {
      const { admitted } = outcome
      gate.admit({ repository: APP, digest: image, judgement, admitted, decision, client }, record)
    }
    return outcome
  }
  const satisfy = (image: Digest) => {
    gate.noteServed(APP, image, judged('satisfied'))
    gate.flush()
  }
  state.addClosure(APP, INDEX, { children: [CHILD], blobs: [], isEvidence: false })
  const kinds = () => events.map(({ kind }) => kind).filter((kind) => kind !== 'waiting')
  const restart = () => {
    const next = openState({ database })
    next.clock.ms = clock.ms
    return setUp(next)
  }
  return { gate, pull, pulls, satisfy, restart, kinds, events, epoch, clock, state, database }
}

function admittedBy(outcome: Outcome): string {
  return outcome.kind === 'serve' ? outcome.admitted.map(({ by }) => by).join() : outcome.kind
}

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
  const pulled = { repository: APP, digest: INDEX, judgement, admitted, decision: 'd1', client: '10.0.0.1' }
  const refuse = () => {
    throw new StoreError('unavailable', 'the disk is full')
  }
  assert.throws(() => gate.admit(pulled, refuse), StoreError)
  assert.deepEqual([state.openAdmissions(), kinds()], [[], []])
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
