import assert from 'node:assert/strict'
import { test } from 'node:test'
import { capturedLog } from '../testing/captured-log.ts'
import { createLogs } from './log.ts'
import { requestText } from './request-log.ts'

function capture(level = 'info') {
  const texts: string[] = []
  const clock = { now: new Date('2026-01-02T03:04:05.678Z') }
  const output = capturedLog((line) => void texts.push(line))
  return {
    ...createLogs(level, output, () => clock.now),
    clock,
    texts,
    get lines(): readonly Record<string, unknown>[] {
      return texts.map(parsed)
    },
  }
}

function parsed(text: string): Record<string, unknown> {
  const value: Record<string, unknown> = JSON.parse(text)
  return value
}

test('secrets are not written, at the root or one level down', () => {
  const captured = capture()
  captured.log.warn(
    { password: 'p', upstream: { token: 't', authorization: 'a' }, headers: { authorization: 'b' } },
    'x',
  )
  const text = captured.texts.join('')
  assert.equal(text.match(/\[redacted\]/g)?.length, 4)
  assert.doesNotMatch(text, /"[ptab]"/)
})

test('the time is the clock of the caller, on every line', () => {
  const captured = capture()
  const { log, requests, clock } = captured
  log.info({}, 'first')
  requests.write(requestText({ method: 'GET' }), '127.0.0.1', 1)
  clock.now = new Date('2026-01-02T03:04:05.679Z')
  requests.write(requestText({ method: 'GET' }), '127.0.0.1', 1)
  assert.deepEqual(
    captured.lines.map(({ time }) => time),
    ['2026-01-02T03:04:05.678Z', '2026-01-02T03:04:05.678Z', '2026-01-02T03:04:05.679Z'],
  )
})

for (const { name, facts, client, ms } of [
  {
    name: 'what must be escaped',
    facts: { method: 'GET', target: '/v2/"a\\\u2028', status: 200, ring: undefined },
    client: 'fe80::1%eth0',
    ms: 0.25,
  },
  { name: 'characters of several bytes', facts: { target: '/v2/ü€😀' }, client: '10.0.0.1', ms: 12.345 },
  { name: 'an interface of any name', facts: { target: '/' }, client: 'fe80::1%dürr€', ms: 0 },
  { name: 'a long answer', facts: { target: '/' }, client: '::1', ms: 1e21 },
  { name: 'a target without end', facts: { target: '€'.repeat(50_000) }, client: '::1', ms: 1 },
]) {
  test(`the line of a request is spelled like any other: ${name}`, () => {
    const captured = capture()
    const { log, requests } = captured
    log.info({ event: 'request', ...facts, client, ms })
    requests.write(requestText(facts), client, ms)
    const [piped, own] = captured.texts
    assert.equal(own, piped)
  })
}

test('what comes from outside cannot end a line', () => {
  const captured = capture()
  const { requests } = captured
  requests.write(requestText({ target: '/v2/\n{"level":"fatal"}\r\n', method: '"}\n' }), '::1', 1)
  assert.equal(captured.lines.length, 1)
  assert.equal(captured.lines[0]?.['target'], '/v2/\n{"level":"fatal"}\r\n')
})

for (const [level, count] of [
  ['debug', 1],
  ['info', 1],
  ['warn', 0],
  ['silent', 0],
] as const) {
  test(`at level ${level}, ${count} line a request`, () => {
    const captured = capture(level)
    const { requests } = captured
    requests.write(requestText({ status: 200 }), '::1', 1)
    assert.equal(captured.lines.length, count)
  })
}
