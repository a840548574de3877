import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Judgement, Mode, Verdict } from './policy/types.ts'
import { digest, openState, repository } from './store/testing/state.ts'
import { VerifiedBefore } from './verified-before.ts'

const HOUR = 60 * 60 * 1000
const APP = repository('acme/app')
const IMAGE = digest('image')
const FACT = { repository: APP, digest: IMAGE, policy: 'signed', policyVersion: 'v1' }

const VERDICTS: Readonly<Record<'satisfied' | 'violated', Verdict>> = {
  satisfied: { kind: 'satisfied', by: [] },
  violated: { kind: 'violated', reasons: [] },
}

function judged(kind: keyof typeof VERDICTS, mode: Mode = 'enforce'): Judgement {
  const modes = { fallback: mode, byRing: new Map<string, Mode>() }
  const rest = { modes, stance: 'open', runbook: undefined } as const
  return { results: [{ policy: 'signed', version: 'v1', mode, ...rest, verdict: VERDICTS[kind] }] }
}

function setUp(opened = openState()) {
  const writes = { count: 0 }
  const { clock } = opened
  const state = {
    lastSatisfied: (...fact: Parameters<typeof opened.state.lastSatisfied>) =>
      opened.state.lastSatisfied(...fact),
    noteSatisfied(...fact: Parameters<typeof opened.state.noteSatisfied>) {
      writes.count += 1
      opened.state.noteSatisfied(...fact)
    },
  }
  const deps = { state, now: () => new Date(clock.ms), lastVerifiedMaxAgeMs: 24 * HOUR }
  return { before: new VerifiedBefore(deps), clock, writes, opened }
}

test('what was satisfied is known for as long as it may be, and not for another policy or version', () => {
  const { before, clock } = setUp()
  before.note(APP, IMAGE, judged('satisfied'))
  before.flush()
  assert.ok(before.isRecent(FACT))
  assert.ok(!before.isRecent({ ...FACT, policyVersion: 'v2' }))
  assert.ok(!before.isRecent({ ...FACT, policy: 'attested' }))
  assert.ok(!before.isRecent({ ...FACT, digest: digest('another') }))
  assert.ok(!before.isRecent({ ...FACT, repository: repository('acme/other') }))
  clock.ms += 24 * HOUR
  assert.ok(before.isRecent(FACT))
  clock.ms += 1
  assert.ok(!before.isRecent(FACT))
})

test('what will be too old to count is known no longer than that, however long ago it may have been', () => {
  const { before, clock } = setUp()
  const until = new Date(clock.ms + 2 * HOUR)
  const [result] = judged('satisfied').results
  assert.ok(result !== undefined)
  before.note(APP, IMAGE, { results: [{ ...result, verdict: { kind: 'satisfied', by: [], until } }] })
  before.flush()
  assert.ok(before.isRecent(FACT))
  clock.ms += 2 * HOUR
  assert.ok(before.isRecent(FACT))
  clock.ms += 1
  assert.ok(!before.isRecent(FACT))
})

test('a clock that was wrong makes no fact last for ever', () => {
  const { before, clock } = setUp()
  clock.ms += 1000 * HOUR
  before.note(APP, IMAGE, judged('satisfied'))
  before.flush()
  clock.ms -= 1000 * HOUR
  assert.ok(!before.isRecent(FACT))
})

test('it is known after a restart', () => {
  const { before, opened } = setUp()
  before.note(APP, IMAGE, judged('satisfied'))
  before.flush()
  assert.ok(setUp(openState({ database: opened.database })).before.isRecent(FACT))
})

test('a note writes nothing by itself, and a flush once an hour, however often the image is judged', () => {
  const { before, clock, writes } = setUp()
  const judgement = judged('satisfied')
  assert.ok(before.note(APP, IMAGE, judgement))
  assert.equal(writes.count, 0)
  before.flush()
  before.flush()
  for (let minute = 0; minute < 59; minute++) {
    clock.ms += 60_000
    before.note(APP, IMAGE, minute % 2 === 0 ? judgement : judged('satisfied'))
    before.flush()
  }
  assert.equal(writes.count, 1)
  clock.ms += 60_000
  assert.ok(before.note(APP, IMAGE, judgement))
  before.flush()
  assert.equal(writes.count, 2)
})

test('a violation ends it, also after a restart; being satisfied again begins it anew', () => {
  const { before, clock, opened } = setUp()
  before.note(APP, IMAGE, judged('satisfied'))
  before.flush()
  clock.ms += 1
  before.end(APP, IMAGE, judged('violated', 'observe'))
  assert.ok(!before.isRecent(FACT))
  assert.ok(!setUp(openState({ database: opened.database })).before.isRecent(FACT))
  clock.ms += 1
  before.note(APP, IMAGE, judged('satisfied'))
  before.flush()
  assert.ok(before.isRecent(FACT), 'though it was noted less than an hour ago')
})

