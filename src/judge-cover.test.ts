import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { test } from 'node:test'
import { createEpoch } from './epoch.ts'
import { Judge } from './judge.ts'
import type { Digest } from './oci/digest.ts'
import { factsOf } from './oci/manifest-facts.ts'
import { parseManifest } from './oci/manifest.ts'
import { enforce } from './policy/decide.ts'
import { loadPolicies } from './policy/load.ts'
import { createMetrics } from './record/metrics.ts'
import { digest, openState, repository } from './store/testing/state.ts'
import { buildImage } from './testing/images.ts'
import { createTrustSnapshot } from './trust/snapshot.ts'
import { UpstreamError } from './upstream/types.ts'
import { readPublicKey } from './verify/public-key.ts'
import type { Judged } from './judge.ts'

/** Judgements of what indexes name: what one question costs, and what is remembered and told of the indexes on its way. */

const APP = repository('acme/app')
const IMAGE = digest('image')
const MANIFEST = buildImage({ files: { 'etc/name': 'cover\n' } }).manifest
const PARSED = { ok: true, facts: factsOf(parseManifest(MANIFEST, undefined)) } as const
const KEY = readPublicKey(generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'pem' }))

function policySet() {
  const text = `apiVersion: portcullis.dev/v1alpha1
kind: ImagePolicy
metadata: { name: signed }
spec:
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

function setUp() {
  assert.ok('id' in KEY)
  const held = { key: KEY, validFrom: undefined, validUntil: undefined, isCurrent: true, isRetiring: false }
  const keys = new Map([['keys:release', { kind: 'held', keys: [held] } as const]])
  const epoch = createEpoch(policySet(), createTrustSnapshot({ roots: [], keys }))
  const { state } = openState()
  const source = { found: 'referrer', manifest: digest('m'), blob: digest('b') } as const
  const candidate = { form: 'bundle', source, bytes: Buffer.from('{}') } as const
  const claim = { kind: 'signature' } as const
  const verified = { source, signer: { kind: 'key', key: KEY.id }, claim, logs: [], times: [] } as const
  /** What is signed, what cannot be had, how long each takes, and what is asked for and told. */
  const world = {
    signed: new Set<Digest>(),
    down: new Set<Digest>(),
    ms: 0,
    fetchMs: 0,
    verifying: Promise.resolve(),
    limit: new AbortController(),
  }
  const fetched: Digest[] = []
  const told: string[] = []
  const unused = () => assert.fail('not asked for here')
  const judge = new Judge({
    epoch: () => epoch,
    gate: {
      peek: (_, __, judgement) => enforce(judgement),
      noteJudged: (_, image, { results }) =>
        void told.push(`${image} ${results.map(({ verdict }) => verdict.kind).join()}`),
    },
    manifests: {
      async fetch(_, image) {
        fetched.push(image)
        world.ms += world.fetchMs
        if (world.down.has(image)) throw new UpstreamError('unavailable', 'down')
        return await Promise.resolve({ digest: image, bytes: MANIFEST, parsed: PARSED })
      },
    },
    state: {
      parentsOfManifest: (...image) => state.parentsOfManifest(...image),
      getEvidence: (_, image) =>
        world.signed.has(image)
          ? { discovery: { candidates: [candidate], rejected: [], failures: [] }, gatheredAt: new Date(0) }
          : undefined,
      setEvidence: unused,
      setFindings: () => undefined,
      setLogEntry: unused,
    },
    upstreams: { client: () => undefined },
    runner: {
      async verify() {
        await world.verifying
        return { verified: [verified], failures: [], unfinished: [] }
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
    workLimit: () => world.limit.signal,
    violatedTtlMs: 10_000,
    allowedForeignHosts: new Set(),
  })
  const names = (parent: string, ...children: readonly Digest[]): Digest => {
    state.addClosure(APP, digest(parent), { children, blobs: [], isEvidence: false })
    return digest(parent)
  }
  /** Levels of so many indexes, each of which names all of the level below it. */
  const tower = (width: number, levels: number): Digest[] => {
    const all: Digest[] = []
    let below = [IMAGE]
    for (let level = 0; level < levels; level++) {
      const children = below
      below = Array.from({ length: width }, (_, index) => names(`${level} ${index}`, ...children))
      all.push(...below)
    }
    return all
  }
  const ask = async (image = IMAGE) => await judge.judge(APP, image)
  return { judge, ask, world, fetched, told, names, tower }
}

function kindOf({ judgement }: Judged): string {
  return judgement.results.map(({ verdict }) => verdict.kind).join()
}

function causesOf({ judgement }: Judged): readonly string[] {
  return judgement.results.flatMap(({ verdict }) =>
    verdict.kind === 'undetermined' ? verdict.causes.map(({ dependency }) => dependency) : [],
  )
}

test('one question asks for each index once, though many ways lead to it and none of them can be judged', async () => {
  const { ask, world, fetched, tower } = setUp()
  const indexes = tower(6, 4)
  for (const index of indexes.slice(-6)) world.down.add(index)
  const judged = await ask()
  assert.deepEqual([kindOf(judged), causesOf(judged)], ['undetermined', ['registry']])
  assert.equal(fetched.length, 1 + indexes.length)
  assert.equal(new Set(fetched).size, fetched.length)
})

test('one question asks for 64 indexes at most, the nearest', async () => {
  const { ask, fetched, names } = setUp()
  const parents = Array.from({ length: 10 }, (_, index) => names(`parent ${index}`, IMAGE))
  for (let index = 0; index < 60; index++) names(`above ${index}`, ...parents)
  assert.equal(kindOf(await ask()), 'violated')
  assert.equal(fetched.length, 65)
  assert.ok(parents.every((parent) => fetched.includes(parent)))
})

test('what is found of an index with some of its own left out is no verdict for those who ask for it', async () => {
  const { ask, judge, world, told, names } = setUp()
  let child = IMAGE
  for (let depth = 1; depth <= 6; depth++) child = names(`level ${depth}`, child)
  world.signed.add(child)
  assert.equal(kindOf(await ask()), 'violated', 'the signed one is too far away')
  assert.deepEqual(told, [`${IMAGE} violated`])
  for (let depth = 1; depth <= 4; depth++) assert.equal(judge.known(APP, digest(`level ${depth}`)), undefined)
  assert.equal(kindOf(await ask(digest('level 2'))), 'satisfied')
})

test('once its time is up, a question asks for no further index', async () => {
  const { ask, world, fetched, tower } = setUp()
  tower(5, 1)
  world.limit.abort()
  const judged = await ask()
  assert.deepEqual([kindOf(judged), causesOf(judged)], ['undetermined', ['deadline']])
  assert.deepEqual(fetched, [IMAGE])
})

test('an index that is judged on the way to a verdict is told of, once, and known', async () => {
  const { ask, judge, told, names } = setUp()
  const index = names('index', IMAGE)
  await ask()
  await ask()
  await ask(index)
  assert.deepEqual(told, [`${index} violated`, `${IMAGE} violated`])
  assert.ok(judge.known(APP, index))
})

test('a judgement is told of when it ends, whoever waits for it', async () => {
  const { ask, world, told } = setUp()
  world.signed.add(IMAGE)
  const slow = Promise.withResolvers<void>()
  world.verifying = slow.promise
  const judging = ask()
  assert.deepEqual(told, [])
  slow.resolve()
  await judging
  assert.deepEqual(told, [`${IMAGE} satisfied`])
})

test('what took long and could not be determined is not tried again at once, and is known to nobody', async () => {
  const { ask, judge, world, fetched, names } = setUp()
  const index = names('index', IMAGE)
  world.down.add(index)
  world.fetchMs = 1_000
  const judged = await ask()
  assert.equal(kindOf(judged), 'undetermined')
  const asked = fetched.length
  assert.equal(await ask(), judged)
  assert.equal(fetched.length, asked)
  assert.equal(judge.known(APP, IMAGE), undefined)
  world.down.clear()
  world.signed.add(index)
  world.ms += 2_001
  assert.equal(kindOf(await ask()), 'satisfied')
})

test('what took no time and could not be determined is tried again at once', async () => {
  const { ask, world, names } = setUp()
  const index = names('index', IMAGE)
  world.down.add(index)
  assert.equal(kindOf(await ask()), 'undetermined')
  world.down.clear()
  world.signed.add(index)
  assert.equal(kindOf(await ask()), 'satisfied')
})

test('what could not be determined a moment ago is, as soon as something that may cover it is let in', async () => {
  const { ask, judge, world, names } = setUp()
  world.down.add(names('index', IMAGE))
  world.fetchMs = 1_000
  assert.equal(kindOf(await ask()), 'undetermined')
  world.signed.add(names('other', IMAGE))
  judge.reconsider(APP, [IMAGE])
  assert.equal(kindOf(await ask()), 'satisfied')
})

test('an outage that takes long changes no verdict already reached', async () => {
  const { ask, world, names } = setUp()
  const index = names('index', IMAGE)
  assert.equal(kindOf(await ask()), 'violated')
  world.ms += 10_001
  world.down.add(index)
  world.fetchMs = 1_000
  assert.equal(kindOf(await ask()), 'violated')
})

test('a judgement that is late says whether it is so for the sake of the evidence', async () => {
  const { ask, judge, world, names } = setUp()
  const index = names('index', IMAGE)
  world.signed.add(index)
  const slow = Promise.withResolvers<void>()
  world.verifying = slow.promise
  assert.ok(!judge.isHeldUpByVerifying(APP, IMAGE))
  const judging = [ask(index), ask()]
  // Until both have come to what they wait for.
  await new Promise(setImmediate)
  assert.ok(judge.isHeldUpByVerifying(APP, index))
  assert.ok(judge.isHeldUpByVerifying(APP, IMAGE), 'it waits for its index')
  slow.resolve()
  await Promise.all(judging)
  assert.ok(!judge.isHeldUpByVerifying(APP, IMAGE))
})
