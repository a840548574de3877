import assert from 'node:assert/strict'
import { before, suite, test } from 'node:test'
import type { SerializedBundle } from '@sigstore/bundle'
import { createSigstore, type Sigstore } from '../testing/sigstore.ts'
import {
  assertAccepted,
  assertRefused,
  bundleCandidate,
  editedCandidate,
  IDENTITY,
  STATEMENT,
  SUBJECT,
  trustRootOf,
} from '../testing/verification.ts'
import type { Candidate, CandidateResult, FailureCode } from './types.ts'
import { verifyCandidate } from './verify.ts'

let sigstore: Sigstore

before(async () => {
  sigstore = await createSigstore()
})

function verify(candidate: Candidate): CandidateResult {
  return verifyCandidate(candidate, {
    subject: SUBJECT,
    roots: [trustRootOf(sigstore.trustedRoot())],
    keys: [],
  })
}

suite('shape', () => {
  const CASES: readonly (readonly [string, FailureCode, RegExp, (json: SerializedBundle) => void])[] = [
    [
      'unknown bundle version',
      'unsupported',
      /media type/,
      (json) => (json.mediaType = 'application/vnd.dev.sigstore.bundle.v9.9+json'),
    ],
    ['no bundle version', 'unsupported', /media type/, (json) => (json.mediaType = '')],
    [
      'negative log index',
      'malformed',
      /log index/,
      ({ verificationMaterial: { tlogEntries } }) => tlogEntries.forEach((entry) => (entry.logIndex = '-1')),
    ],
    [
      'very long log index',
      'malformed',
      /log index/,
      ({ verificationMaterial: { tlogEntries } }) =>
        tlogEntries.forEach((entry) => (entry.logIndex = '1'.repeat(1_000_000))),
    ],
    [
      'signature that is not base64',
      'malformed',
      /base64/,
      ({ dsseEnvelope }) =>
        dsseEnvelope?.signatures.forEach((signature) => (signature.sig = `!${signature.sig}`)),
    ],
    [
      'two signatures',
      'malformed',
      /invalid bundle|one signature/,
      ({ dsseEnvelope }) => dsseEnvelope?.signatures.push({ ...dsseEnvelope.signatures[0]! }),
    ],
    ['no signature', 'malformed', /./, ({ dsseEnvelope }) => dsseEnvelope?.signatures.splice(0)],
    [
      'no log entry',
      'log-entry',
      /no entry/,
      ({ verificationMaterial }) => verificationMaterial.tlogEntries.splice(0),
    ],
    [
      'duplicate log entry',
      'malformed',
      /duplicate log entry/,
      ({ verificationMaterial: { tlogEntries } }) => tlogEntries.push(tlogEntries[0]!),
    ],
    [
      '33 log entries',
      'malformed',
      /33 log entries/,
      ({ verificationMaterial: { tlogEntries } }) =>
        tlogEntries.push(...Array.from({ length: 32 }, () => tlogEntries[0]!)),
    ],
    [
      'duplicate timestamp',
      'malformed',
      /duplicate timestamp/,
      ({ verificationMaterial: { timestampVerificationData } }) =>
        timestampVerificationData?.rfc3161Timestamps.push(timestampVerificationData.rfc3161Timestamps[0]!),
    ],
    [
      '1000 timestamps',
      'malformed',
      /1001 timestamps/,
      ({ verificationMaterial: { timestampVerificationData } }) =>
        timestampVerificationData?.rfc3161Timestamps.push(
          ...Array.from({ length: 1000 }, () => timestampVerificationData.rfc3161Timestamps[0]!),
        ),
    ],
    [
      'timestamp of garbage',
      'malformed',
      /RFC 3161/,
      ({ verificationMaterial: { timestampVerificationData } }) =>
        timestampVerificationData?.rfc3161Timestamps.push({ signedTimestamp: 'AAAA' }),
    ],
    [
      '65 hashes in a proof',
      'malformed',
      /65 hashes/,
      ({ verificationMaterial: { tlogEntries } }) =>
        tlogEntries.forEach(
          ({ inclusionProof }) => (inclusionProof!.hashes = Array.from({ length: 65 }, () => 'AAAA')),
        ),
    ],
    [
      'proof without a checkpoint',
      'malformed',
      /invalid bundle/,
      ({ verificationMaterial: { tlogEntries } }) =>
        tlogEntries.forEach(({ inclusionProof }) => Reflect.deleteProperty(inclusionProof!, 'checkpoint')),
    ],
    [
      'certificate and public key',
      'malformed',
      /one of/,
      ({ verificationMaterial }) => Object.assign(verificationMaterial, { publicKey: { hint: '' } }),
    ],
    [
      'envelope and message',
      'malformed',
      /one of/,
      (json) => Object.assign(json, { messageSignature: { signature: 'AAAA' } }),
    ],
    [
      'certificate chain in v0.3',
      'malformed',
      /invalid bundle/,
      ({ verificationMaterial }) => {
        Object.assign(verificationMaterial, {
          x509CertificateChain: { certificates: [verificationMaterial.certificate] },
        })
        Reflect.deleteProperty(verificationMaterial, 'certificate')
      },
    ],
    [
      'oversized certificate',
      'malformed',
      /certificate of more than/,
      ({ verificationMaterial }) =>
        (verificationMaterial.certificate!.rawBytes = Buffer.alloc(9000).toString('base64')),
    ],
  ]
  for (const [name, code, message, edit] of CASES) {
    test(`${name}: refused`, async () => {
      const bundle = await sigstore.dsse(STATEMENT, sigstore.keyless(IDENTITY), { timestamp: true })
      assertAccepted(verify(bundleCandidate(bundle)))
      assertRefused(verify(editedCandidate(bundle, edit)), code, message)
    })
  }

  const V1 = 'application/vnd.dev.sigstore.bundle+json;version=0.1'
  test('v0.1, proof without a checkpoint beside a promise: accepted by the promise alone', async () => {
    const bundle = await sigstore.dsse(STATEMENT, sigstore.keyless(IDENTITY))
    const result = verify(
      editedCandidate(bundle, (json) => {
        json.mediaType = V1
        json.verificationMaterial.tlogEntries.forEach(({ inclusionProof }) =>
          Reflect.deleteProperty(inclusionProof!, 'checkpoint'),
        )
      }),
    )
    assertAccepted(result)
    assert.deepEqual(
      result.verified[0]?.logs.map(({ promise, inclusion }) => ({ promise, inclusion })),
      [{ promise: true, inclusion: false }],
    )
  })
  test('v0.1 with the root in the chain: refused', async () => {
    const bundle = await sigstore.dsse(STATEMENT, sigstore.keyless(IDENTITY))
    const chained = (extra: readonly Buffer[]): Candidate =>
      editedCandidate(bundle, (json) => {
        const leaf = json.verificationMaterial.certificate!
        const certificates = [leaf, ...extra.map((der) => ({ rawBytes: der.toString('base64') }))]
        json.mediaType = V1
        Object.assign(json.verificationMaterial, { x509CertificateChain: { certificates } })
        Reflect.deleteProperty(json.verificationMaterial, 'certificate')
      })
    const { chain } = sigstore.fulcio
    assertAccepted(verify(chained(chain.slice(0, 1))))
    assertRefused(verify(chained(chain)), 'certificate', /self-signed/)
    assertRefused(
      verify(chained(Array.from({ length: 10 }, () => chain[0]!))),
      'malformed',
      /11 certificates/,
    )
  })
  test('base64 in lines is read, as Go writes and reads it', async () => {
    const bundle = await sigstore.dsse(STATEMENT, sigstore.keyless(IDENTITY))
    assertAccepted(
      verify(
        editedCandidate(
          bundle,
          ({ dsseEnvelope }) =>
            (dsseEnvelope!.payload = dsseEnvelope!.payload.replaceAll(/(.{64})/g, '$1\n')),
        ),
      ),
    )
  })
  for (const [name, bytes] of [
    ['nothing', Buffer.alloc(0)],
    ['null', Buffer.from('null')],
    ['an array', Buffer.from('[]')],
    ['not UTF-8', Buffer.from([0x22, 0xff, 0x22])],
    ['a number', Buffer.from('1e9')],
  ] as const) {
    test(`${name} instead of a bundle: a failure, nothing thrown`, () => {
      assert.equal(verify(bundleCandidate(bytes)).failures.length, 1)
    })
  }
})
