import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { after, before, suite, test } from 'node:test'
import { bundleToJSON } from '@sigstore/bundle'
import { readReferrerList } from '../discover/referrer-list.ts'
import { digestOf } from '../oci/digest.ts'
import { ManifestError } from '../oci/manifest-error.ts'
import { MEDIA_TYPE } from '../oci/manifest-types.ts'
import { mergeReferrers } from '../oci/referrers.ts'
import { bundleJson, cosignLayer } from '../testing/cosign-layer.ts'
import { createCorporation, withChain } from '../testing/pki-evidence.ts'
import { createPkiSigner } from '../testing/pki.ts'
import { entryJson } from '../testing/rekor-routes.ts'
import { createSigstore, managedSigner, type Bundle, type Sigstore } from '../testing/sigstore.ts'
import { statement } from '../testing/statements.ts'
import { withoutEntry } from '../testing/unlogged.ts'
import { layerCandidate, publicKeyOf } from '../testing/verification.ts'
import { parseTrustRoot } from '../trust/trust-root.ts'
import type { Candidate } from '../verify/types.ts'
import { candidateKey } from '../verify/unlogged.ts'
import type { SubjectInput } from '../verify/verify.ts'
import { createVerificationRunner, type VerificationRunner } from './runner.ts'
import { WorkError } from './work-error.ts'

const SUBJECT = digestOf(Buffer.from('the image'))
const HEX = SUBJECT.slice('sha256:'.length)
const IDENTITY = {
  subject: 'https://github.com/o/r/.github/workflows/w.yml@refs/heads/main',
  issuer: 'https://i.test',
}
const LARGE = 'x'.repeat(300 * 1024)
const never = new AbortController().signal

function candidate(bytes: Buffer): Candidate {
  const blob = digestOf(bytes)
  return { form: 'bundle', source: { found: 'referrer', manifest: blob, blob }, bytes }
}

function withTimestampCopies(bundle: Bundle, token: Buffer, count: number): Buffer {
  const json: unknown = bundleToJSON(bundle)
  const copies = Array.from({ length: count }, () => ({ signedTimestamp: token.toString('base64') }))
  const text = JSON.stringify(json)
  return Buffer.from(
    text.replace(/"rfc3161Timestamps":\[[^\]]*\]/, `"rfc3161Timestamps":${JSON.stringify(copies)}`),
  )
}

