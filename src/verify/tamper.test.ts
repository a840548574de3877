import assert from 'node:assert/strict'
import { before, suite, test } from 'node:test'
import type { Bundle, SerializedBundle } from '@sigstore/bundle'
import { createSigstore, type MintOptions, type Sigstore } from '../testing/sigstore.ts'
import {
  assertAccepted,
  bundleCandidate,
  editedCandidate,
  IDENTITY,
  STATEMENT,
  SUBJECT,
  trustRootOf,
} from '../testing/verification.ts'
import type { Candidate, CandidateResult, FailureCode } from './types.ts'
import { verifyCandidate } from './verify.ts'

/** Each proof in a bundle, damaged. */

const V02 = 'application/vnd.dev.sigstore.bundle+json;version=0.2'

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

function mint(options: MintOptions = {}): Promise<Bundle> {
  return sigstore.dsse(STATEMENT, sigstore.keyless(IDENTITY), { timestamp: true, ...options })
}

/** The same text with one bit of its last whole byte turned. */
function damaged(base64: string): string {
  const bytes = Buffer.from(base64, 'base64')
  bytes.writeUInt8(bytes.readUInt8(bytes.length - 1) ^ 1, bytes.length - 1)
  return bytes.toString('base64')
}

function entryOf(json: SerializedBundle): SerializedBundle['verificationMaterial']['tlogEntries'][number] {
  const [entry] = json.verificationMaterial.tlogEntries
  return entry ?? assert.fail('no entry')
}

function editBody(base64: string, edit: (body: { spec: Record<string, unknown> }) => void): string {
  const body: { spec: Record<string, unknown> } = JSON.parse(Buffer.from(base64, 'base64').toString())
  edit(body)
  return Buffer.from(JSON.stringify(body)).toString('base64')
}

type Tamper = readonly [
  name: string,
  codes: readonly FailureCode[],
  edit: (json: SerializedBundle) => void,
  mint?: MintOptions,
]

const TAMPERS: readonly Tamper[] = [
  [
    'payload',
    ['log-entry'],
    ({ dsseEnvelope }) =>
      (dsseEnvelope!.payload = Buffer.from(JSON.stringify({ ...STATEMENT, predicate: {} })).toString(
        'base64',
      )),
  ],
  ['payload type', ['signature'], ({ dsseEnvelope }) => (dsseEnvelope!.payloadType += '\u0100')],
  [
    'payload type, in a log of its encoding',
    ['log-entry'],
    ({ dsseEnvelope }) => (dsseEnvelope!.payloadType = 'application/vnd.in-toto'),
    { log: 2 },
  ],
  [
    'signature',
    ['timestamp'],
    ({ dsseEnvelope }) => (dsseEnvelope!.signatures[0]!.sig = damaged(dsseEnvelope!.signatures[0]!.sig)),
  ],
  [
    'signature, without a timestamp',
    ['log-entry'],
    ({ dsseEnvelope }) => (dsseEnvelope!.signatures[0]!.sig = damaged(dsseEnvelope!.signatures[0]!.sig)),
    { timestamp: false },
  ],
  [
    'certificate',
    ['certificate'],
    ({ verificationMaterial }) =>
      (verificationMaterial.certificate!.rawBytes = damaged(verificationMaterial.certificate!.rawBytes)),
  ],
  [
    'promise',
    ['log-entry'],
    (json) =>
      (entryOf(json).inclusionPromise!.signedEntryTimestamp = damaged(
        entryOf(json).inclusionPromise!.signedEntryTimestamp,
      )),
  ],
  [
    'integrated time',
    ['log-entry'],
    (json) => (entryOf(json).integratedTime = String(Number(entryOf(json).integratedTime) + 1)),
  ],
  ['log index under the promise', ['log-entry'], (json) => (entryOf(json).logIndex = '1')],
  ['log id', ['log-entry'], (json) => (entryOf(json).logId.keyId = damaged(entryOf(json).logId.keyId))],
  [
    'log id of the other log',
    ['log-entry'],
    (json) => (entryOf(json).logId.keyId = sigstore.logs.v2.logId.toString('base64')),
  ],
  [
    'entry body',
    ['log-entry'],
    (json) =>
      (entryOf(json).canonicalizedBody = editBody(
        entryOf(json).canonicalizedBody,
        (body) => (body.spec['extra'] = 1),
      )),
  ],
  [
    'entry kind',
    ['log-entry'],
    (json) => (entryOf(json).kindVersion = { kind: 'hashedrekord', version: '0.0.1' }),
  ],
  ['index of the proof', ['log-entry'], (json) => (entryOf(json).inclusionProof!.logIndex = '1')],
  [
    'index of the proof beyond the tree',
    ['log-entry'],
    (json) => (entryOf(json).inclusionProof!.logIndex = '99999999999'),
  ],
  [
    'hash in the proof',
    ['log-entry'],
    (json) => (entryOf(json).inclusionProof!.hashes[0] = damaged(entryOf(json).inclusionProof!.hashes[0]!)),
  ],
  ['missing hash in the proof', ['log-entry'], (json) => entryOf(json).inclusionProof!.hashes.pop()],
  [
    'checkpoint root',
    ['log-entry'],
    (json) =>
      (entryOf(json).inclusionProof!.checkpoint.envelope = entryOf(
        json,
      ).inclusionProof!.checkpoint.envelope.replace(/\n\d+\n/, '\n1\n')),
  ],
  [
    'checkpoint signature',
    ['log-entry'],
    (json) =>
      (entryOf(json).inclusionProof!.checkpoint.envelope = entryOf(
        json,
      ).inclusionProof!.checkpoint.envelope.replace(/(\S{8})\n$/, 'AAAAAAAA\n')),
  ],
  [
    'checkpoint without a signature',
    ['log-entry'],
    (json) =>
      (entryOf(json).inclusionProof!.checkpoint.envelope =
        entryOf(json).inclusionProof!.checkpoint.envelope.split('\n\n')[0]! + '\n\n'),
  ],
  [
    'hash in a proof of Rekor v2',
    ['log-entry'],
    (json) => (entryOf(json).inclusionProof!.hashes[0] = damaged(entryOf(json).inclusionProof!.hashes[0]!)),
    { log: 2 },
  ],
]

