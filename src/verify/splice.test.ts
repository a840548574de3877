import assert from 'node:assert/strict'
import { before, suite, test } from 'node:test'
import type { Bundle, SerializedBundle } from '@sigstore/bundle'
import { cosignLayer } from '../testing/cosign-layer.ts'
import { createSigstore, type MintOptions, type Sigstore } from '../testing/sigstore.ts'
import { simpleSigningPayload } from '../testing/statements.ts'
import {
  assertAccepted,
  bundleCandidate,
  editedCandidate,
  IDENTITY,
  layerCandidate,
  STATEMENT,
  SUBJECT,
  trustRootOf,
} from '../testing/verification.ts'
import type { Candidate, CandidateResult } from './types.ts'
import { verifyCandidate } from './verify.ts'

/** Proofs that are good by themselves, put into another bundle (CVE-2022-36056, CVE-2026-22703). */

const MEDIA_TYPES = {
  'v0.1': 'application/vnd.dev.sigstore.bundle+json;version=0.1',
  'v0.2': 'application/vnd.dev.sigstore.bundle+json;version=0.2',
  'v0.3': 'application/vnd.dev.sigstore.bundle.v0.3+json',
} as const

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

suite('splice', () => {
  const forms: Readonly<Record<string, MintOptions>> = {
    'dsse/0.0.1': {},
    'intoto/0.0.2': { intoto002: true },
    'Rekor v2': { log: 2 },
  }
  for (const [form, options] of Object.entries(forms)) {
    for (const [version, mediaType] of Object.entries(MEDIA_TYPES)) {
      // v0.1 requires a promise, which Rekor v2 does not give.
      if (options.log === 2 && version === 'v0.1') continue
      test(`the log entry of another signature of the same statement, ${form} in ${version}: refused`, async () => {
        const [one, two] = [await mint(options), await mint(options)]
        const entries = (json: SerializedBundle): void => {
          json.mediaType = mediaType
        }
        assertAccepted(verify(editedCandidate(one, entries)))
        one.verificationMaterial.tlogEntries = two.verificationMaterial.tlogEntries
        assert.equal(verify(editedCandidate(one, entries)).failures[0]?.code, 'log-entry')
      })
    }
    test(`the entry of another signature beside the right one, ${form}: refused`, async () => {
      const [one, two] = [await mint(options), await mint(options)]
      one.verificationMaterial.tlogEntries.push(...two.verificationMaterial.tlogEntries)
      assert.equal(verify(bundleCandidate(one)).failures[0]?.code, 'log-entry')
    })
    test(`promise or proof of another entry, ${form}: refused`, async () => {
      const [one, two] = [await mint(options), await mint(options)]
      const [mine, theirs] = [
        one.verificationMaterial.tlogEntries[0]!,
        two.verificationMaterial.tlogEntries[0]!,
      ]
      const splices = [
        { ...mine, inclusionProof: theirs.inclusionProof },
        ...(theirs.inclusionPromise === undefined
          ? []
          : [{ ...mine, inclusionPromise: theirs.inclusionPromise }]),
      ]
      for (const entry of splices) {
        one.verificationMaterial.tlogEntries = [entry]
        assert.equal(verify(bundleCandidate(one)).failures[0]?.code, 'log-entry')
      }
    })
  }

  test('timestamps of another signature: refused', async () => {
    const [one, two] = [await mint(), await mint()]
    one.verificationMaterial.timestampVerificationData = two.verificationMaterial.timestampVerificationData
    assert.equal(verify(bundleCandidate(one)).failures[0]?.code, 'timestamp')
  })
  test('certificate of another signature: refused', async () => {
    const [one, two] = [await mint(), await mint()]
    one.verificationMaterial.content = two.verificationMaterial.content
    assert.equal(verify(bundleCandidate(one)).verified.length, 0)
  })
  test('envelope of another bundle: refused', async () => {
    const [one, two] = [await mint({ timestamp: false }), await mint({ timestamp: false })]
    one.content = two.content
    assert.equal(verify(bundleCandidate(one)).failures[0]?.code, 'log-entry')
  })

  test('each annotation of another .sig layer of the same payload: refused', async () => {
    const payload = simpleSigningPayload('r.test/app', SUBJECT)
    const layer = async () =>
      cosignLayer(await sigstore.message(payload, sigstore.keyless(IDENTITY), { timestamp: true }), payload)
    const [one, two] = [await layer(), await layer()]
    assertAccepted(verify(layerCandidate(one)))
    for (const [name, value] of Object.entries(two.annotations)) {
      const spliced = { ...one, annotations: { ...one.annotations, [name]: value } }
      assert.equal(verify(layerCandidate(spliced)).verified.length, 0, name)
    }
  })
})
