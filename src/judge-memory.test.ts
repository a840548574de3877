import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { INLINE_READER } from './discover/testing/inline-reader.ts'
import { BUNDLE, listOf, MemoryRegistry, type TestLayer } from './discover/testing/memory-registry.ts'
import { createEpoch } from './epoch.ts'
import { Judge } from './judge.ts'
import { digestOf } from './oci/digest.ts'
import { factsOf } from './oci/manifest-facts.ts'
import { parseManifest } from './oci/manifest.ts'
import { enforce } from './policy/decide.ts'
import { loadPolicies } from './policy/load.ts'
import type { IndexedPolicySet } from './policy/policy-index.ts'
import { createMetrics } from './record/metrics.ts'
import { openState, repository } from './store/testing/state.ts'
import { buildImage } from './testing/images.ts'
import { createTrustSnapshot } from './trust/snapshot.ts'
import type { RegistryClient } from './upstream/types.ts'
import { readPublicKey } from './verify/public-key.ts'
import type { Candidate } from './verify/types.ts'

/** What a hostile registry can make one cold judgement hold: Invariant "everything from outside has a limit". */

const MIB = 1024 * 1024
/** All evidence of one discovery, annotations included. */
const DISCOVERED_MAX = 16 * MIB
/** What a store gives back of an earlier one. */
const STORED_MAX = 2 * MIB

const APP = repository('acme/app')
const image = buildImage({ files: { 'etc/name': 'memory\n' } })

function policySet(): IndexedPolicySet {
  const text = `apiVersion: portcullis.dev/v1alpha1
kind: ImagePolicy
metadata: { name: signed }
spec:
  mode: enforce
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

function sizeOf(candidate: Candidate): number {
  const annotations = candidate.form === 'bundle' ? {} : candidate.annotations
  return Object.values(annotations).reduce((sum, text) => sum + text.length, candidate.bytes.length)
}

/** A judge before this registry, and the most bytes of evidence that any one verification was given. */
function setUp(registry: MemoryRegistry) {
  const held = { bytes: 0 }
  const key = readPublicKey(generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'pem' }))
  assert.ok('id' in key)
  const heldKey = { key, validFrom: undefined, validUntil: undefined, isCurrent: true, isRetiring: false }
  const keys = new Map([['keys:release', { kind: 'held', keys: [heldKey] } as const]])
  const epoch = createEpoch(policySet(), createTrustSnapshot({ roots: [], keys }))
  const unused = () => assert.fail('not asked for here')
  const judge = new Judge({
    epoch: () => epoch,
    gate: { peek: (_, __, judgement) => enforce(judgement), noteJudged: () => undefined },
    manifests: {
      fetch: async () => {
        const parsed = { ok: true, facts: factsOf(parseManifest(image.manifest, undefined)) } as const
        return await Promise.resolve({ digest: image.digest, bytes: image.manifest, parsed })
      },
    },
    state: openState().state,
    upstreams: { client: () => registry.client },
    runner: {
      ...INLINE_READER,
      async verify(candidates) {
        held.bytes = Math.max(
          held.bytes,
          candidates.reduce((sum, candidate) => sum + sizeOf(candidate), 0),
        )
        return await Promise.resolve({ verified: [], failures: [], unfinished: [] })
      },
      mergeReferrers: unused,
      isEvidenceBlob: unused,
      close: unused,
    },
    metrics: createMetrics(),
    now: () => new Date(0),
    elapsed: () => 0,
    workLimit: () => AbortSignal.timeout(20_000),
    violatedTtlMs: -1,
    allowedForeignHosts: new Set(),
  })
  return { held, judge: async () => await judge.judge(APP, image.digest) }
}

/** A registry that pushes that many referrers, each with one layer. */
function flooded(count: number, layer: (index: number) => TestLayer): MemoryRegistry {
  const registry = new MemoryRegistry()
  const entries = Array.from({ length: count }, (_, index) => registry.referrer([layer(index)], image.digest))
  registry.pages = [listOf(entries)]
  return registry
}

test('a flood of large evidence: 16 MiB of it are fetched and verified, however much there is', async () => {
  const registry = flooded(10, (index) => ({ mediaType: BUNDLE, bytes: Buffer.alloc(4 * MIB, index + 1) }))
  const fetched = { bytes: 0 }
  const honest = registry.client
  const client: RegistryClient = {
    ...honest,
    getBlob: async (...asked) => {
      const blob = await honest.getBlob(...asked)
      fetched.bytes += blob.size ?? 0
      return blob
    },
  }
  const { judge, held } = setUp(Object.assign(registry, { client }))
  await judge()
  assert.ok(held.bytes > DISCOVERED_MAX / 2, 'what fits is looked at')
  assert.ok(held.bytes <= DISCOVERED_MAX, `${held.bytes} bytes at once`)
  assert.ok(fetched.bytes <= DISCOVERED_MAX, `${fetched.bytes} bytes fetched`)
})

test('what was found before comes on top, and no more of it than the store keeps', async () => {
  const registry = flooded(8, (index) => ({ mediaType: BUNDLE, bytes: Buffer.alloc(2 * MIB, index + 1) }))
  const { judge, held } = setUp(registry)
  await judge()
  const others = flooded(8, (index) => ({ mediaType: BUNDLE, bytes: Buffer.alloc(2 * MIB, index + 101) }))
  for (const [key, bytes] of others.manifests) registry.manifests.set(key, bytes)
  for (const [key, bytes] of others.blobs) registry.blobs.set(key, bytes)
  registry.pages = others.pages
  await judge()
  assert.ok(held.bytes > DISCOVERED_MAX, 'of both')
  assert.ok(held.bytes <= DISCOVERED_MAX + STORED_MAX, `${held.bytes} bytes at once`)
})

test('a blob that does not end is left where its manifest says that it ends', async () => {
  const size = 64 * 1024
  const bytes = Buffer.alloc(size, 7)
  const registry = flooded(1, () => ({ mediaType: BUNDLE, bytes }))
  const read = { bytes: 0 }
  async function* endless(): AsyncGenerator<Buffer> {
    for (; read.bytes < 64 * MIB; read.bytes += size) yield await Promise.resolve(bytes)
  }
  const client = {
    ...registry.client,
    getBlob: async () =>
      await Promise.resolve({ size: undefined, offset: 0, body: Readable.from(endless()) }),
  }
  const { judge, held } = setUp(Object.assign(registry, { client }))
  await judge()
  assert.equal(held.bytes, 0)
  assert.ok(read.bytes < MIB, `${read.bytes} bytes of one that has ${size}`)
  assert.equal(digestOf(bytes), [...registry.blobs.keys()][0])
})
