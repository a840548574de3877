import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { ColdSteps } from './cold-steps.ts'
import { versionsOf } from './epoch.ts'
import { factsOf } from './oci/manifest-facts.ts'
import { parseManifest } from './oci/manifest.ts'
import type { Digest } from './oci/digest.ts'
import { enforce } from './policy/decide.ts'
import { patienceOf } from './policy/patience.ts'
import { inRing } from './policy/ring.ts'
import type { Cause, Judgement, Mode, Policy, Stance } from './policy/types.ts'
import { createMetrics } from './record/metrics.ts'
import { buildImage } from './testing/images.ts'
import { APP, RING, setUp as setUpGate } from './testing/gate.ts'
import { policyOf } from './testing/policies.ts'
import { UpstreamError } from './upstream/types.ts'

const IMAGE = buildImage({ files: { 'etc/name': 'cold\n' } })
const { digest } = IMAGE
const MANIFEST = {
  digest,
  bytes: IMAGE.manifest,
  parsed: { ok: true, facts: factsOf(parseManifest(IMAGE.manifest, undefined)) },
} as const
const BY_DIGEST = { kind: 'digest', digest } as const

type Given = readonly [name: string, stance: Stance, budgetMs?: number, mode?: Mode]

function policies(given: readonly Given[]): readonly Policy[] {
  return given.map(([name, stance, verifyBudgetMs, mode = 'enforce']) => {
    const modes = { fallback: mode, byRing: new Map<string, Mode>() }
    const budget = verifyBudgetMs === undefined ? {} : { verifyBudgetMs }
    return policyOf([], { name, version: 'v1', mode, modes, stance, ...budget })
  })
}

function judgementOf(rules: readonly Policy[], cause?: Cause): Judgement {
  const verdict =
    cause === undefined
      ? ({ kind: 'satisfied', by: [] } as const)
      : ({ kind: 'undetermined', causes: [cause] } as const)
  return { results: rules.map(({ name: policy, ...rest }) => ({ policy, ...rest, verdict })) }
}

/** A world in which the registry or the verifier takes longer than any budget, and time is in the test's hands. */
function setUp(
  given: readonly Given[],
  world: { isAtHand?: boolean; isHeldUp?: boolean; slow?: 'resolve' } = {},
) {
  const rules = policies(given)
  const { gate } = setUpGate()
  const clock = { ms: 0 }
  const waits: { readonly untilMs: number; readonly limit: AbortController }[] = []
  const deadline = new AbortController()
  const never = new Promise<never>(() => undefined)
  const steps = new ColdSteps({
    manifests: {
      resolve: async () => (world.slow === 'resolve' ? await never : await Promise.resolve<Digest>(digest)),
      inMemory: () => (world.isAtHand === false ? undefined : MANIFEST),
    },
    judge: {
      judge: async () => await never,
      undetermined: (_, __, cause) => ({
        ...versionsOf({ policyVersion: 'p', trustVersion: 't' }),
        judgement: judgementOf(rules, cause),
      }),
      isHeldUpByVerifying: () => world.isHeldUp ?? false,
      stepOf: () => 'discover',
    },
    gate,
    modeOf: () => rules[0]?.mode ?? 'off',
    inRing,
    patienceOf: (_, ring) => patienceOf({ policies: rules, revocations: [] }, ring),
    limit(ms) {
      const limit = new AbortController()
      waits.push({ untilMs: clock.ms + ms, limit })
      return limit.signal
    },
    elapsed: () => clock.ms,
    metrics: createMetrics(),
  })
  /** Until there is an answer; at the end comes the deadline. */
  const find = async () => {
    const found = steps.find({ repository: APP, reference: BY_DIGEST, ring: RING }, deadline.signal)
    const answered = Promise.allSettled([found]).then(() => true)
    for (;;) {
      // oxlint-disable-next-line no-await-in-loop -- one wait after the other
      if (await Promise.race([answered, nextTurn(false)])) return await found
      const next = waits.map(({ untilMs }) => untilMs).filter((ms) => ms > clock.ms)
      clock.ms = Math.min(20_000, ...next)
      for (const { untilMs, limit } of waits) if (untilMs <= clock.ms) limit.abort()
      if (next.length === 0) deadline.abort()
    }
  }
  const verifiedBefore = () => {
    gate.noteServed(APP, digest, judgementOf(rules))
    gate.flush()
  }
  return { find, clock, gate, verifiedBefore }
}

