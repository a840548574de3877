import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Admissions } from './admissions.ts'
import { Gate, type GateEvent } from './gate.ts'
import type { Judged } from './judge.ts'
import type { Digest } from './oci/digest.ts'
import { OpenBudget } from './open-budget.ts'
import type { Judgement, Mode, Verdict } from './policy/types.ts'
import type { Decision } from './record/decision.ts'
import { digest, openState, refuseWrites, repository } from './store/testing/state.ts'
import { UpstreamError, type UpstreamErrorCode } from './upstream/types.ts'
import { VerifiedBefore } from './verified-before.ts'

const APP = repository('acme/app')
const IMAGE = digest('image')
const UNSIGNED = { code: 'unsigned', authority: 'a', found: 'no signature at all', expected: 'one' } as const
const OUTAGE = { dependency: 'registry', message: 'timed out' } as const
const TOO_MUCH = { dependency: 'verifier', message: 'more referrers than anybody reads' } as const

const SATISFIED: Verdict = { kind: 'satisfied', by: [] }
const VIOLATED: Verdict = { kind: 'violated', reasons: [UNSIGNED] }
const DOWN: Verdict = { kind: 'undetermined', causes: [OUTAGE] }
const UNJUDGEABLE: Verdict = { kind: 'undetermined', causes: [TOO_MUCH] }
const BOTH: Verdict = { kind: 'undetermined', causes: [TOO_MUCH, OUTAGE] }

function judgement(...verdicts: readonly (readonly [policy: string, mode: Mode, Verdict])[]): Judgement {
  const rest = { version: 'v1', stance: 'open', runbook: undefined } as const
  const modesOf = (mode: Mode) => ({ mode, modes: { fallback: mode, byRing: new Map<string, Mode>() } })
  return {
    results: verdicts.map(([policy, mode, verdict]) => ({ policy, ...modesOf(mode), ...rest, verdict })),
  }
}

const only = (verdict: Verdict): Judgement => judgement(['signed', 'enforce', verdict])

type Answer = Judgement | UpstreamErrorCode

function setUp() {
  const { state, database, clock } = openState()
  const now = () => new Date(clock.ms)
  const events: GateEvent[] = []
  const asked: Digest[] = []
  const errors: unknown[] = []
  const recorded: Decision[] = []
  const answers = new Map<Digest, Answer>()
  const before = new VerifiedBefore({ state, now, lastVerifiedMaxAgeMs: 60_000 })
  const budget = new OpenBudget({ state, now, openImagesMax: 100, openForMs: 60_000 })
  const onEvent = (event: GateEvent) => void events.push(event)
  const gate = new Gate({ epoch: () => ({ key: 'one' }), state, before, budget, now, onEvent })
  const judge = {
    async judge(_: unknown, image: Digest): Promise<Judged> {
      asked.push(image)
      const answer = answers.get(image) ?? only(DOWN)
      if (typeof answer === 'string') throw new UpstreamError(answer, `upstream says ${answer}`)
      const versions = { policyVersion: 'p', trustVersion: 't' }
      const closure = { children: [], blobs: [], isEvidence: false }
      const found = { signing: { isSigned: false, hasProvenance: false }, isWhole: true }
      const rest = { coveredBy: undefined, isEvidence: false, closure, retiring: [], timings: {}, ...found }
      return await Promise.resolve({ digest: image, judgement: answer, ...versions, ...rest })
    },
  }
  const recorder = { record: (decision: Decision) => void recorded.push(decision), announce: () => undefined }
  const onError = (error: unknown) => void errors.push(error)
  const admissions = new Admissions({ state, judge, gate, recorder, now, onError })
  const admit = (image: Digest, client = '10.0.0.1') =>
    budget.admit({ repository: APP, digest: image, policies: ['signed'], decision: 'd1', client })
  const run = () => admissions.run(new AbortController().signal)
  const findings = () =>
    events.flatMap((event) =>
      event.kind === 'judged' ? [`${event.finding.verdict}: ${event.finding.reason}`] : [],
    )
  return { admit, run, answers, findings, events, asked, errors, recorded, state, database, gate, before }
}

type Case = readonly [name: string, Answer, finding: string | undefined]

