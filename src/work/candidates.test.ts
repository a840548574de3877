import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { before, suite, test } from 'node:test'
import { digestOf } from '../oci/digest.ts'
import { bundleJson, cosignLayer } from '../testing/cosign-layer.ts'
import { createSigstore, managedSigner, type Sigstore } from '../testing/sigstore.ts'
import { simpleSigningPayload, statement } from '../testing/statements.ts'
import { layerCandidate, publicKeyOf } from '../testing/verification.ts'
import { parseTrustRoot } from '../trust/trust-root.ts'
import type { Candidate } from '../verify/types.ts'
import { verifyCandidate, type SubjectInput } from '../verify/verify.ts'
import { createCandidateVerifier } from './candidates.ts'
import type { Pool, PoolOptions } from './pool.ts'
import { createVerifyTasks, type Jobs } from './task.ts'
import { verify, verifyLight } from './worker.ts'

const SUBJECT = digestOf(Buffer.from('the image'))
const OPTIONS: PoolOptions = { threadsMax: 1, queueMax: 8, taskTimeoutMs: 1000, threadMemoryMib: 64 }
const never = new AbortController().signal

/** Pools whose thread is this one; what is run in them is written down. */
function pools({ isReady = true } = {}) {
  const world = { isReady, woken: 0, ran: [] as (keyof Jobs)[] }
  const makePool = (): Pool => ({
    async run(name, task) {
      world.ran.push(name)
      const job: unknown = { verify, verifyLight }[String(name)]
      return await Promise.resolve(typeof job === 'function' ? job(structuredClone(task)) : assert.fail(name))
    },
    isReady: () => world.isReady,
    wake: () => void world.woken++,
    close: () => Promise.resolve(),
  })
  return { world, verifier: createCandidateVerifier(OPTIONS, makePool) }
}

suite('where candidates are verified', () => {
  const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  let sigstore: Sigstore
  let input: SubjectInput
  let keyless: Candidate
  let bare: Candidate
  let logged: Candidate

  before(async () => {
    sigstore = await createSigstore()
    const key = publicKeyOf(pair.publicKey)
    const roots = [parseTrustRoot('test', sigstore.trustedRootJson())]
    input = { subject: SUBJECT, roots, keys: [key], artifact: Buffer.from('the image') }
    keyless = await bundle({})
    const payload = simpleSigningPayload('r.test/app', SUBJECT)
    const signed = async (log: 0 | 1) =>
      layerCandidate(cosignLayer(await sigstore.message(payload, managedSigner(pair), { log }), payload))
    ;[bare, logged] = [await signed(0), await signed(1)]
  })

  async function bundle(predicate: unknown): Promise<Candidate> {
    const signer = sigstore.keyless({ subject: 'https://s.test/w', issuer: 'https://i.test' })
    const hex = SUBJECT.slice('sha256:'.length)
    const bytes = bundleJson(await sigstore.dsse(statement('a', hex, 'https://t.test/v1', predicate), signer))
    return { form: 'bundle', source: { found: 'referrer', manifest: SUBJECT, blob: digestOf(bytes) }, bytes }
  }

  async function verifyOne(
    verifier: ReturnType<typeof pools>['verifier'],
    candidate: Candidate,
    asked = input,
  ) {
    const [result] = await verifier.verifyAll([candidate], asked, never)
    return result?.status === 'fulfilled' ? result.value : assert.fail()
  }

  test('in a thread or here, to the same result', async () => {
    for (const [candidate, ran] of [
      [keyless, ['verifyLight']],
      [logged, ['verifyLight']],
      [bare, []],
      [await bundle('x'.repeat(100_000)), ['verify']],
    ] as const) {
      const { world, verifier } = pools()
      const here = verifyCandidate(candidate, input)
      assert.equal(here.verified.length, 1)
      assert.deepEqual(await verifyOne(verifier, candidate), here)
      assert.deepEqual(world.ran, ran)
    }
  })

  test('what is trusted now counts, whatever the thread has read before', async () => {
    const { verifier } = pools()
    assert.equal((await verifyOne(verifier, keyless)).verified.length, 1)
    const others = await createSigstore()
    const other = { ...input, roots: [parseTrustRoot('test', others.trustedRootJson())] }
    assert.deepEqual((await verifyOne(verifier, keyless, other)).verified, [])
    const retiring = { ...input, roots: input.roots.map((root) => ({ ...root, isRetiring: true })) }
    const [by] = (await verifyOne(verifier, keyless, retiring)).verified
    assert.ok(by?.signer.kind === 'keyless' && by.signer.byRetiringRoot)
    const stranger = publicKeyOf(generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey)
    assert.equal((await verifyOne(verifier, logged)).verified.length, 1)
    assert.deepEqual((await verifyOne(verifier, logged, { ...input, keys: [stranger] })).verified, [])
  })

  test('one that turns out to be heavy does not hold up the light ones', async () => {
    const { world, verifier } = pools()
    const roots = Array.from({ length: 8 }, () => input.roots).flat()
    assert.equal((await verifyOne(verifier, keyless, { ...input, roots })).verified.length, 8)
    assert.deepEqual(world.ran, ['verifyLight', 'verify'])
  })

  test('the first few are verified here; then a thread is started for those that come', async () => {
    const { world, verifier } = pools({ isReady: false })
    for (let n = 0; n < 9; n++) {
      assert.equal(world.woken, 0)
      assert.equal((await verifyOne(verifier, keyless)).verified.length, 1)
    }
    assert.ok(world.woken > 0)
    assert.deepEqual(world.ran, [])
    world.isReady = true
    await verifyOne(verifier, keyless)
    assert.deepEqual(world.ran, ['verifyLight'])
  })

  test('each settles for itself, in the order of the candidates', async () => {
    const { verifier } = pools()
    const bad = { ...keyless, bytes: Buffer.from('{}') }
    const results = await verifier.verifyAll([bad, keyless, bare, bad, logged, keyless], input, never)
    assert.deepEqual(
      results.map((result) => (result.status === 'fulfilled' ? result.value.verified.length : -1)),
      [0, 1, 1, 0, 1, 1],
    )
  })

  test('of a trust root only its version crosses more than once: its text is shared memory', () => {
    const toVerifyTask = createVerifyTasks()
    const [one, two] = [keyless, logged].map((candidate) => toVerifyTask(candidate, input))
    assert.ok(one?.roots[0]?.json instanceof SharedArrayBuffer)
    assert.equal(one.roots[0].json, two?.roots[0]?.json)
    assert.equal(one.keys[0]?.spki, two?.keys[0]?.spki)
  })

  test('no more of memory crosses than the candidate has of it', () => {
    const neighbours = Buffer.concat([Buffer.from('secret'), keyless.bytes])
    const view = { ...keyless, bytes: neighbours.subarray('secret'.length) }
    const { bytes } = createVerifyTasks()(view, input)
    assert.equal(bytes.buffer.byteLength, keyless.bytes.length)
  })
})
