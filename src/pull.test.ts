import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { versionsOf } from './epoch.ts'
import { Gate } from './gate.ts'
import type { Judged } from './judge.ts'
import { factsOf } from './oci/manifest-facts.ts'
import { parseManifest } from './oci/manifest.ts'
import { OpenBudget } from './open-budget.ts'
import type { Budget } from './policy/patience.ts'
import { inRing, type Ring } from './policy/ring.ts'
import type { Cause, Judgement, RingModes, Verdict } from './policy/types.ts'
import { Puller } from './pull.ts'
import { decisionKey } from './record/decision.ts'
import { createMetrics } from './record/metrics.ts'
import type { PullSeen } from './replay.ts'
import { openDatabase } from './store/database.ts'
import { openState, repository, rowCount } from './store/testing/state.ts'
import { buildImage } from './testing/images.ts'
import type { FetchedManifest } from './upstream/manifest-source.ts'
import { VerifiedBefore } from './verified-before.ts'

const APP = repository('acme/app')
const IMAGE = buildImage({ files: { 'etc/name': 'pulls\n' } })
const REFERENCE = { kind: 'digest', digest: IMAGE.digest } as const
const MANIFEST: FetchedManifest = {
  digest: IMAGE.digest,
  bytes: IMAGE.manifest,
  parsed: { ok: true, facts: factsOf(parseManifest(IMAGE.manifest, undefined)) },
}
const VERSIONS = versionsOf({ policyVersion: 'p', trustVersion: 't' })

const DEFAULT: Ring = { name: 'default', stanceLimit: undefined }
const LAX: Ring = { name: 'lax', stanceLimit: undefined }
const CAREFUL: Ring = { name: 'careful', stanceLimit: 'closed' }
const MODES: RingModes = { fallback: 'enforce', byRing: new Map([['lax', 'observe']]) }

function judgementOf(verdict: Verdict): Judgement {
  const rest = { version: 'v1', mode: 'enforce', modes: MODES, stance: 'open', runbook: undefined } as const
  return { results: [{ policy: 'signed', ...rest, verdict }] }
}

function undeterminedBy(cause: Cause): Judgement {
  return judgementOf({ kind: 'undetermined', causes: [cause] })
}

function judgedOf(judgement: Judgement): Judged {
  const closure = { children: [], blobs: [], isEvidence: false }
  const found = { signing: { isSigned: false, hasProvenance: false }, isWhole: true }
  const rest = { coveredBy: undefined, isEvidence: false, closure, retiring: [], timings: {}, ...found }
  return { digest: IMAGE.digest, judgement, ...VERSIONS, ...rest }
}

type World = {
  inMemory: FetchedManifest | undefined
  undetermined: (cause: Cause, manifest?: FetchedManifest) => Judgement
  /** All of them are over at once. */
  budgets: readonly Budget[]
  known: Judged | undefined
  cold: Promise<Judged>
  isHeldUp: boolean
  isLate: boolean
}

function setUp(options: Parameters<typeof openState>[0] = {}) {
  const { state, clock } = openState(options)
  const now = () => new Date(clock.ms)
  const written = { decisions: 0, announced: 0 }
  const seen: PullSeen[] = []
  const world: World = {
    inMemory: MANIFEST,
    undetermined: undeterminedBy,
    budgets: [],
    known: undefined,
    cold: new Promise<Judged>(() => undefined),
    isHeldUp: false,
    isLate: false,
  }
  const time = new AbortController()
  const gate = new Gate({
    epoch: () => ({ key: 'one' }),
    state,
    before: new VerifiedBefore({ state, now, lastVerifiedMaxAgeMs: 60_000 }),
    budget: new OpenBudget({ state, now, openImagesMax: 1, openForMs: 60_000 }),
    now,
    onEvent: () => undefined,
  })
  const write = () => void (written.decisions += 1)
  const puller = new Puller({
    manifests: {
      believed: () => ({ digest: IMAGE.digest, holds: () => true }),
      resolve: async () => await Promise.resolve(IMAGE.digest),
      inMemory: () => world.inMemory,
      fetch: async () => await Promise.resolve(MANIFEST),
    },
    judge: {
      standing: () => (world.known === undefined ? undefined : { judged: world.known, holds: () => true }),
      async judge() {
        if (world.isLate) time.abort()
        return world.known ?? (await world.cold)
      },
      reconsider: () => undefined,
      undetermined: (_, __, ...given) => ({ ...VERSIONS, judgement: world.undetermined(...given) }),
      isHeldUpByVerifying: () => world.isHeldUp,
      stepOf: () => 'discover',
    },
    gate,
    state,
    recorder: {
      record: write,
      note: write,
      announce: () => void (written.announced += 1),
      unrecorded: () => assert.fail('the disk is well'),
    },
    onRetiring: () => undefined,
    onPull: (pull) => seen.push(pull),
    modeOf: () => 'enforce',
    inRing,
    patienceOf: () => ({ budgets: world.budgets, isLimited: world.budgets.length > 0, isForShow: true }),
    limit: () => AbortSignal.abort(),
    elapsed: () => 0,
    metrics: createMetrics(),
  })
  const pull = async (client = '10.0.0.1', ring = DEFAULT) =>
    await puller.pull({
      repository: APP,
      reference: REFERENCE,
      client,
      ring,
      isRead: true,
      deadline: () => time.signal,
    })
  return { pull, puller, world, written, seen, clock, gate }
}

