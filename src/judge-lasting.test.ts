import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { decodeFindings } from './findings.ts'
import { keyed, keyless, RELEASE } from './policy/testing/revocations.ts'
import type { Verified } from './verify/types.ts'
import {
  APP,
  BY_KEY,
  epochOf,
  EPOCH_MS,
  IMAGE,
  INDEX,
  judging,
  OF_WORKFLOW,
  OPS,
  outcomeOf,
  policy,
} from './testing/judging.ts'

/** What a judgement is remembered for, and what of it is kept for those who ask what if. */

const FRESH = 'key: { keySet: release }, maxAge: 1h'

suite('what is satisfied for a while', () => {
  const hourAgo = (ms: number): Verified =>
    keyed(OPS.id, [
      {
        trustRoot: 'public-good',
        source: 'log',
        authority: 'log',
        time: new Date(EPOCH_MS + ms - 3_600_000),
      },
    ])

  test('is known until then, and judged again from then on', async () => {
    const { ask, judge, world } = judging(epochOf(policy(FRESH)))
    world.stored.set(IMAGE, [hourAgo(5_000)])
    assert.equal(outcomeOf(await ask()), 'serve')
    world.ms = 4_999
    assert.ok(judge.known(APP, IMAGE))
    world.ms = 5_001
    assert.equal(judge.known(APP, IMAGE), undefined)
    assert.equal(outcomeOf(await ask()), 'refuse')
  })

  test('is not known any longer where the time of day moves by itself: a clock is set, a machine wakes up', async () => {
    const { ask, judge, world } = judging(epochOf(policy(FRESH)))
    world.stored.set(IMAGE, [hourAgo(5_000)])
    assert.equal(outcomeOf(await ask()), 'serve')
    world.ms = 1
    world.skewMs = 5_000
    assert.equal(judge.known(APP, IMAGE), undefined)
  })

  test('is not what it was before when an outage outlasts it', async () => {
    const { ask, world, letIn } = judging(epochOf(policy(FRESH)))
    letIn()
    world.stored.set(INDEX, [hourAgo(5_000)])
    assert.equal(outcomeOf(await ask()), 'serve')
    world.ms = 5_001
    world.down.add(INDEX)
    const judgement = await ask()
    assert.deepEqual(
      judgement.results.map(({ verdict }) => verdict.kind),
      ['undetermined'],
    )
  })
})

suite('findings', () => {
  test('are kept of what was verified, with what it was verified with', async () => {
    const { ask, world, findings } = judging(epochOf(BY_KEY, OF_WORKFLOW))
    world.stored.set(IMAGE, [keyed(OPS.id), keyless(RELEASE)])
    await ask()
    const stored = findings.get(IMAGE) ?? assert.fail('nothing was kept')
    assert.equal(stored.trusted, `key ${OPS.id}\nroot public-good sha256:root`)
    assert.deepEqual(decodeFindings(stored)?.verified, [keyed(OPS.id), keyless(RELEASE)])
  })

  test('are kept of a manifest that is guilty by itself, whatever is trusted', async () => {
    const { ask, world, findings } = judging(epochOf(BY_KEY))
    world.parsed = { ok: false, message: 'has two readings' }
    assert.equal(outcomeOf(await ask()), 'refuse')
    const stored = findings.get(IMAGE) ?? assert.fail('nothing was kept')
    assert.deepEqual(
      decodeFindings(stored)?.manifestReasons.map(({ code }) => code),
      ['malformed'],
    )
  })

  test('are not kept where something is missing', async () => {
    const { ask, world, findings, letIn } = judging(epochOf(BY_KEY))
    letIn()
    world.isDying = true
    world.stored.set(IMAGE, [keyed(OPS.id)])
    assert.equal(outcomeOf(await ask()), 'hold')
    assert.equal(findings.get(IMAGE), undefined)
  })
})