suite('verification runner', () => {
  let sigstore: Sigstore
  let input: SubjectInput
  let runner: VerificationRunner
  let small: Candidate
  let large: Candidate

  before(async () => {
    sigstore = await createSigstore()
    input = { subject: SUBJECT, roots: [parseTrustRoot('test', sigstore.trustedRootJson())], keys: [] }
    runner = createVerificationRunner()
    const signer = sigstore.keyless(IDENTITY)
    small = candidate(bundleJson(await sigstore.dsse(statement('a', HEX, 'https://t.test/v1', {}), signer)))
    large = candidate(
      bundleJson(await sigstore.dsse(statement('a', HEX, 'https://t.test/v1', LARGE), signer)),
    )
  })
  after(() => runner.close())

  test('a small and a large candidate verify to the same', async () => {
    const outcome = await runner.verify([small, large], input, never)
    assert.deepEqual(outcome.failures, [])
    assert.deepEqual(outcome.unfinished, [])
    assert.equal(outcome.verified.length, 2)
    const [one, two] = outcome.verified
    assert.deepEqual(
      { ...one, source: 0, logs: 0, times: 0 },
      { ...two, source: 0, logs: 0, times: 0, claim: one?.claim },
    )
    assert.ok(two?.times[0]?.time instanceof Date)
  })

  test('a large candidate is held against keys, with their schemes, in the thread too', async () => {
    const pair = generateKeyPairSync('rsa', { modulusLength: 3072 })
    const { sign, constants } = await import('node:crypto')
    const signer = managedSigner(pair, (data) =>
      sign('sha384', data, {
        key: pair.privateKey,
        padding: constants.RSA_PKCS1_PSS_PADDING,
        saltLength: 48,
      }),
    )
    const bundle = bundleJson(
      await sigstore.dsse(statement('a', HEX, 'https://t.test/v1', LARGE), signer, { log: 0 }),
    )
    const key = publicKeyOf(pair.publicKey, { hashAlgorithm: 'sha384', padding: 'pss' })
    const outcome = await runner.verify([candidate(bundle)], { ...input, keys: [key] }, never)
    assert.deepEqual(outcome.verified[0]?.signer, { kind: 'key', key: key.id, scheme: key.scheme })
    const wrong = await runner.verify(
      [candidate(bundle)],
      { ...input, keys: [publicKeyOf(pair.publicKey)] },
      never,
    )
    assert.equal(wrong.failures[0]?.code, 'key')
  })

  test('a large candidate by a certificate of a PKI: its root is made again in the thread', async () => {
    const corp = await createCorporation()
    const signer = createPkiSigner(corp.issuing)
    const bundle = await corp.sigstore.dsse(statement('a', HEX, 'https://t.test/v1', LARGE), signer)
    const supplied = withChain(bundle, signer, [corp.issuing.certificate])
    const pki = { ...corp.pki([corp.root]), isRetiring: true }
    const { verified, failures } = await runner.verify([supplied], { ...input, roots: [pki] }, never)
    assert.deepEqual(failures, [])
    const [by, ...others] = verified.map((one) => one.signer)
    assert.ok(by?.kind === 'keyless' && others.length === 0)
    assert.deepEqual(
      [by.trustRoot, by.identity.issuer, by.byRetiringRoot],
      ['corp', 'CN=Issuing,O=Acme', true],
    )
    const asSigstores = await runner.verify([supplied], { ...input, roots: [corp.times] }, never)
    assert.deepEqual(asSigstores.verified, [])
  })

  test('a large candidate without its log entry: what to ask, and the answer, cross to the thread too', async () => {
    const signer = sigstore.keyless(IDENTITY)
    const payload = statement('a', HEX, 'https://t.test/v1', LARGE)
    const layer = cosignLayer(await sigstore.dsse(payload, signer), Buffer.alloc(0))
    const unlogged = layerCandidate(withoutEntry(layer))
    const asking = { ...input, logsToAsk: ['test'] }
    const { verified, failures, unlogged: questions = [] } = await runner.verify([unlogged], asking, never)
    assert.deepEqual([verified, failures.map(({ code }) => code)], [[], ['log-entry']])
    assert.deepEqual(
      questions.map(({ candidate: key, trustRoot, claim: { kind } }) => [key, trustRoot, kind]),
      [[candidateKey(unlogged), 'test', 'attestation']],
    )
    const entry = [...sigstore.logs.v1.entries.values()].at(-1) ?? assert.fail()
    const logEntries = [JSON.stringify(entryJson(entry))]
    const completed = await runner.verify([{ ...unlogged, logEntries }], asking, never)
    assert.equal(completed.verified[0]?.logs.length, 1)
    assert.deepEqual(completed.unlogged, [])
  })

  test('a thousand copies of a timestamp, garbage and a deep nest fail; the good one beside them verifies', async () => {
    const bundle = await sigstore.dsse(
      statement('a', HEX, 'https://t.test/v1', {}),
      sigstore.keyless(IDENTITY),
      {
        timestamp: true,
      },
    )
    const token = await sigstore.stamp(Buffer.from('x'))
    const hostile = [
      withTimestampCopies(bundle, token, 1000),
      Buffer.alloc(8 * 1024 * 1024, 0x5b),
      Buffer.from(`${'['.repeat(90_000)}${']'.repeat(90_000)}`),
      Buffer.from(`[${'{},'.repeat(5_000_000)}{}]`),
    ].map(candidate)
    const outcome = await runner.verify([...hostile, small], input, never)
    assert.deepEqual(
      outcome.failures.map(({ code }) => code),
      ['malformed', 'malformed', 'unsupported', 'malformed'],
    )
    assert.equal(outcome.verified.length, 1)
  })

  test('an aborted verification rejects and verifies nothing', async () => {
    const cause = new Error('deadline')
    await assert.rejects(runner.verify([small], input, AbortSignal.abort(cause)), { code: 'aborted', cause })
  })

  test('a thread that takes too long is no failure of the evidence', async () => {
    const hasty = createVerificationRunner({ taskTimeoutMs: 1 })
    try {
      await assert.rejects(hasty.verify([large], input, never), { name: 'WorkError', code: 'timeout' })
      const outcome = await hasty.verify([large, small], input, never)
      assert.equal(outcome.verified.length, 1)
      assert.deepEqual(
        outcome.unfinished.map(({ code }) => code),
        ['timeout'],
      )
    } finally {
      await hasty.close()
    }
  })

  test('a thread that fails is no failure of the evidence', async () => {
    const roots = input.roots.map((root) => ({ ...root, version: 'sha256:0', json: '{}' }))
    await assert.rejects(runner.verify([large], { ...input, roots }, never), {
      name: 'WorkError',
      code: 'crashed',
    })
    assert.equal((await runner.verify([large], input, never)).verified.length, 1)
  })

  test('a queue that is full is no failure of the evidence', async () => {
    const busy = createVerificationRunner({ queueMax: 0 })
    try {
      const outcomes = await Promise.allSettled(
        Array.from({ length: 4 }, () => busy.verify([large], input, never)),
      )
      const rejected = outcomes.flatMap((outcome) =>
        outcome.status === 'rejected' ? [outcome.reason as unknown] : [],
      )
      assert.ok(rejected.length > 0)
      assert.ok(rejected.every((reason) => reason instanceof WorkError && reason.code === 'overloaded'))
    } finally {
      await busy.close()
    }
  })

  test('closing ends what waits', async () => {
    const closing = createVerificationRunner()
    const waiting = closing.verify([large], input, never)
    await Promise.all([assert.rejects(waiting, { code: 'closed' }), closing.close()])
  })

  const descriptor = (size: number) => ({
    mediaType: 'application/vnd.oci.image.layer.v1.tar',
    digest: SUBJECT,
    size,
  })
  const manifestBytes = (padding: number, layers: readonly object[]) =>
    Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: MEDIA_TYPE.ociManifest,
        config: { ...descriptor(2), mediaType: 'application/vnd.oci.image.config.v1+json' },
        layers,
        annotations: { padding: 'x'.repeat(padding) },
      }),
    )

  for (const [name, padding] of [
    ['small', 0],
    ['large', 40 * 1024],
  ] as const) {
    test(`a ${name} manifest is parsed`, async () => {
      const manifest = await runner.parseManifest(
        manifestBytes(padding, [descriptor(1)]),
        MEDIA_TYPE.ociManifest,
        never,
      )
      assert.equal(manifest.kind === 'image' ? manifest.layers.length : -1, 1)
    })
    test(`a bad ${name} manifest rejects with ManifestError and its code`, async () => {
      await assert.rejects(
        runner.parseManifest(manifestBytes(padding, [descriptor(-1)]), MEDIA_TYPE.ociManifest, never),
        (error) => error instanceof ManifestError && error.code === 'field',
      )
    })
  }

  for (const [name, padding] of [
    ['small', 0],
    ['large', 40 * 1024],
  ] as const) {
    const annotations = { padding: 'x'.repeat(padding) }
    const entry = { ...descriptor(1), mediaType: MEDIA_TYPE.ociManifest, annotations }
    const list = Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: [entry, null] }))

    test(`a ${name} list of referrers is read`, async () => {
      assert.deepEqual(await runner.readReferrers(list, never), readReferrerList(list))
    })
    test(`${name} lists of referrers are merged`, async () => {
      assert.deepEqual(
        await runner.mergeReferrers([list, list], undefined, never),
        mergeReferrers([list], undefined),
      )
      const bad = Buffer.from(`{${' '.repeat(padding)}`)
      await assert.rejects(runner.mergeReferrers([list, bad], undefined, never), {
        name: 'ManifestError',
        code: 'json',
      })
    })
    test(`a ${name} blob is looked at`, async () => {
      assert.equal(await runner.isEvidenceBlob(list, never), true)
      assert.equal(await runner.isEvidenceBlob(list.subarray(1), never), false)
    })
  }

  test('a blob that is too large to parse is looked at all the same', async () => {
    const bytes = Buffer.from(`{"a":"${'x'.repeat(2 * 1024 * 1024)}"}`)
    assert.equal(await runner.isEvidenceBlob(bytes, never), true)
    bytes.write('\x01', bytes.length - 9)
    assert.equal(await runner.isEvidenceBlob(bytes, never), false)
  })

  test('a signature with a large annotation goes to the thread', async () => {
    const hasty = createVerificationRunner({ taskTimeoutMs: 1 })
    const annotations = { 'dev.sigstore.cosign/bundle': 'x'.repeat(100_000) }
    const { source } = small
    const heavy: Candidate = { form: 'simple-signing', source, bytes: Buffer.from('{}'), annotations }
    try {
      await assert.rejects(hasty.verify([heavy], input, never), { name: 'WorkError', code: 'timeout' })
    } finally {
      await hasty.close()
    }
  })
})
