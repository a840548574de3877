import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { GateEvent } from '../gate.ts'
import type { PolicyResult } from '../policy/types.ts'
import { digest, repository } from '../store/testing/state.ts'
import { capturedLog } from '../testing/captured-log.ts'
import { createDecision, decisionKey } from './decision.ts'
import { createLogs } from './log.ts'
import { createMetrics } from './metrics.ts'
import { observeGate, observeRetiring } from './observe-gate.ts'
import { observePull } from './observe-pull.ts'

const APP = repository('acme/app')
const IMAGE = digest('image')
const RESULT: PolicyResult = {
  policy: 'signed',
  version: 'v1',
  mode: 'enforce',
  modes: { fallback: 'enforce', byRing: new Map() },
  stance: 'open',
  runbook: undefined,
  verdict: { kind: 'undetermined', causes: [{ dependency: 'registry', message: 'timed out' }] },
}
const ADMITTED = [{ result: RESULT, by: 'open' }] as const

function setUp() {
  const lines: Record<string, unknown>[] = []
  const output = capturedLog((line) => void lines.push(JSON.parse(line)))
  const { log } = createLogs('info', output, () => new Date(0))
  const metrics = createMetrics()
  return { lines, metrics, observe: observeGate(metrics, log) }
}

const admission = {
  id: 1,
  repository: APP,
  digest: IMAGE,
  policies: ['signed'],
  decision: 'd1',
  firstAt: new Date(1),
  lastAt: new Date(2),
  count: 3,
  clients: ['10.0.0.1', '10.0.0.2'],
  finding: undefined,
}

test('an admission is a line at level error that names image, client, policy, stance and cause', () => {
  const { lines, observe } = setUp()
  const image = { repository: APP, digest: IMAGE }
  observe({ kind: 'admitted', ...image, admitted: ADMITTED, decision: 'd1', client: '10.0.0.1' })
  const [line] = lines
  assert.equal(line?.['level'], 'error')
  assert.equal(line['event'], 'admitted')
  assert.equal(line['image'], 'ghcr.io/acme/app')
  assert.equal(line['digest'], IMAGE)
  assert.equal(line['client'], '10.0.0.1')
  assert.deepEqual(line['policies'], [{ policy: 'signed', stance: 'open', causes: ['registry: timed out'] }])
})

test('an admission that turns out violated names everybody who pulled it, and when', () => {
  const { lines, observe } = setUp()
  const finding = { at: new Date(9), verdict: 'violated', reason: 'no signature at all' } as const
  observe({ kind: 'judged', admission, finding })
  const [line] = lines
  assert.equal(line?.['level'], 'error')
  assert.equal(line['event'], 'admission-violated')
  assert.deepEqual(line['clients'], ['10.0.0.1', '10.0.0.2'])
  assert.deepEqual(
    [line['firstAt'], line['lastAt']],
    ['1970-01-01T00:00:00.001Z', '1970-01-01T00:00:00.002Z'],
  )
  assert.equal(line['reason'], 'no signature at all')
})

test('an admission that turns out well is no alert', () => {
  const { lines, observe } = setUp()
  observe({
    kind: 'judged',
    admission,
    finding: { at: new Date(9), verdict: 'satisfied', reason: 'by signed' },
  })
  assert.deepEqual([lines[0]?.['level'], lines[0]?.['event']], ['info', 'admission-satisfied'])
})

test('an admission that waits for very long names everybody who pulled it', () => {
  const { lines, observe } = setUp()
  observe({ kind: 'stale', admission })
  const [line] = lines
  assert.deepEqual([line?.['level'], line?.['event']], ['error', 'admission-stale'])
  assert.deepEqual([line?.['digest'], line?.['clients']], [IMAGE, ['10.0.0.1', '10.0.0.2']])
})

const COUNTED: readonly (readonly [GateEvent, RegExp])[] = [
  [{ kind: 'waiting', count: 7 }, /^portcullis_open_admissions 7$/m],
  [
    { kind: 'no-room', repository: APP, digest: IMAGE, why: 'time' },
    /^portcullis_admissions_held_total\{why="time"\} 1$/m,
  ],
  [
    { kind: 'judged', admission, finding: { at: new Date(9), verdict: 'violated', reason: 'x' } },
    /^portcullis_admissions_judged_total\{verdict="violated"\} 1$/m,
  ],
]

for (const [event, line] of COUNTED) {
  test(`event ${event.kind} is counted`, async () => {
    const { observe, metrics } = setUp()
    observe(event)
    assert.match(await metrics.registry.metrics(), line)
  })
}

test('what rests on a retiring root or key is counted by kind', async () => {
  const { metrics } = setUp()
  observeRetiring(metrics)(['root', 'key', 'key'])
  const text = await metrics.registry.metrics()
  assert.match(text, /^portcullis_retiring_total\{kind="root"\} 1$/m)
  assert.match(text, /^portcullis_retiring_total\{kind="key"\} 2$/m)
})

test('a pull that a stance let pass has an outcome of its own, and counts what was missing', async () => {
  const { metrics } = setUp()
  const outcome = { kind: 'serve', warnings: [], admitted: ADMITTED } as const
  const subject = { repository: APP, digest: IMAGE, ring: 'canary', policyVersion: 'p', trustVersion: 't' }
  const decision = createDecision(subject, { results: [RESULT] }, outcome)
  observePull(metrics)({ decision, outcome, cache: 'cold' }, 1)
  const text = await metrics.registry.metrics()
  assert.match(text, /^portcullis_admitted_total\{stance="open"\} 1$/m)
  assert.match(text, /^portcullis_pulls_total\{.*outcome="admitted".*ring="canary".*\} 1$/m)
  assert.match(text, /^portcullis_undetermined_total\{dependency="registry",mode="enforce"\} 1$/m)
})

test('a decision says what was admitted, and by which stance', () => {
  const subject = { repository: APP, digest: IMAGE, ring: 'canary', policyVersion: 'p', trustVersion: 't' }
  const served = createDecision(
    subject,
    { results: [RESULT] },
    { kind: 'serve', warnings: [], admitted: ADMITTED },
  )
  assert.deepEqual(served.admitted, [{ policy: 'signed', by: 'open' }])
  assert.match(decisionKey(served), /"admitted":\[\{"policy":"signed","by":"open"\}\]/)
  const held = createDecision(subject, { results: [RESULT] }, { kind: 'hold', by: [RESULT], warnings: [] })
  assert.doesNotMatch(decisionKey(held), /admitted/)
  assert.notEqual(held.id, served.id)
})
