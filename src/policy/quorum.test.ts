import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { quorumOf, quorumUntilMs, type Vouching } from './quorum.ts'

type Table = Readonly<Record<string, Readonly<Record<string, number>>>>

function vouching(table: Table): Vouching {
  return new Map(
    Object.entries(table).map(([authority, signers]) => [authority, new Map(Object.entries(signers))]),
  )
}

const CASES: readonly (readonly [name: string, Table, count: number])[] = [
  ['nobody', {}, 0],
  ['an authority without a signer', { a: {} }, 0],
  ['two authorities, two signers', { a: { x: 1 }, b: { y: 1 } }, 2],
  ['two authorities, one signer', { a: { x: 1 }, b: { x: 1 } }, 1],
  ['one authority, two signers', { a: { x: 1, y: 1 } }, 1],
  ['a signer who must make way for another authority', { a: { x: 1, y: 1 }, b: { x: 1 } }, 2],
  ['a chain of them', { a: { x: 1, y: 1 }, b: { y: 1, z: 1 }, c: { x: 1 } }, 3],
  ['three authorities, two signers', { a: { x: 1, y: 1 }, b: { x: 1, y: 1 }, c: { x: 1, y: 1 } }, 2],
]

for (const [name, table, count] of CASES) {
  test(`quorum: ${name} are ${count}`, () => assert.equal(quorumOf(vouching(table)), count))
}

test('a quorum lasts as long as the best choice of signers', () => {
  const table = { a: { x: 10, y: 90 }, b: { x: 50, y: 20 } }
  for (const [count, untilMs] of [
    [1, 90],
    [2, 50],
    [3, -Infinity],
  ] as const)
    assert.equal(quorumUntilMs(count, vouching(table)), untilMs)
  assert.equal(quorumUntilMs(1, vouching({ a: { x: Infinity } })), Infinity)
})

/** The slow way: every choice of a signer, or none, for each authority. */
function largestOf(rows: readonly (readonly number[])[], taken: ReadonlySet<number> = new Set()): number {
  const [row, ...rest] = rows
  if (row === undefined) return 0
  const choices = row.filter((signer) => !taken.has(signer))
  const skipped = largestOf(rest, taken)
  return Math.max(skipped, ...choices.map((signer) => 1 + largestOf(rest, new Set([...taken, signer]))))
}

test('property: a quorum is the largest choice in which no signer counts twice', () => {
  const rows = fc.array(fc.uniqueArray(fc.integer({ min: 0, max: 4 })), { maxLength: 5 })
  fc.assert(
    fc.property(rows, (signers) => {
      const named = signers.map((row) => new Map(row.map((signer) => [String(signer), 1] as const)))
      const asked = new Map(named.map((row, index) => [String(index), row] as const))
      assert.equal(quorumOf(asked), largestOf(signers))
    }),
  )
})