suite('damage', () => {
  for (const [name, codes, edit, options] of TAMPERS) {
    test(`${name}: refused`, async () => {
      const bundle = await mint(options)
      assertAccepted(verify(bundleCandidate(bundle)))
      const { verified, failures } = verify(editedCandidate(bundle, edit))
      assert.deepEqual(verified, [])
      assert.ok(codes.includes(failures[0]!.code), `${failures[0]!.code}: ${failures[0]!.message}`)
    })
  }

  test('a timestamp with any byte changed: refused', async () => {
    const bundle = await mint({ promise: false })
    const token = Buffer.from(
      bundle.verificationMaterial.timestampVerificationData!.rfc3161Timestamps[0]!.signedTimestamp,
    )
    const { times } = assertAccepted(verify(bundleCandidate(bundle)))
    let refused = 0
    for (let index = 0; index < token.length; index += 11) {
      const changed = Buffer.from(token)
      changed.writeUInt8(changed.readUInt8(index) ^ 0x10, index)
      const result = verify(
        editedCandidate(bundle, (json) => {
          json.verificationMaterial.timestampVerificationData!.rfc3161Timestamps[0]!.signedTimestamp =
            changed.toString('base64')
        }),
      )
      // Embedded certificates and the status are not used: changing them may change nothing, but never the time.
      const { verified } = result
      if (verified.length > 0) assert.deepEqual(verified[0]!.times, times, `byte ${index}`)
      else refused += 1
    }
    assert.ok(refused > 20)
  })
})

suite('time', () => {
  test('v0.2, proof only, with any integrated time written beside it: no time at all', async () => {
    const bundle = await mint({ promise: false, timestamp: false })
    const candidate = editedCandidate(bundle, (json) => {
      json.mediaType = V02
      assert.notEqual(entryOf(json).integratedTime, '0')
    })
    const { verified, failures } = verify(candidate)
    assert.deepEqual([verified, failures[0]?.code], [[], 'timestamp'])
  })

  test('a promise or a timestamp outside the life of the certificate: refused', async () => {
    let now = new Date('2026-01-01T00:00:00Z')
    const clocked = await createSigstore({ now: () => now })
    const signer = clocked.keyless(IDENTITY)
    const late = {
      sign: async (data: Buffer) => {
        const signed = await signer.sign(data)
        now = new Date('2026-01-01T00:11:00Z')
        return signed
      },
    }
    const roots = [trustRootOf(clocked.trustedRoot())]
    for (const options of [{}, { log: 2 }] as const) {
      now = new Date('2026-01-01T00:00:00Z')
      const onTime = await clocked.dsse(STATEMENT, signer, options)
      assertAccepted(verifyCandidate(bundleCandidate(onTime), { subject: SUBJECT, roots, keys: [] }))
      const bundle = await clocked.dsse(STATEMENT, late, options)
      const { verified, failures } = verifyCandidate(bundleCandidate(bundle), {
        subject: SUBJECT,
        roots,
        keys: [],
      })
      assert.deepEqual([verified, failures[0]?.code], [[], 'certificate'])
    }
  })
})
