import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { test } from 'node:test'
import { createEpoch, type Epoch } from './epoch.ts'
import { Judge } from './judge.ts'
import { digestOf } from './oci/digest.ts'
import { factsOf } from './oci/manifest-facts.ts'
import { parseManifest } from './oci/manifest.ts'
import { enforce } from './policy/decide.ts'
import { loadPolicies } from './policy/load.ts'
import type { IndexedPolicySet } from './policy/policy-index.ts'
import type { Judgement } from './policy/types.ts'
import { createMetrics } from './record/metrics.ts'
import { repository } from './store/testing/state.ts'
import { buildImage } from './testing/images.ts'
import { createTrustSnapshot } from './trust/snapshot.ts'
import type { FetchedManifest } from './upstream/manifest-source.ts'
import { UpstreamError } from './upstream/types.ts'
import { readPublicKey } from './verify/public-key.ts'
import type { Candidate, HeldKey, KeySet, PublicKey, Verified } from './verify/types.ts'

/** Judgements across epochs: what each of them rests on, and what it costs to reach it anew. */

const APP = repository('acme/app')
const image = buildImage({ files: { 'etc/name': 'epochs\n' } })
const MANIFEST: FetchedManifest = {
  digest: image.digest,
  bytes: image.manifest,
  parsed: { ok: true, facts: factsOf(parseManifest(image.manifest, undefined)) },
}
const source = {
  found: 'referrer',
  manifest: digestOf(Buffer.from('m')),
  blob: digestOf(Buffer.from('b')),
} as const
const CANDIDATE: Candidate = { form: 'bundle', source, bytes: Buffer.from('{}') }

function publicKey(): PublicKey {
  const key = readPublicKey(generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'pem' }))
  assert.ok('id' in key)
  return key
}

const SIGNER = publicKey()
const OTHER = publicKey()

function held(key: PublicKey, isRetiring = false): HeldKey {
  return { key, validFrom: undefined, validUntil: undefined, isCurrent: true, isRetiring }
}

function load(mode = 'enforce'): IndexedPolicySet {
  const text = `apiVersion: portcullis.dev/v1alpha1
kind: ImagePolicy
metadata: { name: signed }
spec:
  mode: ${mode}
  images: [{ glob: ghcr.io/acme/** }]
  authorities: [{ name: ops, key: { keySet: release } }]
`
  const result = loadPolicies({
    files: [{ path: 'a.yaml', text }],
    trustRoots: new Set(['public-good']),
    keySets: new Set(['release']),
    rings: new Set(['default']),
    defaultMode: 'enforce',
    unmatched: 'observe',
    defaultStance: 'closed',
    stanceLimit: undefined,
  })
  assert.ok(result.ok)
  return result.set
}

function epoch(set: KeySet | readonly HeldKey[], mode?: string): Epoch {
  const keySet: KeySet = 'kind' in set ? set : { kind: 'held', keys: set }
  return createEpoch(
    load(mode),
    createTrustSnapshot({ roots: [], keys: new Map([['keys:release', keySet]]) }),
  )
}

const NOW = epoch([held(SIGNER)])
const ROTATING = epoch([held(SIGNER, true), held(OTHER)])
const RETIRED = epoch([held(OTHER)])
const KEYLESS = epoch({ kind: 'missing', dependency: 'trust', message: 'never had' })

function setUp(first: Epoch) {
  const world = { epoch: first, isDown: false, isSigned: true, ms: 0, asked: 0, verified: 0 }
  const fetching: { wait: Promise<void> } = { wait: Promise.resolve() }
  const noBlobs = { candidates: [CANDIDATE], rejected: [], failures: [] }
  const verified: Verified = {
    source,
    signer: { kind: 'key', key: SIGNER.id },
    claim: { kind: 'signature' },
    logs: [],
    times: [],
  }
  const upstreams = {
    client() {
      world.asked += 1
      return undefined
    },
  }
  const unused = () => assert.fail('not asked for here')
  const judge = new Judge({
    epoch: () => world.epoch,
    gate: { peek: (_, __, judgement) => enforce(judgement), noteJudged: () => undefined },
    manifests: {
      async fetch() {
        await fetching.wait
        if (world.isDown) throw new UpstreamError('unavailable', 'down')
        return MANIFEST
      },
    },
    state: {
      parentsOfManifest: () => [],
      getEvidence: () => (world.isSigned ? { discovery: noBlobs, gatheredAt: new Date(0) } : undefined),
      setEvidence: unused,
      setFindings: () => undefined,
      setLogEntry: unused,
    },
    upstreams,
    runner: {
      async verify(_, { keys }) {
        world.verified += 1
        const isKnown = keys.some(({ id }) => id === SIGNER.id)
        return await Promise.resolve({ verified: isKnown ? [verified] : [], failures: [], unfinished: [] })
      },
      readReferrers: unused,
      mergeReferrers: unused,
      parseManifest: unused,
      isEvidenceBlob: unused,
      close: unused,
    },
    metrics: createMetrics(),
    now: () => new Date(0),
    elapsed: () => world.ms,
    workLimit: () => AbortSignal.timeout(10_000),
    violatedTtlMs: 1000,
    allowedForeignHosts: new Set(),
  })
  const ask = async () => await judge.judge(APP, image.digest)
  return { judge, ask, world, fetching }
}

