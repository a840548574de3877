import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Judgement, PolicyResult } from '../policy/types.ts'
import { rememberInRing } from './per-ring.ts'

const RESULT: PolicyResult = {
  policy: 'signed',
  version: 'v1',
  mode: 'enforce',
  modes: { fallback: 'observe', byRing: new Map([['strict', 'enforce']]) },
  stance: 'open',
  runbook: undefined,
  verdict: { kind: 'violated', reasons: [] },
}
const JUDGEMENT: Judgement = { results: [RESULT] }
const STRICT = { name: 'strict', stanceLimit: undefined }
const LAX = { name: 'lax', stanceLimit: 'last-verified' } as const

test('what a judgement comes to in a ring is worked out once', () => {
  const inRing = rememberInRing()
  const [lax] = inRing(JUDGEMENT, LAX).results
  assert.deepEqual([lax?.mode, lax?.stance], ['observe', 'last-verified'])
  assert.equal(inRing(JUDGEMENT, LAX), inRing(JUDGEMENT, LAX))
})

test('a ring in which nothing is different has the judgement itself', () => {
  assert.equal(rememberInRing()(JUDGEMENT, STRICT), JUDGEMENT)
})

test('two rings of one name, of two configurations, are two rings', () => {
  const inRing = rememberInRing()
  assert.equal(inRing(JUDGEMENT, STRICT).results[0]?.stance, 'open')
  assert.equal(inRing(JUDGEMENT, { ...STRICT, stanceLimit: 'closed' }).results[0]?.stance, 'closed')
})
