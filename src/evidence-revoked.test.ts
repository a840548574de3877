import assert from 'node:assert/strict'
import { generateKeyPairSync, sign } from 'node:crypto'
import { after, test } from 'node:test'
import { DSSE, MemoryRegistry, SIMPLE_SIGNING } from './discover/testing/memory-registry.ts'
import { gatherEvidence, type Evidence, type EvidenceDeps } from './evidence.ts'
import { isSatisfied } from './judgement.ts'
import { digestParts } from './oci/digest.ts'
import { decide } from './policy/decide.ts'
import { ALWAYS } from './policy/testing/revocations.ts'
import type { Revocation } from './policy/types.ts'
import { createMetrics } from './record/metrics.ts'
import { openState, repository } from './store/testing/state.ts'
import { held, keyAuthority, policyOf } from './testing/policies.ts'
import { simpleSigningPayload } from './testing/statements.ts'
import { IMAGE, publicKeyOf, SUBJECT } from './testing/verification.ts'
import { createTrustSnapshot } from './trust/snapshot.ts'
import { createVerificationRunner } from './work/runner.ts'

/** An image with a signature that is accepted, and an attestation by a key that is revoked. */

const [ops, stolen] = [newKeys(), newKeys()]
const APP = repository('acme/app')
const TAG = `sha256-${digestParts(SUBJECT).hex}`
const policies = [policyOf([keyAuthority('ops', [held(publicKeyOf(ops.publicKey))])])]
const runner = createVerificationRunner()
after(async () => await runner.close())

function newKeys() {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' })
}

function signature(bytes: Buffer, keys: ReturnType<typeof newKeys>): string {
  return sign('sha256', bytes, keys.privateKey).toString('base64')
}

function published(): MemoryRegistry {
  const registry = new MemoryRegistry()
  const signed = simpleSigningPayload('ghcr.io/acme/app', SUBJECT)
  const annotations = { 'dev.cosignproject.cosign/signature': signature(signed, ops) }
  registry.putManifest(
    registry.image([{ mediaType: SIMPLE_SIGNING, bytes: signed, annotations }]),
    `${TAG}.sig`,
  )
  const subject = [{ name: 'app', digest: { sha256: digestParts(SUBJECT).hex } }]
  const statement = {
    _type: 'https://in-toto.io/Statement/v1',
    subject,
    predicateType: 'https://x.example/t',
    predicate: {},
  }
  const payload = Buffer.from(JSON.stringify(statement))
  const payloadType = 'application/vnd.in-toto+json'
  const encoded = Buffer.from(
    `DSSEv1 ${payloadType.length} ${payloadType} ${payload.length} ${payload.toString()}`,
  )
  const envelope = {
    payloadType,
    payload: payload.toString('base64'),
    signatures: [{ sig: signature(encoded, stolen) }],
  }
  const bytes = Buffer.from(JSON.stringify(envelope))
  registry.putManifest(registry.image([{ mediaType: DSSE, bytes, annotations: {} }]), `${TAG}.att`)
  return registry
}

function incident(): Revocation {
  const own = publicKeyOf(stolen.publicKey)
  return {
    name: 'incident',
    version: 'sha256:1',
    mode: 'enforce',
    modes: { fallback: 'enforce', byRing: new Map() },
    reason: 'the key is stolen',
    runbook: undefined,
    matches: () => true,
    denials: [{ kind: 'key', id: own.id, key: own, trustRoot: 'public-good', during: ALWAYS }],
    origin: 'incident.yaml:1',
  }
}

function gathering(registry: MemoryRegistry, revocations: readonly Revocation[]) {
  const { state } = openState()
  const deps: EvidenceDeps = {
    trust: createTrustSnapshot({ roots: [] }),
    upstreams: { client: () => registry.client },
    state,
    runner,
    metrics: createMetrics(),
    now: () => new Date(),
    elapsed: () => 0,
    workLimit: () => new AbortController().signal,
  }
  const image = { ...APP, digest: SUBJECT }
  const rules = { policies, revocations, image, manifestReasons: [], unmatched: 'enforce' } as const
  const isEnough = (evidence: Evidence): boolean =>
    isSatisfied(decide({ ...rules, ...evidence, now: new Date() }))
  const manifest = {
    digest: SUBJECT,
    bytes: IMAGE,
    contentType: '',
    parsed: { ok: false, message: 'is of no account here' },
  } as const
  return async () =>
    isEnough(await gatherEvidence({ repository: APP, manifest, timings: {} }, { ...rules, isEnough }, deps))
}

test('what could not be had for a moment is asked for again, as it may be of somebody who is revoked', async () => {
  const registry = published()
  const gather = gathering(registry, [incident()])
  registry.broken.set(`${TAG}.att`, 'unavailable')
  assert.equal(await gather(), true)
  registry.broken.clear()
  assert.equal(await gather(), false)
})

test('where nobody is revoked, what is enough is kept, whatever else could not be had', async () => {
  const registry = published()
  const gather = gathering(registry, [])
  registry.broken.set(`${TAG}.att`, 'unavailable')
  assert.equal(await gather(), true)
  registry.asked.length = 0
  assert.equal(await gather(), true)
  assert.deepEqual(registry.asked, [])
})
