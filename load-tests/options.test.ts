import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { commandOf, readOptions } from './options.ts'
import type { Scenario } from './scenario.ts'

function scenario(name: string, extra: Partial<Scenario> = {}): Scenario {
  return { name, about: '', tools: [], run: () => Promise.reject(new Error('not run')), ...extra }
}
const [A, B, LONG] = [scenario('a'), scenario('b'), scenario('long', { isByNameOnly: true })] as const
const KNOWN = [A, B, LONG]

function chosen(...args: readonly string[]): readonly string[] | undefined {
  return readOptions(args, KNOWN)?.scenarios.map(({ name }) => name)
}

describe('readOptions', () => {
  it('runs all, less what takes long, unless told otherwise', () => {
    assert.deepEqual(chosen(), ['a', 'b'])
    assert.deepEqual(chosen('--scenario', 'all'), ['a', 'b'])
    assert.deepEqual(chosen('--scenario', 'long,a'), ['long', 'a'])
    assert.deepEqual(chosen('--scenario', 'every'), ['a', 'b', 'long'])
  })
  it('writes figures to bench, and none of a quick run unless told where', () => {
    assert.equal(readOptions([], KNOWN)?.output, 'bench')
    assert.equal(readOptions(['--quick'], KNOWN)?.output, undefined)
    assert.equal(readOptions(['--quick', '--output', 'x'], KNOWN)?.output, 'x')
  })
  it('asks for nothing where help is wanted', () => assert.equal(readOptions(['--help'], KNOWN), undefined))

  const wrong = [
    ['--scenario', 'c'],
    ['--rounds', '0'],
    ['--seconds', '1.5'],
    ['--connections', '257'],
    ['--generator', 'ab'],
    ['--unknown'],
  ]
  for (const args of wrong)
    it(`refuses ${args.join(' ')}`, () => assert.throws(() => readOptions(args, KNOWN)))
})

describe('commandOf', () => {
  const cases = [
    { args: [], command: 'npm run load -- --scenario a' },
    { args: ['--rounds', '7', '--seconds', '3'], command: 'npm run load -- --scenario a --rounds 7' },
    { args: ['--quick', '--rounds', '2'], command: 'npm run load -- --scenario a --rounds 2 --quick' },
  ]
  for (const { args, command } of cases)
    it(command, () => {
      const options = readOptions(args, KNOWN)
      assert.equal(options === undefined ? undefined : commandOf(A, options), command)
    })
})