test('an admission is recorded once a minute for each client, and every pull names the decision on record', async () => {
  const { pull, world, written, clock } = setUp()
  const ids: string[] = []
  for (const message of ['timed out after 5 s', 'timed out after 6 s', 'timed out after 7 s']) {
    world.cold = Promise.resolve(judgedOf(undeterminedBy({ dependency: 'registry', message })))
    const answer = await pull()
    assert.ok(answer.kind === 'serve')
    assert.ok(answer.warnings.every((warning) => warning.includes(answer.decision.id)))
    ids.push(answer.decision.id)
  }
  assert.equal(new Set(ids).size, 1)
  assert.deepEqual(written, { decisions: 1, announced: 1 })
  await pull('10.0.0.2')
  assert.equal(written.decisions, 2)
  clock.ms += 60_000
  await pull()
  assert.equal(written.decisions, 3)
})

test('a cold pull is answered once all that serving it again needs is written', async () => {
  const soon: (() => void)[] = []
  const database = openDatabase(':memory:')
  const later = { soon: (work: () => void) => void soon.push(work), eventually: () => undefined }
  const { pull, world } = setUp({ database, later })
  world.cold = Promise.resolve(judgedOf(judgementOf({ kind: 'satisfied', by: [] })))
  let isAnswered = false
  const answer = pull().finally(() => (isAnswered = true))
  await nextTurn()
  assert.equal(isAnswered, false)
  assert.equal(rowCount(database, 'satisfied') + rowCount(database, 'parent'), 0)
  for (const write of soon.splice(0)) write()
  assert.equal((await answer).kind, 'serve')
  assert.equal(rowCount(database, 'satisfied'), 1)
  assert.equal(rowCount(database, 'parent'), 1)
})

test('what was judged and is served by nobody yet is served once its closure is written', async () => {
  const soon: (() => void)[] = []
  const database = openDatabase(':memory:')
  const later = { soon: (work: () => void) => void soon.push(work), eventually: () => undefined }
  const { pull, puller, world, seen, written } = setUp({ database, later })
  const judged = judgedOf(judgementOf({ kind: 'satisfied', by: [] }))
  world.known = judged
  const warm = () =>
    puller.pullWarm({
      repository: APP,
      reference: REFERENCE,
      client: '10.0.0.1',
      ring: DEFAULT,
      isRead: true,
    })
  assert.equal(warm(), undefined)
  const answers = [pull(), pull()]
  await nextTurn()
  assert.equal(rowCount(database, 'parent'), 0)
  assert.equal(warm(), undefined, 'it is on its way to the disk')
  assert.equal(seen.length, 0)
  for (const write of soon.splice(0)) write()
  assert.deepEqual(
    (await Promise.all(answers)).map(({ kind }) => kind),
    ['serve', 'serve'],
  )
  assert.equal(rowCount(database, 'parent'), 1)
  assert.equal(warm()?.kind, 'serve')
  assert.equal(seen.length, 3, 'each is seen once')
  assert.equal(written.announced, 1)
})

test('what is refused has no closure to wait for', () => {
  const { puller, world } = setUp()
  world.known = judgedOf(judgementOf({ kind: 'violated', reasons: [] }))
  const asked = { repository: APP, reference: REFERENCE, client: '10.0.0.1', ring: DEFAULT, isRead: true }
  assert.equal(puller.pullWarm(asked)?.kind, 'refuse')
})

