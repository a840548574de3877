import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Mode, Policy, RolloutCriteria } from '../policy/types.ts'
import { decidePromotion, recordedBefore, type PromotionRequest } from './promotion.ts'
import { rolloutReport } from './report.ts'
import { policyOf, RINGS, setOf } from './testing/rollout.ts'

/** Holds at once. */
const FREE: RolloutCriteria = { minDays: 0, minPulls: 0, minImages: 0, maxWouldBlocks: 0 }
/** Never does. */
const STRICT: RolloutCriteria = { ...FREE, minDays: 7, minPulls: 10 }

const NOW = new Date(1_000)
const ASKED = { policy: 'signed', ring: 'beta', to: 'enforce', by: 'ada', override: undefined } as const

async function decide(policy: Policy, request: Partial<PromotionRequest> = {}) {
  const input = { set: setOf(policy), rings: RINGS, stages: [], now: NOW }
  const report = await rolloutReport(
    input,
    () => [],
    () => Promise.resolve(),
  )
  return decidePromotion(report, { ...ASKED, ...request })
}

const policy = (byRing: Record<string, Mode> = {}, rollout: RolloutCriteria | undefined = FREE) => ({
  ...policyOf('signed', { byRing }),
  rollout,
})

describe('a promotion', () => {
  it('is granted where every criterion holds, with the figures on record', async () => {
    const answer = await decide(policy())
    assert.ok(answer.kind === 'granted')
    const { criteria, ...promotion } = answer.promotion
    assert.deepEqual(promotion, {
      at: NOW,
      policy: 'signed',
      ring: 'beta',
      from: 'observe',
      to: 'enforce',
      policyVersion: 'sha256:signed',
      by: 'ada',
      isMet: true,
      override: undefined,
    })
    assert.deepEqual(Object.keys(JSON.parse(criteria)), [
      'since',
      'days',
      'pulls',
      'images',
      'signed',
      'withProvenance',
      'gapImages',
      'wouldBlocks',
      'criteria',
      'unmet',
    ])
    assert.equal(answer.origin, 'signed.yaml:4')
  })

  const refusals = [
    {
      name: 'criteria do not hold',
      of: policy({}, STRICT),
      unmet: ['days: 0 of at least 7', 'pulls: 0 of at least 10'],
    },
    {
      name: 'the policy declares none',
      of: { ...policy(), rollout: undefined },
      unmet: ['criteria: the policy declares none (spec.rollout)'],
    },
    {
      name: 'a ring before it is not enforced',
      of: policy({ beta: 'enforce' }),
      ring: 'default',
      unmet: ['order: ring prod comes first and is in mode observe'],
    },
    {
      name: 'nobody has observed',
      of: policy({ beta: 'off' }),
      unmet: ['stage: ring beta is in mode off, not in observe'],
    },
  ]
  for (const { name, of, ring = 'beta', unmet } of refusals) {
    it(`is refused where ${name}, unless it is overridden, and that is on record`, async () => {
      assert.deepEqual(await decide(of, { ring }), { kind: 'refused', unmet })
      const overridden = await decide(of, { ring, override: 'the fair opens tomorrow' })
      assert.ok(overridden.kind === 'granted')
      const { isMet, override, criteria } = overridden.promotion
      assert.deepEqual([isMet, override], [false, 'the fair opens tomorrow'])
      assert.deepEqual(JSON.parse(criteria).unmet, unmet)
    })
  }

  it('that needs no override has none on record', async () => {
    const answer = await decide(policy(), { override: 'just in case' })
    assert.ok(answer.kind === 'granted')
    assert.deepEqual([answer.promotion.isMet, answer.promotion.override], [true, undefined])
  })

  it('to observe needs nothing: forward from off, and back from enforce', async () => {
    for (const from of ['off', 'enforce'] as const) {
      const answer = await decide(policy({ prod: from }, STRICT), { ring: 'prod', to: 'observe' })
      assert.ok(answer.kind === 'granted')
      assert.deepEqual([answer.promotion.from, answer.promotion.isMet], [from, true])
    }
  })

  const slips = [
    { name: 'an unknown policy', request: { policy: 'sined' }, kind: 'unknown' },
    { name: 'an unknown ring', request: { ring: 'gamma' }, kind: 'unknown' },
    { name: 'the mode that it has', request: { to: 'observe' }, kind: 'pointless' },
    { name: 'the rule for images without a policy', request: { policy: 'unmatched' }, kind: 'pointless' },
  ] as const
  for (const { name, request, kind } of slips) {
    it(`to ${name} is a slip`, async () => {
      assert.equal((await decide(policy(), { ...request, override: 'because' })).kind, kind)
    })
  }
})

describe('a promotion is the one on record', () => {
  const stored = {
    id: 7,
    at: new Date(500),
    policy: 'signed',
    ring: 'beta',
    from: 'observe',
    to: 'enforce',
    policyVersion: 'sha256:signed',
    by: 'ada',
    isMet: true,
    criteria: '{}',
    override: undefined,
  } as const
  const other = { ...stored, id: 8, ring: 'prod' }
  const back = { ...stored, id: 9, from: 'enforce', to: 'observe' } as const
  const cases = [
    { name: 'where it was made in the same stage', since: 400, recorded: [other, stored], isKnown: true },
    { name: 'not where the stage has begun since', since: 501, recorded: [stored], isKnown: false },
    { name: 'not where another came after it', since: 400, recorded: [back, stored], isKnown: false },
    {
      name: 'not where the policy demanded something else',
      since: 400,
      recorded: [{ ...stored, policyVersion: 'sha256:old' }],
      isKnown: false,
    },
    { name: 'not where there is none of its ring', since: 400, recorded: [other], isKnown: false },
  ]
  for (const { name, since, recorded, isKnown } of cases) {
    it(name, () => {
      const known = recordedBefore({ ...stored, at: NOW, by: 'grace' }, new Date(since), recorded)
      assert.equal(known, isKnown ? stored : undefined)
    })
  }

  const overridden = { ...stored, isMet: false, override: 'we insist' }
  for (const { name, last, now, isKnown } of [
    { name: 'where it is overridden for the same reason', last: overridden, now: overridden, isKnown: true },
    { name: 'not where what held does no more', last: stored, now: overridden, isKnown: false },
    { name: 'not where what was overridden holds', last: overridden, now: stored, isKnown: false },
    {
      name: 'not where it is overridden for another reason',
      last: overridden,
      now: { ...overridden, override: 'it is late' },
      isKnown: false,
    },
  ]) {
    it(name, () => {
      const known = recordedBefore({ ...now, at: NOW, by: 'grace' }, new Date(400), [last])
      assert.equal(known, isKnown ? last : undefined)
    })
  }
})