test('a violation before the flush ends what waits for it', () => {
  const { before } = setUp()
  before.note(APP, IMAGE, judged('satisfied'))
  before.end(APP, IMAGE, judged('violated'))
  before.flush()
  assert.ok(!before.isRecent(FACT))
})

test('what was never satisfied is no row: whoever may push cannot fill the table', () => {
  const { before, writes } = setUp()
  before.end(APP, IMAGE, judged('violated'))
  assert.equal(writes.count, 0)
})

test('policies that are off, and the rule for the unmatched, are not noted', () => {
  const { before, writes } = setUp()
  before.note(APP, IMAGE, judged('satisfied', 'off'))
  const unmatched = judged('satisfied').results.map((result) => ({ ...result, version: '' }))
  before.note(APP, IMAGE, { results: unmatched })
  before.flush()
  assert.equal(writes.count, 0)
})

/** `factVersions` of a policy that refers to keys. */
function judgedBy(kind: keyof typeof VERDICTS, ...keys: readonly string[]): Judgement {
  const results = judged(kind).results.map((result) => {
    return { ...result, factVersions: keys.map((key) => `v1 by keys:release ${key}`) }
  })
  return { results }
}

test('what a referenced key satisfied is known by that key only, also after a restart', () => {
  const { before, opened } = setUp()
  before.note(APP, IMAGE, judgedBy('satisfied', 'a', 'b'))
  before.flush()
  for (const again of [before, setUp(openState({ database: opened.database })).before]) {
    const isKnown = (key: string) => again.isRecent({ ...FACT, policyVersion: `v1 by keys:release ${key}` })
    assert.deepEqual(['a', 'b', 'c'].map(isKnown), [true, true, false])
  }
})

test('a violation ends what any key satisfied, also one that is not held any more and comes back', () => {
  const { before, clock } = setUp()
  const fact = { ...FACT, policyVersion: 'v1 by keys:release a' }
  before.note(APP, IMAGE, judgedBy('satisfied', 'a'))
  before.flush()
  clock.ms += 1
  before.end(APP, IMAGE, judgedBy('violated', 'b'))
  assert.ok(!before.isRecent(fact))
  before.note(APP, IMAGE, judgedBy('satisfied', 'a'))
  before.end(APP, IMAGE, judgedBy('violated'))
  before.flush()
  assert.ok(!before.isRecent(fact), 'nor what waits to be written')
  clock.ms += 1
  before.note(APP, IMAGE, judgedBy('satisfied', 'a'))
  before.flush()
  assert.ok(before.isRecent(fact))
})

test('a violation counts though the clock was set back since what it ends', () => {
  const { before, clock } = setUp()
  before.note(APP, IMAGE, judged('satisfied'))
  before.flush()
  clock.ms -= HOUR
  before.end(APP, IMAGE, judged('violated'))
  assert.ok(!before.isRecent(FACT))
  clock.ms += 2 * HOUR
  assert.ok(!before.isRecent(FACT))
})

type Known = 'satisfied' | 'violated' | 'both' | 'never'

/** `both`: satisfied first. What is known of the index is later than what is known of the image. */
const KNOWN: readonly (readonly [image: Known, index: Known, wasRefused: boolean, expected: boolean])[] = [
  ['satisfied', 'never', false, true],
  ['satisfied', 'never', true, true],
  ['never', 'satisfied', false, true],
  ['never', 'satisfied', true, false],
  ['never', 'both', false, false],
  ['satisfied', 'both', false, false],
  ['both', 'satisfied', false, false],
  ['violated', 'satisfied', false, true],
  ['both', 'never', false, false],
  ['never', 'never', false, false],
]

for (const [image, index, wasRefused, expected] of KNOWN) {
  const refused = wasRefused ? ', refused' : ''
  test(`the image ${image}${refused}, then its index ${index}: ${expected ? 'counts' : 'does not count'}`, () => {
    const { before, clock } = setUp()
    const INDEX = digest('index')
    for (const [one, known] of [
      [IMAGE, image],
      [INDEX, index],
    ] as const) {
      clock.ms += 1
      if (known === 'satisfied' || known === 'both') before.note(APP, one, judged('satisfied'))
      before.flush()
      clock.ms += 1
      if (known === 'violated' || known === 'both') before.end(APP, one, judged('violated'))
    }
    const fact = { repository: APP, policy: 'signed', policyVersion: 'v1' }
    assert.equal(
      before.isRecentIn([IMAGE, INDEX], fact, () => wasRefused),
      expected,
    )
  })
}
