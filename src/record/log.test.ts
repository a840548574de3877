import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLogs } from './log.ts'

function capture(level = 'info') {
  const lines: Record<string, unknown>[] = []
  const write = (line: string) => void lines.push(JSON.parse(line))
  const clock = { now: new Date('2026-01-02T03:04:05.678Z') }
  return { lines, clock, ...createLogs(level, { write }, () => clock.now) }
}

test('secrets are not written, at the root or one level down', () => {
  const { lines, log } = capture()
  log.warn(
    { password: 'p', upstream: { token: 't', authorization: 'a' }, headers: { authorization: 'b' } },
    'x',
  )
  assert.equal(JSON.stringify(lines).match(/\[redacted\]/g)?.length, 4)
  assert.doesNotMatch(JSON.stringify(lines), /"[ptab]"/)
})

test('the time is the clock of the caller, on every line', () => {
  const { lines, requests, clock } = capture()
  requests.info({ event: 'request' })
  clock.now = new Date('2026-01-02T03:04:05.679Z')
  requests.info({ event: 'request' })
  assert.deepEqual(
    lines.map(({ time }) => time),
    ['2026-01-02T03:04:05.678Z', '2026-01-02T03:04:05.679Z'],
  )
})

test('what comes from outside cannot end a line', () => {
  const { lines, requests } = capture()
  requests.info({ event: 'request', target: '/v2/\n{"level":"fatal"}' })
  assert.equal(lines.length, 1)
})