const CASES: readonly Case[] = [
  ['satisfied', only(SATISFIED), 'satisfied: by signed'],
  ['violated', only(VIOLATED), 'violated: signed: found no signature at all, expected one'],
  ['still not to be judged', only(DOWN), undefined],
  ['the registry still down', 'unavailable', undefined],
  ['gone', 'not-found', 'violated: it is gone: upstream says not-found'],
  [
    'one policy satisfied, one not to be judged',
    judgement(['signed', 'enforce', SATISFIED], ['b', 'enforce', DOWN]),
    undefined,
  ],
  [
    'one policy violated, one not to be judged',
    judgement(['signed', 'enforce', DOWN], ['b', 'enforce', VIOLATED]),
    'violated: b: found no signature at all, expected one',
  ],
  [
    'the policy only observes now, and is violated',
    judgement(['signed', 'observe', VIOLATED]),
    'violated: signed: found no signature at all, expected one',
  ],
  [
    'another policy observes, and is violated',
    judgement(['signed', 'enforce', SATISFIED], ['b', 'observe', VIOLATED]),
    'satisfied: by signed',
  ],
  [
    'the policy is off now',
    judgement(['signed', 'off', VIOLATED]),
    'satisfied: no policy asks for it any more',
  ],
]

for (const [name, answer, finding] of CASES) {
  test(`an admitted image is judged again: ${name}`, async () => {
    const { admit, run, answers, findings, state } = setUp()
    admit(IMAGE)
    answers.set(IMAGE, answer)
    await run()
    assert.deepEqual(findings(), finding === undefined ? [] : [finding])
    assert.equal(state.openAdmissions().length, finding === undefined ? 1 : 0)
  })
}

test('a violation names the image and everybody who pulled it, and is a decision on the disk', async () => {
  const { admit, run, answers, events, recorded, state, gate } = setUp()
  admit(IMAGE)
  admit(IMAGE, '10.0.0.2')
  answers.set(IMAGE, only(VIOLATED))
  await run()
  const [told] = events.filter((event) => event.kind === 'judged')
  assert.deepEqual(told?.admission.clients, ['10.0.0.1', '10.0.0.2'])
  assert.equal(told?.admission.digest, IMAGE)
  assert.deepEqual(
    recorded.map(({ outcome }) => outcome),
    ['refuse'],
  )
  assert.equal(state.admissions(1)[0]?.finding?.verdict, 'violated')
  assert.equal(gate.outcome(APP, IMAGE, only(DOWN)).kind, 'hold', 'no later outage lets it in')
})

test('what turns out satisfied was satisfied from then on', async () => {
  const { admit, run, answers, before } = setUp()
  admit(IMAGE)
  answers.set(IMAGE, only(SATISFIED))
  await run()
  assert.ok(before.isRecent({ repository: APP, digest: IMAGE, policy: 'signed', policyVersion: 'v1' }))
})

test('what cannot be judged though nothing is missing counts as violated, but not at once', async () => {
  const { admit, run, answers, findings } = setUp()
  admit(IMAGE)
  for (const answer of [
    only(UNJUDGEABLE),
    only(UNJUDGEABLE),
    only(BOTH),
    only(UNJUDGEABLE),
    'invalid',
  ] as const) {
    answers.set(IMAGE, answer)
    await run()
    assert.deepEqual(findings(), [])
  }
  await run()
  assert.match(findings().join(), /^violated: it cannot be judged, though nothing is missing/)
})

test('an outage that goes on is noticed soon, and nobody waits for one that never ends', async () => {
  const { admit, run, answers, asked, findings } = setUp()
  const images = Array.from({ length: 40 }, (_, index) => digest(`image ${index}`))
  for (const image of images) admit(image)
  await run()
  assert.ok(asked.length <= 4, 'a few are tried')
  for (const image of images.slice(20)) answers.set(image, only(SATISFIED))
  for (let repeat = 0; repeat < 10; repeat++) await run()
  assert.equal(findings().length, 20)
})

test('a run while another is under way is the same one', async () => {
  const { admit, run, asked } = setUp()
  admit(IMAGE)
  await Promise.all([run(), run(), run()])
  assert.equal(asked.length, 1)
})

test('a disk that refuses leaves the admission open, and the next run tells again', async () => {
  const { admit, run, answers, errors, findings, state, database } = setUp()
  admit(IMAGE)
  answers.set(IMAGE, only(VIOLATED))
  const allow = refuseWrites(database)
  await run()
  assert.equal(errors.length, 1)
  allow()
  assert.equal(state.openAdmissions().length, 1)
  await run()
  assert.equal(findings().length, 2)
  assert.equal(state.openAdmissions().length, 0)
})

test('a stop ends the run', async () => {
  const { admit, asked, state } = setUp()
  admit(IMAGE)
  const stopped = AbortSignal.abort()
  await setUpAborted(state, stopped)
  assert.deepEqual(asked, [])
})

async function setUpAborted(state: ReturnType<typeof setUp>['state'], signal: AbortSignal): Promise<void> {
  const never = () => assert.fail('nothing is judged')
  const gate = { noteServed: never, noteWaiting: () => undefined, close: never, flush: never }
  const recorder = { record: never, announce: never }
  const deps = { state, judge: { judge: never }, gate, recorder, now: () => new Date(0), onError: never }
  await new Admissions(deps).run(signal)
}
