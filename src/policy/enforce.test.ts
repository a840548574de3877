import assert from 'node:assert/strict'
import test from 'node:test'
import { enforce } from './decide.ts'
import type { Mode, PolicyResult, Verdict } from './types.ts'

const VERDICTS: Readonly<Record<Verdict['kind'], Verdict>> = {
  satisfied: { kind: 'satisfied', by: [] },
  violated: { kind: 'violated', reasons: [] },
  undetermined: { kind: 'undetermined', causes: [] },
}

function result(mode: Mode, kind: Verdict['kind']): PolicyResult {
  return { policy: `${mode}-${kind}`, mode, runbook: undefined, verdict: VERDICTS[kind] }
}

/** mode, verdict -> outcome and warnings. */
const MATRIX: readonly (readonly [Mode, Verdict['kind'], outcome: string, warnings: number])[] = [
  ['off', 'satisfied', 'serve', 0],
  ['off', 'violated', 'serve', 0],
  ['off', 'undetermined', 'serve', 0],
  ['observe', 'satisfied', 'serve', 0],
  ['observe', 'violated', 'serve', 1],
  ['observe', 'undetermined', 'serve', 1],
  ['enforce', 'satisfied', 'serve', 0],
  ['enforce', 'violated', 'refuse', 0],
  ['enforce', 'undetermined', 'hold', 0],
]

for (const [mode, kind, outcome, warnings] of MATRIX) {
  test(`enforce: ${mode} and ${kind} is ${outcome}`, () => {
    const enforced = enforce({ results: [result(mode, kind)] })
    assert.equal(enforced.kind, outcome)
    assert.equal(enforced.warnings.length, warnings)
  })
}

test('a refusal beats a hold, and names only who refuses', () => {
  const violated = result('enforce', 'violated')
  const observed = result('observe', 'violated')
  const outcome = enforce({ results: [result('enforce', 'undetermined'), observed, violated] })
  assert.deepEqual(outcome, { kind: 'refuse', by: [violated], warnings: [observed] })
})

test('a satisfied policy does not outweigh one that is not', () => {
  const results = [result('enforce', 'satisfied'), result('enforce', 'violated'), result('off', 'satisfied')]
  assert.equal(enforce({ results }).kind, 'refuse')
})
