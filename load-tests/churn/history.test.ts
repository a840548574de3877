import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { digestOf } from '../../src/oci/digest.ts'
import { ageMs, wasUnsigned, type Move } from './history.ts'

const [A, B, C] = [
  digestOf(Buffer.from('a')),
  digestOf(Buffer.from('b')),
  digestOf(Buffer.from('c')),
] as const
/** a, unsigned b, a again, then c for good. */
const MOVES: readonly Move[] = [
  { atMs: 0, digest: A, isSigned: true },
  { atMs: 100, digest: B, isSigned: false },
  { atMs: 200, digest: A, isSigned: true },
  { atMs: 300, digest: C, isSigned: true },
]

describe('ageMs', () => {
  const cases = [
    { what: 'what the tag names now', asked: 350, answered: 360, digest: C, age: 0 },
    { what: 'what it came to name while the answer was made', asked: 290, answered: 310, digest: C, age: 0 },
    { what: 'what it named just before', asked: 450, answered: 460, digest: A, age: 150 },
    { what: 'the latest time counts', asked: 210, answered: 220, digest: A, age: 0 },
    { what: 'what it named long before', asked: 1_200, answered: 1_210, digest: B, age: 1_000 },
    { what: 'what it will name', asked: 50, answered: 60, digest: C, age: undefined },
    {
      what: 'what it never named',
      asked: 50,
      answered: 60,
      digest: digestOf(Buffer.from('x')),
      age: undefined,
    },
  ]
  for (const { what, asked, answered, digest, age } of cases)
    it(what, () => {
      assert.equal(ageMs(MOVES, { askedMs: asked, answeredMs: answered, status: 200, digest }), age)
    })
})

describe('wasUnsigned', () => {
  const cases = [
    { what: 'while it is', asked: 150, answered: 160, within: 0, found: true },
    { what: 'before it was', asked: 50, answered: 60, within: 0, found: false },
    { what: 'as the answer was made', asked: 90, answered: 110, within: 0, found: true },
    {
      what: 'remembered for as long as a tag is believed',
      asked: 240,
      answered: 250,
      within: 50,
      found: true,
    },
    { what: 'remembered for longer', asked: 260, answered: 270, within: 50, found: false },
  ]
  for (const { what, asked, answered, within, found } of cases)
    it(what, () => {
      const observed = { askedMs: asked, answeredMs: answered, status: 403, digest: A }
      assert.equal(wasUnsigned(MOVES, observed, within), found)
    })
})
