import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { createEpoch, type Epoch } from '../epoch.ts'
import { Judge } from '../judge.ts'
import { digestOf, type Digest } from '../oci/digest.ts'
import { factsOf } from '../oci/manifest-facts.ts'
import { parseManifest } from '../oci/manifest.ts'
import { enforce } from '../policy/decide.ts'
import { loadPolicies } from '../policy/load.ts'
import { inRing } from '../policy/ring.ts'
import { RELEASE } from '../policy/testing/revocations.ts'
import type { Judgement, Outcome } from '../policy/types.ts'
import { createMetrics } from '../record/metrics.ts'
import { openState, repository } from '../store/testing/state.ts'
import type { StoredFindings } from '../store/types.ts'
import { buildImage } from './images.ts'
import { createTrustSnapshot } from '../trust/snapshot.ts'
import type { FetchedManifest } from '../upstream/manifest-source.ts'
import { UpstreamError } from '../upstream/types.ts'
import { readPublicKey } from '../verify/public-key.ts'
import type { TrustRoot, Verified } from '../verify/types.ts'
import { WorkError } from '../work/work-error.ts'

/** A judge in a world of one image and one index, where what is stored verifies as it is told. */

export const APP = repository('acme/app')
export const MANIFEST = buildImage({ files: { 'etc/name': 'revoked\n' } }).manifest
const PARSED = { ok: true, facts: factsOf(parseManifest(MANIFEST, undefined)) } as const
/** Any one image, and an index that names it. */
export const IMAGE = digestOf(MANIFEST)
export const INDEX = digestOf(Buffer.from('index'))
export const EPOCH_MS = Date.parse('2026-11-18T00:00:00Z')

function publicKey() {
  const key = readPublicKey(generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'pem' }))
  return 'id' in key ? key : assert.fail()
}

export const OPS = publicKey()
export const STOLEN = publicKey()

export function policy(authority: string, rest = ''): string {
  return `apiVersion: portcullis.dev/v1alpha1
kind: ImagePolicy
metadata: { name: signed }
spec:
  images: [{ glob: ghcr.io/acme/** }]
  authorities: [{ name: ops, ${authority} }]
  ${rest}
`
}

export const BY_KEY = policy('key: { keySet: release }')
export function revoke(deny: string, rest = ''): string {
  return `apiVersion: portcullis.dev/v1alpha1
kind: Revocation
metadata: { name: incident }
spec:
  reason: an incident
  deny: [${deny}]
  ${rest}
`
}

export const OF_IMAGE = revoke(`{ digest: "${IMAGE}" }`)
export const OF_INDEX = revoke(`{ digest: "${INDEX}" }`)
export const OF_WORKFLOW = revoke(`{ identity: { subject: "${RELEASE}" } }`)

const ROOT: TrustRoot = {
  name: 'public-good',
  kind: 'sigstore',
  version: 'sha256:root',
  json: '{}',
  // What is verified here needs no material.
  material: {} as TrustRoot['material'],
  isRetiring: false,
}

export function epochOf(...documents: readonly string[]): Epoch {
  const result = loadPolicies({
    files: [{ path: 'a.yaml', text: documents.join('---\n') }],
    keyFiles: new Map([['stolen.pub', STOLEN.key.export({ type: 'spki', format: 'pem' }).toString()]]),
    trustRoots: new Set(['public-good', 'internal']),
    keySets: new Set(['release']),
    rings: new Set(['default', 'canary']),
    defaultMode: 'enforce',
    unmatched: 'observe',
    defaultStance: 'last-verified',
    stanceLimit: undefined,
  })
  assert.ok(result.ok, JSON.stringify(result))
  const held = { key: OPS, validFrom: undefined, validUntil: undefined, isCurrent: true, isRetiring: false }
  const keys = new Map([['keys:release', { kind: 'held', keys: [held] } as const]])
  return createEpoch(result.set, createTrustSnapshot({ roots: [ROOT, { ...ROOT, name: 'internal' }], keys }))
}

export function judging(epoch: Epoch) {
  const { state } = openState()
  const source = { found: 'referrer', manifest: IMAGE, blob: IMAGE } as const
  const candidate = { form: 'bundle', source, bytes: Buffer.from('{}') } as const
  const world = {
    epoch,
    /** What is stored about each, and verifies where its root or key is among those that count. */
    stored: new Map<Digest, readonly Verified[]>(),
    down: new Set<Digest>(),
    parsed: PARSED as FetchedManifest['parsed'],
    /** The verifier fails. */
    isDying: false,
    /** Some of the work did not finish. */
    isPartial: false,
    ms: 0,
    /** By how much the time of day has moved by itself. */
    skewMs: 0,
    asked: 0,
  }
  const findings = new Map<Digest, StoredFindings>()
  const unused = () => assert.fail('not asked for here')
  const judge = new Judge({
    epoch: () => world.epoch,
    gate: { peek: (_, __, judgement) => enforce(judgement), noteJudged: () => undefined },
    manifests: {
      async fetch(_, digest) {
        if (world.down.has(digest)) throw new UpstreamError('unavailable', 'down')
        return await Promise.resolve({ digest, bytes: MANIFEST, parsed: world.parsed })
      },
    },
    state: {
      parentsOfManifest: (...image) => state.parentsOfManifest(...image),
      getEvidence: (_, image) =>
        world.stored.has(image)
          ? { discovery: { candidates: [candidate], rejected: [], failures: [] }, gatheredAt: new Date(0) }
          : undefined,
      setEvidence: unused,
      setLogEntry: unused,
      setFindings: (_, image, found) => void findings.set(image, found),
    },
    upstreams: {
      client() {
        world.asked += 1
        return undefined
      },
    },
    runner: {
      async verify(_, { subject, roots, keys }) {
        if (world.isDying) throw new Error('the verifier died')
        const verified = (world.stored.get(subject) ?? []).filter(({ signer }) =>
          signer.kind === 'key'
            ? keys.some(({ id }) => id === signer.key)
            : roots.some(({ name }) => name === signer.trustRoot),
        )
        const unfinished = world.isPartial ? [new WorkError('timeout', 'too slow')] : []
        return await Promise.resolve({ verified, failures: [], unfinished })
      },
      readReferrers: unused,
      mergeReferrers: unused,
      parseManifest: unused,
      isEvidenceBlob: unused,
      close: unused,
    },
    metrics: createMetrics(),
    now: () => new Date(EPOCH_MS + world.ms + world.skewMs),
    elapsed: () => world.ms,
    workLimit: () => AbortSignal.timeout(10_000),
    violatedTtlMs: 10_000,
    allowedForeignHosts: new Set(),
  })
  const ask = async (image = IMAGE) => (await judge.judge(APP, image)).judgement
  const letIn = () => {
    state.addClosure(APP, INDEX, { children: [IMAGE], blobs: [], isEvidence: false })
  }
  return { judge, ask, world, findings, letIn }
}

export function outcomeOf(judgement: Judgement, ring = 'default'): Outcome['kind'] {
  return enforce(inRing(judgement, { name: ring, stanceLimit: undefined }), {
    wasSatisfied: () => true,
    mayOpen: () => true,
  }).kind
}
