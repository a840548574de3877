import assert from 'node:assert/strict'
import { test } from 'node:test'
import { answerError } from './failure.ts'

const answer = { status: 404, retryAfter: undefined, bytes: Buffer.alloc(0), secrets: [], nowMs: 0 }

test('an answer is an error without a trace, and other errors keep theirs', () => {
  const error = answerError('GET /', answer)
  assert.equal(error.code, 'not-found')
  assert.doesNotMatch(error.stack ?? '', /\n/)
  assert.match(new Error('another').stack ?? '', /\n +at /)
})
