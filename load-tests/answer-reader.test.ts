import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { AnswerReader } from './answer-reader.ts'

const BODY = '{"schemaVersion":2}'
const ANSWER = `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}`
const REFUSAL = 'HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\nconnection: keep-alive\r\n\r\nno'

/** Statuses in the order in which they were told, 0 left out. */
function readAll(reader: AnswerReader, chunks: readonly string[]): readonly number[] {
  return chunks.map((chunk) => reader.read(Buffer.from(chunk))).filter((status) => status !== 0)
}

describe('AnswerReader', () => {
  it('reads an answer that is cut anywhere', () => {
    for (let cut = 1; cut < ANSWER.length; cut += 1) {
      const reader = new AnswerReader('GET')
      assert.equal(reader.read(Buffer.from(ANSWER.slice(0, cut))), 0, `cut at ${cut}`)
      assert.equal(reader.read(Buffer.from(ANSWER.slice(cut))), 200, `cut at ${cut}`)
      assert.equal(reader.bodyBytes, BODY.length)
    }
  })

  it('reads an answer that comes byte by byte, and the next after it', () => {
    const reader = new AnswerReader('GET')
    assert.deepEqual(readAll(reader, [...ANSWER.split(''), REFUSAL, ...ANSWER.split('')]), [200, 403, 200])
    assert.equal(reader.bodyBytes, BODY.length)
  })

  it('awaits no body after HEAD, whatever the length announces', () => {
    const reader = new AnswerReader('HEAD')
    const head = ANSWER.slice(0, -BODY.length)
    assert.deepEqual(readAll(reader, [head, head]), [200, 200])
    assert.equal(reader.bodyBytes, 0)
  })

  it('reads an answer without a body', () => {
    const reader = new AnswerReader('GET')
    assert.equal(reader.read(Buffer.from('HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n')), 404)
    assert.equal(reader.bodyBytes, 0)
  })

  const wrong = [
    { what: 'a body longer than announced', text: `${ANSWER}x` },
    { what: 'two answers to one request', text: `${ANSWER}${ANSWER}` },
    { what: 'a body after HEAD', text: ANSWER, method: 'HEAD' as const },
    { what: 'no HTTP', text: 'SSH-2.0-OpenSSH_9.9\r\n\r\n' },
    { what: 'chunks', text: 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n' },
    { what: 'a length that only looks like one', text: 'HTTP/1.1 200 OK\r\nx-content-length: 2\r\n\r\n{}' },
    { what: 'a head without end', text: `HTTP/1.1 200 OK\r\nx: ${'a'.repeat(70_000)}` },
  ]
  for (const { what, text, method = 'GET' } of wrong) {
    it(`throws at ${what}`, () => {
      assert.throws(() => new AnswerReader(method).read(Buffer.from(text)))
    })
  }
})
