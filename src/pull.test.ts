import assert from 'node:assert/strict'
import { test } from 'node:test'
import { versionsOf } from './epoch.ts'
import { Gate } from './gate.ts'
import type { Judged } from './judge.ts'
import { parseManifest } from './oci/manifest.ts'
import { OpenBudget } from './open-budget.ts'
import type { Cause, Judgement, Verdict } from './policy/types.ts'
import { Puller } from './pull.ts'
import type { PullSeen } from './replay.ts'
import { openState, repository } from './store/testing/state.ts'
import { buildImage } from './testing/images.ts'
import type { FetchedManifest } from './upstream/manifest-source.ts'
import { VerifiedBefore } from './verified-before.ts'

const APP = repository('acme/app')
const IMAGE = buildImage({ files: { 'etc/name': 'pulls\n' } })
const REFERENCE = { kind: 'digest', digest: IMAGE.digest } as const
const MANIFEST: FetchedManifest = {
  digest: IMAGE.digest,
  bytes: IMAGE.manifest,
  parsed: { ok: true, manifest: parseManifest(IMAGE.manifest, undefined) },
}
const VERSIONS = versionsOf({ policyVersion: 'p', trustVersion: 't' })

function judgementOf(verdict: Verdict): Judgement {
  const rest = { version: 'v1', mode: 'enforce', stance: 'open', runbook: undefined } as const
  return { results: [{ policy: 'signed', ...rest, verdict }] }
}

function undeterminedBy(cause: Cause): Judgement {
  return judgementOf({ kind: 'undetermined', causes: [cause] })
}

function judgedOf(judgement: Judgement): Judged {
  const closure = { children: [], blobs: [], isEvidence: false }
  const rest = { coveredBy: undefined, closure, retiring: [], timings: {} }
  return { digest: IMAGE.digest, judgement, ...VERSIONS, ...rest }
}

function setUp() {
  const { state, clock } = openState()
  const now = () => new Date(clock.ms)
  const written = { decisions: 0, announced: 0 }
  const seen: PullSeen[] = []
  const world: { known: Judged | undefined; cold: Promise<Judged>; isHeldUp: boolean; isLate: boolean } = {
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
      resolved: () => IMAGE.digest,
      resolve: async () => await Promise.resolve(IMAGE.digest),
      inMemory: () => MANIFEST,
      fetch: async () => await Promise.resolve(MANIFEST),
    },
    judge: {
      known: () => world.known,
      async judge() {
        if (world.isLate) time.abort()
        return await world.cold
      },
      reconsider: () => undefined,
      undetermined: (_, cause) => ({ ...VERSIONS, judgement: undeterminedBy(cause) }),
      isHeldUpByVerifying: () => world.isHeldUp,
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
  })
  const pull = async (client = '10.0.0.1') =>
    await puller.pull({ repository: APP, reference: REFERENCE, client, deadline: () => time.signal })
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

test('every pull is seen, cold or warm, served or not', async () => {
  const { pull, puller, world, seen } = setUp()
  world.cold = Promise.resolve(judgedOf(judgementOf({ kind: 'violated', reasons: [] })))
  await pull()
  world.known = judgedOf(judgementOf({ kind: 'satisfied', by: [] }))
  puller.pullWarm({ repository: APP, reference: REFERENCE, client: '10.0.0.2' })
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