test('a policy whose stance holds what is late ends the wait at its budget, and the sentence says so', async () => {
  const { find, clock } = setUp([
    ['strict', 'closed', 300],
    ['patient', 'closed', 900],
  ])
  const { ruling } = await find()
  assert.equal(clock.ms, 300)
  const outcome = enforce(ruling)
  assert.equal(outcome.kind, 'hold')
  const [result] = outcome.kind === 'hold' ? outcome.by : []
  assert.deepEqual(result?.verdict, {
    kind: 'undetermined',
    causes: [
      {
        dependency: 'deadline',
        message:
          'no verdict within 300 ms, the verifyBudget of policy strict; verification goes on; slow step: discover',
      },
    ],
  })
})

const LATE: readonly (readonly [
  name: string,
  given: readonly Given[],
  isKnown: boolean,
  endsAtMs: number,
])[] = [
  [
    'was satisfied before: the other policy is still asked',
    [
      ['a', 'last-verified', 300],
      ['b', 'closed', 900],
    ],
    true,
    900,
  ],
  [
    'never was: held at once',
    [
      ['a', 'last-verified', 300],
      ['b', 'closed', 900],
    ],
    false,
    300,
  ],
  [
    'stance open does not let lateness pass either',
    [
      ['a', 'open', 300],
      ['b', 'closed', 900],
    ],
    false,
    300,
  ],
  [
    'the other policy has no budget: to the deadline',
    [
      ['a', 'last-verified', 300],
      ['b', 'closed'],
    ],
    true,
    20_000,
  ],
  [
    'all let it pass: at the last budget',
    [
      ['a', 'last-verified', 300],
      ['b', 'last-verified', 900],
    ],
    true,
    900,
  ],
  [
    'what only warns is not waited for',
    [
      ['a', 'closed', 300],
      ['b', 'closed', 100, 'observe'],
    ],
    false,
    300,
  ],
  [
    'all only warn: the shortest',
    [
      ['a', 'closed', 300, 'observe'],
      ['b', 'closed', 100, 'observe'],
    ],
    false,
    100,
  ],
  ['no budget: to the deadline', [['a', 'closed']], false, 20_000],
]

for (const [name, given, isKnown, endsAtMs] of LATE) {
  test(`late, and ${name}`, async () => {
    const { find, clock, verifiedBefore } = setUp(given)
    if (isKnown) verifiedBefore()
    const { judged } = await find()
    assert.equal(judged, undefined)
    assert.equal(clock.ms, endsAtMs)
  })
}

test('what was satisfied before and is late for the sake of its evidence is held, whatever the stance', async () => {
  for (const stance of ['last-verified', 'open'] as const) {
    const { find, clock, gate, verifiedBefore } = setUp([['a', stance, 300]], { isHeldUp: true })
    verifiedBefore()
    const { ruling } = await find()
    assert.equal(clock.ms, 300)
    assert.equal(gate.outcome(APP, digest, ruling).kind, 'hold')
  }
})

test('late for the sake of the world, what was satisfied before passes', async () => {
  const { find, gate, verifiedBefore } = setUp([['a', 'last-verified', 300]])
  verifiedBefore()
  assert.equal(gate.outcome(APP, digest, (await find()).ruling).kind, 'serve')
})

test('without its bytes there is nothing to let pass, so nothing more to wait for', async () => {
  const { find, clock, verifiedBefore } = setUp(
    [
      ['a', 'last-verified', 300],
      ['b', 'closed', 900],
    ],
    {
      isAtHand: false,
    },
  )
  verifiedBefore()
  assert.deepEqual([(await find()).isEarly, clock.ms], [true, 300])
})

test('a tag that does not resolve: held at the budget of a closed policy, else it has the whole pull', async () => {
  const closed = setUp(
    [
      ['a', 'last-verified', 100],
      ['b', 'closed', 300],
    ],
    { slow: 'resolve' },
  )
  const { digest: unknown, ruling } = await closed.find()
  assert.deepEqual([unknown, closed.clock.ms, enforce(ruling).kind], [undefined, 300, 'hold'])
  const lax = setUp([['a', 'last-verified', 100]], { slow: 'resolve' })
  await lax.find()
  assert.equal(lax.clock.ms, 20_000)
  // In mode observe it is an error of the registry like any other, and never the budget's.
  const shown = setUp([['a', 'closed', 100, 'observe']], { slow: 'resolve' })
  await assert.rejects(shown.find(), UpstreamError)
  assert.equal(shown.clock.ms, 20_000)
})
