import assert from 'node:assert/strict'
import { constants, generateKeyPairSync, sign } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, beforeEach, suite, test } from 'node:test'
import { Agent } from 'undici'
import { DSSE, MemoryRegistry, SIMPLE_SIGNING } from './discover/testing/memory-registry.ts'
import { gatherEvidence, type EvidenceDeps } from './evidence.ts'
import { digestParts } from './oci/digest.ts'
import { parseRepository } from './oci/reference.ts'
import { decide } from './policy/decide.ts'
import type { Policy, Verdict } from './policy/types.ts'
import { createMetrics } from './record/metrics.ts'
import { answerRekor } from './routes/rekor.ts'
import { openDatabase } from './store/database.ts'
import { createStateStore } from './store/state.ts'
import { startRekorServer, type RekorServer } from './testing/rekor-server.ts'
import { createSigstore, type Sigstore } from './testing/sigstore.ts'
import {
  mintUnlogged,
  policyFor,
  UNLOGGED_KINDS,
  type UnloggedFixture,
  type UnloggedKind,
} from './testing/unlogged.ts'
import { simpleSigningPayload } from './testing/statements.ts'
import { IMAGE, publicKeyOf, SUBJECT } from './testing/verification.ts'
import { createRekorClient } from './trust/rekor/client.ts'
import { LogLookUp } from './trust/rekor/look-up.ts'
import { createLogSend } from './trust/rekor/send.ts'
import { createTrustSnapshot } from './trust/snapshot.ts'
import { createVerificationRunner } from './work/runner.ts'

const REPOSITORY = parseRepository('r.test', 'app') ?? assert.fail()
const manifest = {
  digest: SUBJECT,
  bytes: IMAGE,
  contentType: 'application/vnd.oci.image.manifest.v1+json',
  parsed: { ok: false, message: 'is of no account here' },
} as const

/** What these policies judge the image by, beside its evidence. */
function rules(policies: readonly Policy[]) {
  const image = { ...REPOSITORY, digest: SUBJECT }
  const none = { revocations: [], manifestReasons: [] }
  return { ...none, policies, image, unmatched: 'enforce', now: new Date() } as const
}

