import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { digestOf } from '../oci/digest.ts'
import { contentRange, entityTag, parseRange, requestedRange, resolveRange } from './range.ts'

const SIZE = 100

describe('parseRange and resolveRange', () => {
  const cases: { name: string; header: string; expected: [number, number] | 'whole' | 'unsatisfiable' }[] = [
    { name: 'first bytes', header: 'bytes=0-9', expected: [0, 9] },
    { name: 'one byte', header: 'bytes=0-0', expected: [0, 0] },
    { name: 'open end', header: 'bytes=90-', expected: [90, 99] },
    { name: 'suffix', header: 'bytes=-10', expected: [90, 99] },
    { name: 'suffix longer than the content', header: 'bytes=-500', expected: [0, 99] },
    { name: 'end beyond the content', header: 'bytes=50-5000', expected: [50, 99] },
    { name: 'unit in capitals', header: 'Bytes=1-2', expected: [1, 2] },
    { name: 'space around', header: ' bytes=1-2 ', expected: [1, 2] },
    { name: 'start at the size', header: 'bytes=100-', expected: 'unsatisfiable' },
    { name: 'start beyond every integer', header: 'bytes=99999999999999999999-', expected: 'unsatisfiable' },
    { name: 'empty suffix', header: 'bytes=-0', expected: 'unsatisfiable' },
    { name: 'several ranges', header: 'bytes=0-1,5-6', expected: 'whole' },
    { name: 'end before start', header: 'bytes=9-1', expected: 'whole' },
    { name: 'no numbers', header: 'bytes=-', expected: 'whole' },
    { name: 'another unit', header: 'items=0-9', expected: 'whole' },
    { name: 'negative', header: 'bytes=--5', expected: 'whole' },
    { name: 'hexadecimal', header: 'bytes=0x1-0x2', expected: 'whole' },
    { name: 'space inside', header: 'bytes=0 - 9', expected: 'whole' },
    { name: 'endless digits', header: `bytes=${'1'.repeat(400)}-`, expected: 'whole' },
    { name: 'empty', header: '', expected: 'whole' },
  ]
  for (const { name, header, expected } of cases) {
    it(name, () => {
      const range = parseRange(header)
      if (expected === 'whole') return assert.equal(range, undefined)
      assert.ok(range !== undefined)
      const resolved = resolveRange(range, SIZE)
      if (expected === 'unsatisfiable') return assert.equal(resolved, undefined)
      assert.deepEqual(resolved, { start: expected[0], end: expected[1] })
    })
  }

  it('has no satisfiable range in empty content', () => {
    for (const header of ['bytes=0-', 'bytes=-1', 'bytes=0-0']) {
      const range = parseRange(header)
      assert.ok(range !== undefined)
      assert.equal(resolveRange(range, 0), undefined, header)
    }
  })

  it('spells Content-Range', () => {
    assert.equal(contentRange({ start: 1, end: 2 }, 10), 'bytes 1-2/10')
    assert.equal(contentRange(undefined, 10), 'bytes */10')
  })
})

describe('If-Range', () => {
  const digest = digestOf(Buffer.from('a'))
  const cases: { name: string; ifRange: string | undefined; counts: boolean }[] = [
    { name: 'absent', ifRange: undefined, counts: true },
    { name: 'this digest', ifRange: entityTag(digest), counts: true },
    { name: 'weak tag of this digest', ifRange: `W/${entityTag(digest)}`, counts: false },
    { name: 'another digest', ifRange: entityTag(digestOf(Buffer.from('b'))), counts: false },
    { name: 'without quotes', ifRange: digest, counts: false },
    { name: 'a date', ifRange: 'Wed, 21 Oct 2015 07:28:00 GMT', counts: false },
    { name: 'empty', ifRange: '', counts: false },
  ]
  for (const { name, ifRange, counts } of cases) {
    it(name, () => {
      assert.equal(requestedRange({ range: 'bytes=1-2', ifRange }, digest) !== undefined, counts)
    })
  }
})
