import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { NOTHING, policyOf, staticAuthority } from '../testing/policies.ts'
import { decide, enforce, type StanceContext } from './decide.ts'
import type { Cause, Mode, Outcome, PolicyResult, Revocation, Stance, Verdict } from './types.ts'

const OUTAGE: Cause = { dependency: 'registry', message: 'timed out' }
const ATTACK: Cause = { dependency: 'verifier', message: 'more referrers than anybody reads' }

const VERDICTS: Readonly<Record<Verdict['kind'], Verdict>> = {
  satisfied: { kind: 'satisfied', by: [] },
  violated: { kind: 'violated', reasons: [] },
  undetermined: { kind: 'undetermined', causes: [OUTAGE] },
}

/** Of no account once a judgement is about a ring. */
const NO_RINGS = { fallback: 'observe', byRing: new Map() } as const

function result(mode: Mode, kind: Verdict['kind'], changes: Partial<PolicyResult> = {}): PolicyResult {
  const rest = { version: 'sha256:1', modes: NO_RINGS, stance: 'closed', runbook: undefined } as const
  return { policy: `${mode}-${kind}`, mode, ...rest, verdict: VERDICTS[kind], ...changes }
}

/** mode, verdict -> outcome and warnings, with stance closed. */
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

function context(wasSatisfied: boolean, mayOpen: boolean): StanceContext {
  return { wasSatisfied: () => wasSatisfied, mayOpen: () => mayOpen }
}

type Expected = 'hold' | 'last-verified' | 'open'

/** What an undetermined verdict comes to in mode enforce: stance, satisfied before, budget left -> a hold, or who admits. */
const UNDETERMINED: readonly (readonly [Stance, before: boolean, room: boolean, Expected])[] = [
  ['closed', false, false, 'hold'],
  ['closed', false, true, 'hold'],
  ['closed', true, false, 'hold'],
  ['closed', true, true, 'hold'],
  ['last-verified', false, false, 'hold'],
  ['last-verified', false, true, 'hold'],
  ['last-verified', true, false, 'last-verified'],
  ['last-verified', true, true, 'last-verified'],
  ['open', false, false, 'hold'],
  ['open', false, true, 'open'],
  ['open', true, false, 'last-verified'],
  ['open', true, true, 'last-verified'],
]

for (const [stance, before, room, expected] of UNDETERMINED) {
  const facts = `${before ? 'satisfied before' : 'never satisfied'}, ${room ? 'budget left' : 'no budget'}`
  test(`stance ${stance}, ${facts}, undetermined: ${expected}`, () => {
    const only = result('enforce', 'undetermined', { stance })
    const enforced = enforce({ results: [only] }, context(before, room))
    assert.equal(enforced.kind, expected === 'hold' ? 'hold' : 'serve')
    assert.deepEqual(admittedIn(enforced), expected === 'hold' ? [] : [{ result: only, by: expected }])
  })

  for (const [kind, outcome] of [
    ['satisfied', 'serve'],
    ['violated', 'refuse'],
  ] as const) {
    test(`stance ${stance}, ${facts}, ${kind}: ${outcome}`, () => {
      const enforced = enforce({ results: [result('enforce', kind, { stance })] }, context(before, room))
      assert.equal(enforced.kind, outcome)
      assert.deepEqual(admittedIn(enforced), [])
    })
  }

  for (const mode of ['off', 'observe'] as const) {
    test(`stance ${stance}, ${facts}, mode ${mode}: served whatever the verdict, and not by the stance`, () => {
      for (const kind of ['satisfied', 'violated', 'undetermined'] as const) {
        const enforced = enforce({ results: [result(mode, kind, { stance })] }, context(before, room))
        assert.equal(enforced.kind, 'serve')
        assert.deepEqual(admittedIn(enforced), [])
      }
    })
  }
}

test('what somebody may have made too large is never admitted, whatever else is missing', () => {
  for (const causes of [[ATTACK], [OUTAGE, ATTACK], [ATTACK, OUTAGE], []]) {
    const verdict = { kind: 'undetermined', causes } as const
    const results = [result('enforce', 'undetermined', { stance: 'open', verdict })]
    assert.equal(enforce({ results }, context(true, true)).kind, 'hold')
  }
})

for (const dependency of ['rate-limit', 'deadline'] as const) {
  test(`${dependency}, which a client can bring about, opens nothing; what was satisfied before passes`, () => {
    const made: Cause = { dependency, message: 'often asked' }
    for (const causes of [[made], [OUTAGE, made], [made, OUTAGE]]) {
      const verdict = { kind: 'undetermined', causes } as const
      const results = [result('enforce', 'undetermined', { stance: 'open', verdict })]
      const unasked = { wasSatisfied: () => false, mayOpen: () => assert.fail('the budget was asked') }
      assert.equal(enforce({ results }, unasked).kind, 'hold')
      const [admission] = admittedIn(enforce({ results }, context(true, true)))
      assert.deepEqual(admission, { result: results[0], by: 'last-verified' })
    }
  })
}