suite('evidence without its log entry', () => {
  const agent = new Agent()
  const runner = createVerificationRunner()
  const metrics = createMetrics()
  let directory: string
  let sigstore: Sigstore
  let log: RekorServer
  let minted: UnloggedFixture
  let registry: MemoryRegistry

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'portcullis-evidence-'))
    sigstore = await createSigstore()
    minted = await mintUnlogged(sigstore)
    log = await startRekorServer(sigstore)
  })
  beforeEach(() => {
    registry = new MemoryRegistry()
    log.behave(undefined)
  })
  after(async () => {
    await Promise.all([log.stop(), runner.close(), agent.close()])
    await rm(directory, { recursive: true })
  })

  function publish(kinds: readonly UnloggedKind[]): void {
    for (const [suffix, mediaType, form] of [
      ['.sig', SIMPLE_SIGNING, 'simple-signing'],
      ['.att', DSSE, 'dsse'],
    ] as const) {
      const layers = kinds.flatMap((kind) => {
        const candidate = minted.candidates[kind]
        if (candidate.form !== form) return []
        return [{ mediaType, bytes: candidate.bytes, annotations: candidate.annotations }]
      })
      if (layers.length > 0)
        registry.putManifest(registry.image(layers), `sha256-${digestParts(SUBJECT).hex}${suffix}`)
    }
  }

  /** A process with its own memory; `file` is what the next one has of it. */
  function start(file: string, withLog = true) {
    const database = openDatabase(join(directory, file))
    const onError = (error: Error) => assert.fail(error)
    const state = createStateStore(database, { now: () => new Date(), onError })
    const send = createLogSend(agent, 'test')
    const logs = new Map([['test', createRekorClient({ url: log.url, send, timeoutMs: 250 })]])
    const lookUp = new LogLookUp({
      logs,
      kept: (name, leafHash) => state.getLogEntry(name, leafHash),
      elapsed: () => 0,
      limit: () => AbortSignal.timeout(5_000),
    })
    const deps: EvidenceDeps = {
      trust: createTrustSnapshot({ roots: [minted.root] }),
      upstreams: { client: () => registry.client },
      state,
      ...(withLog ? { lookUp } : {}),
      runner,
      metrics,
      now: () => new Date(),
      elapsed: () => 0,
      workLimit: () => new AbortController().signal,
    }
    const judge = async (kind: UnloggedKind): Promise<Verdict['kind'] | undefined> => {
      const policies = [policyFor(kind, minted)]
      const verdict = (evidence: Awaited<ReturnType<typeof gatherEvidence>>) =>
        decide({ ...rules(policies), ...evidence }).results[0]?.verdict.kind
      const isEnough = (evidence: Awaited<ReturnType<typeof gatherEvidence>>) =>
        verdict(evidence) === 'satisfied'
      const subject = { repository: REPOSITORY, manifest, timings: {} }
      return verdict(await gatherEvidence(subject, { ...rules(policies), isEnough }, deps))
    }
    return { deps, judge, state, stop: () => state.close() }
  }

  for (const kind of UNLOGGED_KINDS) {
    test(`${kind}: looked up once; after a restart neither log nor registry is needed`, async () => {
      publish([kind])
      const file = `${kind}.db`
      const first = start(file)
      assert.equal(await first.judge(kind), 'satisfied')
      first.stop()
      log.behave('refused')
      registry = new MemoryRegistry()
      const [asked, second] = [log.requests.length, start(file)]
      assert.equal(await second.judge(kind), 'satisfied')
      assert.deepEqual([log.requests.length, registry.asked], [asked, []])
      second.stop()
      const third = start(file, false)
      assert.equal(await third.judge(kind), 'satisfied', 'a proxy that has no log to ask verifies it too')
      third.stop()
    })
  }

  test('the log is away: undetermined; it is back: satisfied', async () => {
    const kind = 'keyless simple signing'
    publish([kind])
    const process = start('outage.db')
    log.behave('500')
    assert.equal(await process.judge(kind), 'undetermined')
    log.behave(undefined)
    assert.equal(await process.judge(kind), 'satisfied')
    process.stop()
  })

  test('the registry is away, and the evidence of before lacks an entry: the log alone completes it', async () => {
    const kind = 'key simple signing'
    publish([kind])
    const process = start('stored.db')
    log.behave('hang')
    assert.equal(await process.judge(kind), 'undetermined')
    log.behave(undefined)
    for (const tag of registry.manifests.keys()) registry.broken.set(tag, 'unavailable')
    assert.equal(await process.judge(kind), 'satisfied')
    process.stop()
  })

  test('no log to ask: violated, and nothing is asked', async () => {
    publish(UNLOGGED_KINDS)
    const process = start('none.db', false)
    const asked = log.requests.length
    for (const kind of UNLOGGED_KINDS) assert.equal(await process.judge(kind), 'violated', kind)
    assert.equal(log.requests.length, asked)
    process.stop()
  })

  test('an entry stays with its signature when others are found beside it', async () => {
    publish(['keyless simple signing'])
    const process = start('beside.db')
    assert.equal(await process.judge('keyless simple signing'), 'satisfied')
    publish(['keyless simple signing', 'keyless attestation'])
    assert.equal(await process.judge('keyless attestation'), 'satisfied')
    log.behave('refused')
    const asked = log.requests.length
    for (const kind of ['keyless simple signing', 'keyless attestation'] as const)
      assert.equal(await process.judge(kind), 'satisfied')
    assert.equal(log.requests.length, asked)
    const stored = process.state.getEvidence(REPOSITORY, SUBJECT)?.discovery.candidates ?? []
    assert.deepEqual(
      stored.map(({ logEntries }) => logEntries?.length),
      [1, 1],
    )
    process.stop()
  })

  test('the entry is re-served, and serves another repository, with the log gone', async () => {
    const kind = 'key attestation'
    publish([kind])
    const process = start('again.db')
    assert.equal(await process.judge(kind), 'satisfied')
    log.behave('refused')
    const entry = [...sigstore.logs.v1.entries.values()][1] ?? assert.fail()
    const target = `/rekor/test/api/v1/log/entries?logIndex=${entry.logIndex}`
    assert.equal(answerRekor({ method: 'GET', target }, process.state).status, 200)
    process.state.setEvidence(REPOSITORY, SUBJECT, { candidates: [], rejected: [], failures: [] }, new Date())
    assert.equal(await process.judge(kind), 'satisfied')
    process.stop()
  })

  test('one key under two schemes: each policy counts what its own accepts, whoever else is asked', async () => {
    const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
    const pss = { key: privateKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }
    const payload = simpleSigningPayload('r.test/app', SUBJECT)
    const signature = sign('sha256', payload, pss).toString('base64')
    const annotations = { 'dev.cosignproject.cosign/signature': signature }
    registry.putManifest(
      registry.image([{ mediaType: SIMPLE_SIGNING, bytes: payload, annotations }]),
      `sha256-${digestParts(SUBJECT).hex}.sig`,
    )
    const policyBy = (name: string, options: Parameters<typeof publicKeyOf>[1]): Policy => {
      const template = policyFor('key simple signing', { ...minted, key: publicKeyOf(publicKey, options) })
      const authorities = template.authorities.map((authority) =>
        authority.signer.kind === 'keyless'
          ? authority
          : { ...authority, signer: { ...authority.signer, transparencyLog: 'optional' as const } },
      )
      return { ...template, name, authorities }
    }
    const [byDefault, byPss] = [policyBy('default', {}), policyBy('pss', { padding: 'pss' })]
    const process = start('schemes.db', false)
    for (const policies of [[byDefault], [byPss], [byDefault, byPss], [byPss, byDefault]]) {
      const subject = { repository: REPOSITORY, manifest, timings: {} }
      const evidence = await gatherEvidence(
        subject,
        { ...rules(policies), isEnough: () => false },
        process.deps,
      )
      const { results } = decide({ ...rules(policies), ...evidence })
      for (const { policy, verdict } of results)
        assert.equal(verdict.kind, policy === 'pss' ? 'satisfied' : 'violated')
    }
    process.stop()
  })
})
