import assert from 'node:assert/strict'
import { test } from 'node:test'
import { serverTiming } from './server-timing.ts'

const CASES = [
  ['a warm answer', { total: 0.0421 }, 'warm', 'total;dur=0.042, cache;desc=warm'],
  [
    'a cold one, in the order of a pull, whatever order the steps ended in',
    { total: 231.5, decide: 0.2, verify: 3.25, discover: 120, fetch: 80.0004, resolve: 1 },
    'cold',
    'resolve;dur=1, fetch;dur=80, discover;dur=120, verify;dur=3.25, decide;dur=0.2, total;dur=231.5, cache;desc=cold',
  ],
  [
    'a step that this list does not know',
    { other: 2, fetch: 1 },
    'cold',
    'fetch;dur=1, other;dur=2, cache;desc=cold',
  ],
  ['nothing was measured', {}, 'warm', 'cache;desc=warm'],
] as const

for (const [name, steps, cache, expected] of CASES) {
  test(name, () => assert.equal(serverTiming(steps, cache), expected))
}