test('every pull is seen, cold or warm, served or not', async () => {
  const { pull, puller, world, seen } = setUp()
  world.cold = Promise.resolve(judgedOf(judgementOf({ kind: 'violated', reasons: [] })))
  await pull()
  // Somebody was served it before.
  world.known = { ...judgedOf(judgementOf({ kind: 'satisfied', by: [] })), closure: undefined }
  puller.pullWarm({ repository: APP, reference: REFERENCE, client: '10.0.0.2', ring: DEFAULT, isRead: true })
  await pull('10.0.0.3')
  assert.deepEqual(
    seen.map(({ client, isServed }) => [client, isServed]),
    [
      ['10.0.0.1', false],
      ['10.0.0.2', true],
      ['10.0.0.3', true],
    ],
  )
})

for (const [isHeldUp, dependency] of [
  [false, 'deadline'],
  [true, 'verifier'],
] as const) {
  test(`a deadline that passes while evidence is ${isHeldUp ? '' : 'not '}being verified: ${dependency}`, async () => {
    const { pull, world } = setUp()
    Object.assign(world, { isHeldUp, isLate: true })
    const { outcome } = await pull()
    assert.ok(outcome.kind === 'hold')
    const [held] = outcome.by
    assert.deepEqual(
      held?.verdict.kind === 'undetermined' && held.verdict.causes.map((cause) => cause.dependency),
      [dependency],
    )
  })
}

for (const [isHeldUp, kind] of [
  [false, 'serve'],
  [true, 'hold'],
] as const) {
  test(`what was verified before, late because of ${isHeldUp ? 'its evidence' : 'the world'}: ${kind}`, async () => {
    const { pull, world, gate } = setUp()
    gate.noteJudged(APP, IMAGE.digest, judgementOf({ kind: 'satisfied', by: [] }))
    gate.flush()
    Object.assign(world, { isHeldUp, isLate: true })
    assert.equal((await pull()).kind, kind)
  })
}

const VIOLATED = judgementOf({ kind: 'violated', reasons: [] })

test('one judgement, every ring by its own mode, cold and warm, and none by what another was told', async () => {
  const { pull, world } = setUp()
  world.cold = Promise.resolve(judgedOf(VIOLATED))
  const told: string[] = []
  for (const known of [undefined, judgedOf(VIOLATED)]) {
    world.known = known
    for (const ring of [LAX, DEFAULT, LAX, DEFAULT]) {
      const { kind, decision } = await pull('10.0.0.1', ring)
      told.push(`${decision.subject.ring} ${kind}`)
    }
  }
  assert.deepEqual(told, Array.from({ length: 4 }, () => ['lax serve', 'default refuse']).flat())
})

test('a decision is that of its ring; without rings it is what it always was', async () => {
  const { pull, world } = setUp()
  world.known = judgedOf(VIOLATED)
  const [lax, all] = [(await pull('10.0.0.1', LAX)).decision, (await pull()).decision]
  assert.notEqual(lax.id, all.id)
  assert.match(decisionKey(lax), /"ring":"lax"/)
  assert.doesNotMatch(decisionKey(all), /ring/)
})

test('the limit of a ring holds what its neighbour is served', async () => {
  const { pull, world } = setUp()
  world.cold = Promise.resolve(judgedOf(undeterminedBy({ dependency: 'registry', message: 'timed out' })))
  assert.equal((await pull('10.0.0.1', CAREFUL)).kind, 'hold')
  assert.equal((await pull('10.0.0.1', DEFAULT)).kind, 'serve')
  assert.equal((await pull('10.0.0.1', CAREFUL)).kind, 'hold')
})

test('what is ruled without its bytes is held against them before they leave', async () => {
  const { pull, world, written, gate } = setUp()
  world.inMemory = undefined
  world.budgets = [{ policy: 'signed', ms: 100 }]
  const seen = await pull('10.0.0.1', LAX)
  assert.ok(seen.kind === 'serve')
  assert.deepEqual([seen.manifest, seen.warnings.length], [MANIFEST, 1])
  assert.ok(gate.admittedLately(APP, IMAGE.digest), 'its blobs need not wait for the verdict either')
  assert.deepEqual(written, { decisions: 1, announced: 1 }, 'what would be held is on record')
  const modes: RingModes = { fallback: 'enforce', byRing: new Map() }
  world.undetermined = (cause, manifest) => {
    const { results } = undeterminedBy(cause)
    if (manifest === undefined) return { results }
    return { results: results.map((one) => ({ ...one, modes, verdict: { kind: 'violated', reasons: [] } })) }
  }
  assert.equal((await pull('10.0.0.1', LAX)).kind, 'refuse')
  assert.equal(written.decisions, 2, 'a refusal of what was seen is on record')
})
