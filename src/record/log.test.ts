import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLogs } from './log.ts'
import { requestText } from './request-log.ts'

function capture(level = 'info') {
  const pieces: string[] = []
  const clock = { now: new Date('2026-01-02T03:04:05.678Z') }
  const logs = createLogs(level, { write: (piece) => void pieces.push(piece) }, () => clock.now)
  return {
    ...logs,
    clock,
    pieces,
    get texts(): readonly string[] {
      return pieces.join('').split(/(?<=\n)/)
    },
    get lines(): readonly Record<string, unknown>[] {
      return pieces.join('').split('\n').slice(0, -1).map(parsed)
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
  requests.flush()
  assert.deepEqual(
    captured.lines.map(({ time }) => time),
    ['2026-01-02T03:04:05.678Z', '2026-01-02T03:04:05.678Z', '2026-01-02T03:04:05.679Z'],
  )
})

test('the line of a request is spelled like any other', () => {
  const captured = capture()
  const { log, requests } = captured
  const facts = { method: 'GET', target: '/v2/"a\\\u2028', status: 200, ring: undefined }
  log.info({ event: 'request', ...facts, client: 'fe80::1%eth0', ms: 0.25 })
  requests.write(requestText(facts), 'fe80::1%eth0', 0.25)
  requests.flush()
  const [piped, own] = captured.texts
  assert.equal(own, piped)
})

test('what comes from outside cannot end a line', () => {
  const captured = capture()
  const { requests } = captured
  requests.write(requestText({ target: '/v2/\n{"level":"fatal"}\r\n', method: '"}\n' }), '::1', 1)
  requests.flush()
  assert.equal(captured.lines.length, 1)
  assert.equal(captured.lines[0]?.['target'], '/v2/\n{"level":"fatal"}\r\n')
})

test('lines of requests are written in order, at the end of the turn, in one piece', async () => {
  const captured = capture()
  const { pieces, requests } = captured
  for (const status of [200, 403, 503]) requests.write(requestText({ status }), '::1', 1)
  assert.deepEqual(pieces, [])
  await new Promise(setImmediate)
  assert.equal(pieces.length, 1)
  assert.deepEqual(
    captured.lines.map(({ status }) => status),
    [200, 403, 503],
  )
  requests.write(requestText({ status: 404 }), '::1', 1)
  await new Promise(setImmediate)
  assert.equal(pieces.length, 2)
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
    requests.flush()
    assert.equal(captured.lines.length, count)
  })
}
