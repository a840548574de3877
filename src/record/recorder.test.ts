import assert from 'node:assert/strict'
import { test } from 'node:test'
import { capturedLog } from '../testing/captured-log.ts'
import { createDecision } from './decision.ts'
import { createLogs } from './log.ts'
import { createMetrics } from './metrics.ts'
import { createRecorder } from './recorder.ts'

function setUp() {
  const disk = { isBroken: false, rows: new Map<string, number>() }
  const refuse = () => {
    if (disk.isBroken) throw new Error('disk full')
  }
  const state = {
    recordDecision({ key }: { key: string }): boolean {
      refuse()
      disk.rows.set(key, 1)
      return true
    },
    countDecision(key: string, count: number): void {
      refuse()
      disk.rows.set(key, (disk.rows.get(key) ?? 0) + count)
    },
  }
  const now = () => new Date(0)
  const { log } = createLogs(
    'silent',
    capturedLog(() => undefined),
    now,
  )
  const subject = {
    repository: { registry: 'r.test', name: 'app' },
    digest: undefined,
    ring: 'default',
    policyVersion: 'p',
    trustVersion: 't',
  }
  const decision = createDecision(subject, { results: [] }, { kind: 'refuse', by: [], warnings: [] })
  return {
    disk,
    decision,
    recorder: createRecorder({ state, log, metrics: createMetrics(), now, elapsed: () => 0 }),
  }
}

test('a disk that refuses to count ends nothing, and the count is written when it is back', () => {
  const { disk, decision, recorder } = setUp()
  recorder.record(decision)
  recorder.record(decision)
  disk.isBroken = true
  recorder.flush()
  disk.isBroken = false
  recorder.flush()
  recorder.flush()
  assert.deepEqual([...disk.rows.values()], [2])
})

test('a refusal that cannot be recorded throws; what is served all the same does not', () => {
  const { disk, decision, recorder } = setUp()
  disk.isBroken = true
  assert.throws(() => recorder.record(decision), /disk full/)
  recorder.note(decision)
})

test('what was rolled back with the admission that it is about is written again', () => {
  const { disk, decision, recorder } = setUp()
  recorder.record(decision)
  disk.rows.clear()
  recorder.unrecorded(decision, new Error('disk full'))
  recorder.record(decision)
  assert.deepEqual([...disk.rows.values()], [1])
})
