import assert from 'node:assert/strict'
import { test } from 'node:test'
import { causeOf } from './cause.ts'
import { DeadlineError } from './deadline.ts'
import type { Cause } from './policy/types.ts'
import { UpstreamError, type UpstreamErrorCode } from './upstream/types.ts'
import { WorkError } from './work/work-error.ts'

/** Only what neither a client nor a pusher can bring about is an outage. */
const CAUSES: readonly (readonly [UpstreamErrorCode, Cause['dependency']])[] = [
  ['unavailable', 'registry'],
  ['timeout', 'registry'],
  ['rate-limited', 'rate-limit'],
  ['deadline', 'deadline'],
  ['not-found', 'verifier'],
  ['unauthorized', 'verifier'],
  ['forbidden', 'verifier'],
  ['invalid', 'verifier'],
]

for (const [code, dependency] of CAUSES) {
  test(`${code} is of ${dependency}, and quotes nothing that upstream said`, () => {
    const error = new UpstreamError(code, 'GET r.test/v2/ answered', { detail: 'request id 1' })
    assert.deepEqual(causeOf(error), { dependency, message: 'GET r.test/v2/ answered' })
  })
}

test('a pull that ran out of time, a verifier that did, and a fault of this program', () => {
  assert.equal(causeOf(new DeadlineError('late'))?.dependency, 'deadline')
  assert.equal(causeOf(new WorkError('timeout', 'late'))?.dependency, 'verifier')
  assert.equal(causeOf(new TypeError('undefined is not a function')), undefined)
})
