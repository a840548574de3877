import assert from 'node:assert/strict'
import { test } from 'node:test'
import { policyOf } from '../testing/policies.ts'
import { loaded, policy, revocation } from './testing/documents.ts'
import { patienceOf, type Patience } from './patience.ts'
import type { Mode, Policy } from './types.ts'

const RING = { name: 'default', stanceLimit: undefined }

function one(name: string, mode: Mode, verifyBudgetMs?: number, inRing?: Mode): Policy {
  const byRing = new Map(inRing === undefined ? [] : [['default', inRing] as const])
  const modes = { fallback: mode, byRing }
  return policyOf([], { name, modes, ...(verifyBudgetMs === undefined ? {} : { verifyBudgetMs }) })
}

const SIGNERS = revocation('leak', [{ identity: { subject: 'a@x.example' } }])
const DIGESTS = revocation('bad', [{ digest: `sha256:${'ab'.repeat(32)}` }])
const revocations = (...documents: Parameters<typeof loaded>[0]) => loaded(documents).set.revocations

const CASES: readonly (readonly [
  name: string,
  rules: Parameters<typeof patienceOf>[0],
  expected: Patience,
])[] = [
  ['nothing matches', { policies: [], revocations: [] }, { budgets: [], isLimited: false, isForShow: true }],
  [
    'the shortest first, and all have one',
    { policies: [one('slow', 'enforce', 900), one('fast', 'enforce', 100)], revocations: [] },
    {
      budgets: [
        { policy: 'fast', ms: 100 },
        { policy: 'slow', ms: 900 },
      ],
      isLimited: true,
      isForShow: false,
    },
  ],
  [
    'one without a budget may still refuse',
    { policies: [one('patient', 'enforce'), one('fast', 'enforce', 100)], revocations: [] },
    { budgets: [{ policy: 'fast', ms: 100 }], isLimited: false, isForShow: false },
  ],
  [
    'what only warns shortens no wait of what refuses',
    { policies: [one('strict', 'enforce', 900), one('shown', 'observe', 100)], revocations: [] },
    { budgets: [{ policy: 'strict', ms: 900 }], isLimited: true, isForShow: false },
  ],
  [
    'where all only warn, the shortest of them',
    {
      policies: [one('a', 'observe', 900), one('b', 'observe'), one('c', 'observe', 100)],
      revocations: revocations(
        revocation('leak', [{ identity: { subject: 'a@x.example' } }], { mode: 'observe' }),
      ),
    },
    { budgets: [{ policy: 'c', ms: 100 }], isLimited: true, isForShow: true },
  ],
  [
    'a policy that is off has no say',
    { policies: [one('off', 'off', 100)], revocations: [] },
    { budgets: [], isLimited: false, isForShow: true },
  ],
  [
    'the mode is that of the ring',
    { policies: [one('elsewhere', 'enforce', 100, 'observe')], revocations: [] },
    { budgets: [{ policy: 'elsewhere', ms: 100 }], isLimited: true, isForShow: true },
  ],
  [
    'a revocation of signers waits for the evidence',
    { policies: [one('fast', 'enforce', 100)], revocations: revocations(SIGNERS) },
    { budgets: [{ policy: 'fast', ms: 100 }], isLimited: false, isForShow: false },
  ],
  [
    'also where every policy only warns',
    { policies: [one('shown', 'observe', 100)], revocations: revocations(SIGNERS) },
    { budgets: [], isLimited: false, isForShow: false },
  ],
  [
    'a revocation of digests needs none',
    { policies: [one('fast', 'enforce', 100)], revocations: revocations(DIGESTS) },
    { budgets: [{ policy: 'fast', ms: 100 }], isLimited: true, isForShow: false },
  ],
]

for (const [name, rules, expected] of CASES) {
  test(name, () => assert.deepEqual(patienceOf(rules, RING), expected))
}

test('a document says it as a duration', () => {
  const [acme] = loaded([policy('acme', { verifyBudget: '800ms' })]).set.policies
  assert.equal(acme?.verifyBudgetMs, 800)
})