test('one policy that holds is enough, and it alone is named', () => {
  const open = result('enforce', 'undetermined', { stance: 'open' })
  const closed = result('enforce', 'undetermined', { stance: 'closed' })
  const outcome = enforce({ results: [open, closed] }, context(true, true))
  assert.deepEqual(outcome, { kind: 'hold', by: [closed], warnings: [] })
})

test('the budget is not asked for what was satisfied before, nor for what is known', () => {
  const results = [
    result('enforce', 'undetermined', { stance: 'open' }),
    result('enforce', 'satisfied', { stance: 'open' }),
  ]
  const never = () => assert.fail('the budget was asked')
  assert.equal(enforce({ results }, { wasSatisfied: () => true, mayOpen: never }).kind, 'serve')
})

function admittedIn(outcome: Outcome): readonly unknown[] {
  return outcome.kind === 'serve' ? outcome.admitted : []
}

const anyCause = fc.record({
  dependency: fc.constantFrom(
    ...(['registry', 'trust', 'rekor', 'kms', 'rate-limit', 'deadline', 'verifier'] as const),
  ),
  message: fc.string(),
})
const anyVerdict: fc.Arbitrary<Verdict> = fc.oneof(
  fc.constant(VERDICTS.satisfied),
  fc.constant(VERDICTS.violated),
  fc.array(anyCause, { maxLength: 3 }).map((causes): Verdict => ({ kind: 'undetermined', causes })),
)
const anyResult: fc.Arbitrary<PolicyResult> = fc.record({
  policy: fc.constantFrom('a', 'b', 'c'),
  version: fc.constant('sha256:1'),
  mode: fc.constantFrom(...(['off', 'observe', 'enforce'] as const)),
  modes: fc.constant(NO_RINGS),
  stance: fc.constantFrom(...(['closed', 'last-verified', 'open'] as const)),
  runbook: fc.constant(undefined),
  verdict: anyVerdict,
})

test('property: nothing that an enforcing policy has against an image is ever served', () => {
  fc.assert(
    fc.property(
      fc.array(anyResult, { maxLength: 5 }),
      fc.boolean(),
      fc.boolean(),
      (results, before, room) => {
        const outcome = enforce({ results }, context(before, room))
        const enforcing = results.filter(({ mode }) => mode === 'enforce')
        if (enforcing.some(({ verdict }) => verdict.kind === 'violated')) assert.equal(outcome.kind, 'refuse')
        if (outcome.kind !== 'serve') return
        for (const { stance, verdict } of enforcing) {
          if (verdict.kind === 'satisfied') continue
          assert.equal(verdict.kind, 'undetermined')
          assert.notEqual(stance, 'closed')
          assert.ok(stance === 'last-verified' ? before : before || room)
          assert.ok(
            verdict.kind !== 'undetermined' || !verdict.causes.some((one) => one.dependency === 'verifier'),
          )
        }
      },
    ),
  )
})

test('property: stance closed is what there is without any stance', () => {
  fc.assert(
    fc.property(fc.array(anyResult, { maxLength: 5 }), (results) => {
      const closed = results.map((one): PolicyResult => ({ ...one, stance: 'closed' }))
      assert.deepEqual(enforce({ results: closed }, context(true, true)), enforce({ results: closed }))
      assert.deepEqual(admittedIn(enforce({ results: closed }, context(true, true))), [])
    }),
  )
})

test('what was satisfied before is asked for under every version by which it could be', () => {
  const stolen = 'sha256:1 by keys:release stolen'
  const held = ['sha256:1 by keys:release a', 'sha256:1 by keys:release b']
  const asked = result('enforce', 'undetermined', { stance: 'last-verified', factVersions: held })
  const knowing = (fact: string): StanceContext => ({
    wasSatisfied: ({ version }) => version === fact,
    mayOpen: () => false,
  })
  for (const fact of held) assert.equal(enforce({ results: [asked] }, knowing(fact)).kind, 'serve')
  for (const fact of [stolen, 'sha256:1'])
    assert.equal(enforce({ results: [asked] }, knowing(fact)).kind, 'hold')
})

test('a revocation that hits comes first, and what satisfies the policies does not outweigh it', () => {
  const revocation: Revocation = {
    name: 'recall',
    version: 'sha256:2',
    mode: 'enforce',
    modes: { fallback: 'enforce', byRing: new Map() },
    reason: 'stolen',
    runbook: undefined,
    matches: () => true,
    denials: [{ kind: 'digest', digest: NOTHING.image.digest }],
    origin: 'recall.yaml:1',
  }
  const content = policyOf([staticAuthority('all', 'pass')])
  for (const [policies, second] of [
    [[content], ['acme', 'satisfied']],
    [[], ['unmatched', 'violated']],
  ] as const) {
    const judgement = decide({ ...NOTHING, policies, revocations: [revocation] })
    const found = judgement.results.map(({ policy, verdict }) => [policy, verdict.kind])
    assert.deepEqual(found, [['recall', 'violated'], second])
    assert.equal(enforce(judgement).kind, 'refuse')
  }
})
