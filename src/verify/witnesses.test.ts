import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { before, suite, test } from 'node:test'
import {
  createSigstore,
  managedSigner,
  type MintOptions,
  type Sigstore,
  type TrustedRootJson,
} from '../testing/sigstore.ts'
import {
  assertAccepted,
  assertRefused,
  bundleCandidate,
  editedCandidate,
  IDENTITY,
  publicKeyOf,
  signOnce,
  STATEMENT,
  SUBJECT,
  trustRootOf,
} from '../testing/verification.ts'
import type { Candidate, CandidateResult, TrustRoot } from './types.ts'
import { verifyCandidate } from './verify.ts'

type LogInstance = TrustedRootJson['tlogs'][number]

const PAIR = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
const KEY = publicKeyOf(PAIR.publicKey)

let sigstore: Sigstore

before(async () => {
  sigstore = await createSigstore()
})

function verify(
  candidate: Candidate,
  root: TrustRoot = trustRootOf(sigstore.trustedRoot()),
): CandidateResult {
  return verifyCandidate(candidate, { subject: SUBJECT, roots: [root], keys: [] })
}

async function minted(mint: MintOptions = {}): Promise<Candidate> {
  return bundleCandidate(await sigstore.dsse(STATEMENT, sigstore.keyless(IDENTITY), mint))
}

suite('which logs and authorities', () => {
  const retired = '2020-01-01T00:00:00Z'
  function withLogs(edit: (log: LogInstance, index: number) => LogInstance): TrustRoot {
    const json = sigstore.trustedRoot()
    return trustRootOf({ ...json, tlogs: json.tlogs.map(edit) })
  }
  const retire = (log: LogInstance): LogInstance => ({
    ...log,
    publicKey: { ...log.publicKey, validFor: { start: '2019-01-01T00:00:00Z', end: retired } },
  })

  test('retired Rekor v2 key, proof only: refused', async () => {
    assertRefused(verify(await minted({ log: 2 }), withLogs(retire)), 'log-entry', /log key was not valid/)
  })
  test('retired Rekor v1 key, promise: refused', async () => {
    assertRefused(verify(await minted(), withLogs(retire)), 'log-entry', /promise could not be verified/)
  })
  test('retired Rekor v1 key, proof only with a timestamp: refused', async () => {
    const candidate = await minted({ promise: false, timestamp: true })
    assertRefused(verify(candidate, withLogs(retire)), 'log-entry', /log key was not valid/)
    assertAccepted(verify(candidate))
  })
  test('managed key in a retired log, without any time: refused', async () => {
    const bundle = await sigstore.dsse(STATEMENT, managedSigner(PAIR), { log: 2, timestamp: false })
    const attempt = (root: TrustRoot): CandidateResult =>
      verifyCandidate(bundleCandidate(bundle), { subject: SUBJECT, roots: [root], keys: [KEY] })
    assertRefused(attempt(withLogs(retire)), 'log-entry', /log key was not valid/)
    assertAccepted(attempt(trustRootOf(sigstore.trustedRoot())))
  })

  test('an extra timestamp of an unknown authority is dropped', async () => {
    const other = await createSigstore({ base: 'other.test' })
    const bundle = await sigstore.dsse(STATEMENT, sigstore.keyless(IDENTITY), { timestamp: true })
    const token = await other.stamp(Buffer.from('x'))
    const candidate = editedCandidate(bundle, (json) => {
      json.verificationMaterial.timestampVerificationData?.rfc3161Timestamps.push({
        signedTimestamp: token.toString('base64'),
      })
    })
    const result = verify(candidate)
    assertAccepted(result)
    assert.deepEqual(
      result.verified[0]?.times.map(({ source }) => source),
      ['log', 'timestamp-authority'],
    )
  })
  test('an extra timestamp of a known authority over something else: refused', async () => {
    const token = await sigstore.stamp(Buffer.from('x'))
    const bundle = await sigstore.dsse(STATEMENT, sigstore.keyless(IDENTITY))
    const candidate = editedCandidate(bundle, (json) => {
      json.verificationMaterial.timestampVerificationData = {
        rfc3161Timestamps: [{ signedTimestamp: token.toString('base64') }],
      }
    })
    assertRefused(verify(candidate), 'timestamp', /could not be verified/)
  })
  test('an extra entry of an unknown log is dropped', async () => {
    const other = await createSigstore({ base: 'other.test' })
    const [foreign] = (await other.dsse(STATEMENT, other.keyless(IDENTITY))).verificationMaterial.tlogEntries
    const bundle = await sigstore.dsse(STATEMENT, sigstore.keyless(IDENTITY))
    assert.ok(foreign !== undefined)
    bundle.verificationMaterial.tlogEntries.push(foreign)
    const result = verify(bundleCandidate(bundle))
    assertAccepted(result)
    assert.equal(result.verified[0]?.logs.length, 1)
  })
  test('everything from another instance: refused, and says so', async () => {
    const other = await createSigstore({ base: 'other.test' })
    const bundle = await other.dsse(STATEMENT, other.keyless(IDENTITY), { timestamp: true })
    assertRefused(verify(bundleCandidate(bundle)), 'log-entry', /no entry of a transparency log/)
  })

  test('two roots: the one that knows the signer is named', async () => {
    const other = await createSigstore({ base: 'other.test' })
    const roots = [trustRootOf(other.trustedRoot()), { ...trustRootOf(sigstore.trustedRoot()), name: 'ours' }]
    const result = verifyCandidate(await minted(), { subject: SUBJECT, roots, keys: [] })
    assertAccepted(result)
    assert.ok(result.verified[0]?.signer.kind === 'keyless' && result.verified[0].signer.trustRoot === 'ours')
  })
  test('no root at all: refused', async () => {
    assertRefused(
      verifyCandidate(await minted(), { subject: SUBJECT, roots: [], keys: [] }),
      'certificate',
      /no trust root/,
    )
  })

  test('two entries of one log are one log, entries of two logs are two', async () => {
    const signer = signOnce(sigstore.keyless(IDENTITY))
    const bundle = await sigstore.dsse(STATEMENT, signer, { timestamp: true })
    const add = async (mint: MintOptions): Promise<readonly string[]> => {
      const more = await sigstore.dsse(STATEMENT, signer, mint)
      bundle.verificationMaterial.tlogEntries.push(...more.verificationMaterial.tlogEntries)
      return assertAccepted(verify(bundleCandidate(bundle))).logs.map(({ logId }) => logId)
    }
    // Within one second the two promises would have one time, which the library takes for a copy.
    const v1 = sigstore.logs.v1.logId.toString('hex')
    assert.deepEqual(await add({ intoto002: true, promise: false }), [v1])
    assert.deepEqual(await add({ log: 2 }), [v1, sigstore.logs.v2.logId.toString('hex')])
  })

  test('two timestamps of one authority are one authority', async () => {
    let now = new Date('2026-01-01T00:00:00Z')
    const clocked = await createSigstore({ now: () => now })
    const bundle = await clocked.dsse(STATEMENT, clocked.keyless(IDENTITY), { timestamp: true })
    now = new Date('2026-01-01T00:01:00Z')
    const { content, verificationMaterial } = bundle
    assert.ok(content.$case === 'dsseEnvelope')
    const signedTimestamp = await clocked.stamp(content.dsseEnvelope.signatures[0]!.sig)
    verificationMaterial.timestampVerificationData?.rfc3161Timestamps.push({ signedTimestamp })
    const { times } = assertAccepted(verify(bundleCandidate(bundle), trustRootOf(clocked.trustedRoot())))
    assert.deepEqual(
      times.map(({ source, time }) => [source, time.toISOString()]),
      [
        ['log', '2026-01-01T00:00:00.000Z'],
        ['timestamp-authority', '2026-01-01T00:00:00.000Z'],
      ],
    )
  })
})

