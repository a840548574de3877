import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { checkColdSockets, coldSockets } from './cold-sockets.ts'

describe('sockets of cold workers', () => {
  test('one for each of them, in a directory of their own', () => {
    const wanted = { dataDirectory: '/data', coldWorkers: 2 }
    assert.deepEqual(coldSockets(wanted), ['/data/cold/1', '/data/cold/2'])
    assert.deepEqual(coldSockets({ ...wanted, coldWorkers: 0 }), [])
  })

  const cases = [
    { what: 'no cold workers', bytes: 200, coldWorkers: 0, expected: undefined },
    { what: 'the longest', bytes: 96, coldWorkers: 1, expected: undefined },
    {
      what: 'one byte too long',
      bytes: 97,
      coldWorkers: 1,
      expected: /found a path of 97 bytes; expected at most 96,/,
    },
    { what: 'too long for the tenth', bytes: 96, coldWorkers: 10, expected: /expected at most 95,/ },
  ]
  for (const { what, bytes, coldWorkers, expected } of cases)
    test(`path of the data directory: ${what}`, () => {
      const dataDirectory = `/${'é'.repeat((bytes - 1) / 2)}`.padEnd(bytes % 2 === 0 ? bytes / 2 + 1 : 0, 'x')
      assert.equal(Buffer.byteLength(dataDirectory), bytes)
      const [finding] = checkColdSockets({ dataDirectory, coldWorkers })
      if (expected === undefined) assert.equal(finding, undefined)
      else assert.match(finding?.message ?? '', expected)
    })
})
