import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { suite, test } from 'node:test'
import { publicKeyOf } from '../testing/verification.ts'
import type { PublicKey } from '../verify/types.ts'
import { keySetOf, keySetProblem, keySetWarning, nextWindowEdge, type KeyEntry } from './key-sets.ts'

const newKey = (): PublicKey => publicKeyOf(generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).publicKey)
const [A, B] = [newKey(), newKey()]
const day = (n: number): Date => new Date(Date.UTC(2027, 0, n))
const NOW = day(15)

type Flags = readonly [isCurrent: boolean, isRetiring: boolean]

const CASES: readonly {
  readonly name: string
  readonly entries: readonly KeyEntry[]
  readonly flags: readonly Flags[]
  readonly edge: Date | undefined
  readonly problem?: RegExp
  readonly warning?: RegExp
}[] = [
  { name: 'one key without a window', entries: [{ key: A }], flags: [[true, false]], edge: undefined },
  {
    name: 'the last key of a set ends, and nothing comes after it',
    entries: [{ key: A, validUntil: day(20) }],
    flags: [[true, false]],
    edge: day(20),
  },
  {
    name: 'a rotation with an overlap, before it',
    entries: [
      { key: A, validUntil: day(25) },
      { key: B, validFrom: day(20) },
    ],
    flags: [
      [true, true],
      [false, false],
    ],
    edge: day(20),
  },
  {
    name: 'in the overlap',
    entries: [
      { key: A, validUntil: day(20) },
      { key: B, validFrom: day(10) },
    ],
    flags: [
      [true, true],
      [true, false],
    ],
    edge: day(20),
  },
  {
    name: 'after it: the old key stays for what has a time',
    entries: [
      { key: A, validUntil: day(12) },
      { key: B, validFrom: day(10) },
    ],
    flags: [
      [false, false],
      [true, false],
    ],
    edge: undefined,
  },
  {
    name: 'the first moment counts',
    entries: [{ key: A, validFrom: NOW }],
    flags: [[true, false]],
    edge: undefined,
  },
  {
    name: 'the last one does not',
    entries: [{ key: A, validUntil: NOW }, { key: B }],
    flags: [
      [false, false],
      [true, false],
    ],
    edge: undefined,
  },
  {
    name: 'two that end together: nobody follows',
    entries: [
      { key: A, validUntil: day(20) },
      { key: B, validUntil: day(20) },
    ],
    flags: [
      [true, false],
      [true, false],
    ],
    edge: day(20),
  },
  {
    name: 'nothing yet',
    entries: [{ key: A, validFrom: day(20) }],
    flags: [[false, false]],
    edge: day(20),
  },
  {
    name: 'all has ended',
    entries: [
      { key: A, validUntil: day(10) },
      { key: B, validUntil: day(14) },
    ],
    flags: [
      [false, false],
      [false, false],
    ],
    edge: undefined,
    warning: /the time of every key has ended/,
  },
  {
    name: 'an empty window',
    entries: [{ key: A }, { key: B, validFrom: day(20), validUntil: day(20) }],
    flags: [
      [true, false],
      [false, true],
    ],
    edge: day(20),
    problem: /from 2027-01-20T00:00:00.000Z until 2027-01-20T00:00:00.000Z/,
  },
  {
    name: 'one key twice',
    entries: [{ key: A }, { key: A, validUntil: day(20) }],
    flags: [
      [true, false],
      [true, true],
    ],
    edge: day(20),
    problem: /twice/,
  },
  {
    name: 'no key',
    entries: [],
    flags: [],
    edge: undefined,
    problem: /no keys/,
    warning: /every key/,
  },
]

suite('key sets', () => {
  for (const { name, entries, flags, edge, problem, warning } of CASES) {
    test(name, () => {
      const set = keySetOf(entries, NOW)
      assert.ok(set.kind === 'held')
      assert.deepEqual(
        set.keys.map(({ isCurrent, isRetiring }) => [isCurrent, isRetiring]),
        flags,
      )
      assert.deepEqual(
        set.keys.map(({ key, validFrom, validUntil }) => [key, validFrom, validUntil]),
        entries.map(({ key, validFrom, validUntil }) => [key, validFrom, validUntil]),
      )
      assert.deepEqual(nextWindowEdge(entries, NOW), edge)
      assert.match(keySetProblem(entries) ?? 'none', problem ?? /^none$/)
      assert.match(keySetWarning(entries, NOW) ?? 'none', warning ?? /^none$/)
    })
  }
})