function kindOf({ results }: Judgement): string {
  return results.map(({ verdict }) => verdict.kind).join()
}

test('a judgement ends in the epoch that it began in', async () => {
  const { judge, ask, world, fetching } = setUp(NOW)
  const slow = Promise.withResolvers<void>()
  fetching.wait = slow.promise
  const judging = ask()
  world.epoch = RETIRED
  slow.resolve()
  const { judgement, trustVersion } = await judging
  assert.equal(kindOf(judgement), 'satisfied')
  assert.equal(trustVersion, NOW.trustVersion)
  assert.equal(judge.known(APP, image.digest), undefined, 'it says nothing of the new epoch')
  world.epoch = NOW
  assert.ok(judge.known(APP, image.digest))
})

test('those who ask in different epochs at the same time get different judgements', async () => {
  const { ask, world } = setUp(NOW)
  const before = ask()
  world.epoch = RETIRED
  const after = ask()
  assert.deepEqual(
    [kindOf((await before).judgement), kindOf((await after).judgement)],
    ['satisfied', 'violated'],
  )
})

test('a new epoch judges anew from what is stored, without upstream where that suffices', async () => {
  const { ask, world } = setUp(NOW)
  await ask()
  world.epoch = ROTATING
  const { judgement, retiring, trustVersion } = await ask()
  assert.equal(kindOf(judgement), 'satisfied')
  assert.equal(trustVersion, ROTATING.trustVersion)
  assert.deepEqual(retiring, ['key'])
  assert.deepEqual([world.asked, world.verified], [0, 2])
})

test('what is no longer supported is violated, and satisfied again where it is supported again', async () => {
  const { ask, world } = setUp(NOW)
  for (const [at, expected] of [
    [NOW, 'satisfied'],
    [RETIRED, 'violated'],
    [NOW, 'satisfied'],
  ] as const) {
    world.epoch = at
    assert.equal(kindOf((await ask()).judgement), expected)
  }
})

test('a key that was never had makes the verdict undetermined, until it is there', async () => {
  const { ask, world } = setUp(KEYLESS)
  const { judgement } = await ask()
  assert.equal(kindOf(judgement), 'undetermined')
  const [result] = judgement.results
  assert.deepEqual(result?.verdict.kind === 'undetermined' && result.verdict.causes, [
    { dependency: 'trust', message: 'never had' },
  ])
  world.epoch = NOW
  assert.equal(kindOf((await ask()).judgement), 'satisfied')
})

test('a mode that changes begins an epoch, and its results say so', async () => {
  const { ask, world } = setUp(NOW)
  await ask()
  world.epoch = epoch([held(SIGNER)], 'observe')
  assert.equal((await ask()).judgement.results[0]?.mode, 'observe')
})

test('two epochs of the same policies and trust are one: nothing is judged again', async () => {
  const { judge, ask, world } = setUp(NOW)
  await ask()
  world.epoch = epoch([held(SIGNER)])
  assert.ok(judge.known(APP, image.digest))
})

test('an outage changes no verdict already reached in its epoch', async () => {
  const { ask, world } = setUp(RETIRED)
  world.isSigned = false
  assert.equal(kindOf((await ask()).judgement), 'violated')
  world.ms += 2000
  world.epoch = { ...RETIRED, ...unusable(RETIRED) }
  assert.equal(kindOf((await ask()).judgement), 'violated')
})

/** The same epoch by its key, in which nothing can be determined: as evidence that cannot be had. */
function unusable({ key }: Epoch): Pick<Epoch, 'matching' | 'key'> {
  return { matching: (name) => KEYLESS.matching(name), key }
}

test('what an image that could not be judged is guilty of by itself counts', () => {
  const { judge } = setUp(NOW)
  const cause = { dependency: 'deadline', message: 'late' } as const
  const malformed: FetchedManifest = { ...MANIFEST, parsed: { ok: false, message: 'has two readings' } }
  assert.equal(kindOf(judge.undetermined(APP, undefined, cause).judgement), 'undetermined')
  assert.equal(kindOf(judge.undetermined(APP, MANIFEST.digest, cause, MANIFEST).judgement), 'undetermined')
  assert.equal(kindOf(judge.undetermined(APP, MANIFEST.digest, cause, malformed).judgement), 'violated')
})