suite('whose log witnessed a key', () => {
  const signer = signOnce(managedSigner(PAIR))
  let other: Sigstore
  before(async () => {
    other = await createSigstore({ base: 'other.test' })
  })
  const rootOf = (instance: Sigstore, name: string): TrustRoot => trustRootOf(instance.trustedRoot(), name)
  const logsOf = async (instances: readonly Sigstore[], roots: readonly TrustRoot[]): Promise<string[]> => {
    const bundles = await Promise.all(instances.map((instance) => instance.dsse(STATEMENT, signer)))
    const [bundle, ...more] = bundles
    assert.ok(bundle !== undefined)
    for (const { verificationMaterial } of more) {
      bundle.verificationMaterial.tlogEntries.push(...verificationMaterial.tlogEntries)
    }
    const result = verifyCandidate(bundleCandidate(bundle), { subject: SUBJECT, roots, keys: [KEY] })
    const { logs } = assertAccepted(result)
    const nameOf = new Map(
      [sigstore, other].map(({ base, logs: { v1 } }) => [v1.logId.toString('hex'), base]),
    )
    return logs.map(({ trustRoot, logId }) => `${nameOf.get(logId)} by ${trustRoot}`)
  }

  test('an entry counts for the root of its log, not for another', async () => {
    const roots = [rootOf(sigstore, 'a'), rootOf(other, 'b')]
    assert.deepEqual(await logsOf([sigstore], roots), ['sigstore.test by a'])
    assert.deepEqual(await logsOf([other], roots), ['other.test by b'])
    assert.deepEqual(await logsOf([other, sigstore], roots), ['sigstore.test by a', 'other.test by b'])
  })
  test('a log that two roots know counts for both', async () => {
    const roots = [rootOf(sigstore, 'a'), rootOf(sigstore, 'b')]
    assert.deepEqual(await logsOf([sigstore], roots), ['sigstore.test by a', 'sigstore.test by b'])
  })
  test('a log whose key only one of two roots takes for valid counts for that one', async () => {
    const json = sigstore.trustedRoot()
    const validFor = { start: '2019-01-01T00:00:00Z', end: '2020-01-01T00:00:00Z' }
    const tlogs = json.tlogs.map((log) => ({ ...log, publicKey: { ...log.publicKey, validFor } }))
    const roots = [trustRootOf({ ...json, tlogs }, 'a'), rootOf(sigstore, 'b')]
    assert.deepEqual(await logsOf([sigstore], roots), ['sigstore.test by b'])
  })
  test('a root with another key under the same log id vouches for nothing', async () => {
    const json = other.trustedRoot()
    const [log] = sigstore.trustedRoot().tlogs
    assert.ok(log !== undefined)
    const tlogs = json.tlogs.map((own) => ({ ...own, logId: log.logId }))
    const roots = [rootOf(sigstore, 'a'), trustRootOf({ ...json, tlogs }, 'b')]
    assert.deepEqual(await logsOf([sigstore], roots), ['sigstore.test by a'])
    await assert.rejects(logsOf([sigstore], roots.slice(1)), /promise could not be verified/)
  })
  test('an entry of a log that no root knows counts for nothing', async () => {
    assert.deepEqual(await logsOf([sigstore], [rootOf(other, 'b')]), [])
  })
})
