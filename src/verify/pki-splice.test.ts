import assert from 'node:assert/strict'
import { before, suite, test } from 'node:test'
import type { Bundle } from '@sigstore/bundle'
import { createCorporation, verifyWith, type Corporation } from '../testing/pki-evidence.ts'
import { createPkiSigner, newKeyPair } from '../testing/pki.ts'
import { assertAccepted, assertRefused, bundleCandidate, editedCandidate } from '../testing/verification.ts'
import type { Candidate, FailureCode } from './types.ts'

let corp: Corporation

before(async () => {
  corp = await createCorporation()
})

suite('evidence of two signatures, spliced', () => {
  const tampers: readonly (readonly [string, readonly FailureCode[], (a: Bundle, b: Bundle) => Candidate])[] =
    [
      [
        'the certificate of another signer of the same authority',
        ['log-entry', 'signature'],
        (a, b) => {
          const { content } = b.verificationMaterial
          return editedCandidate(a, (json) => {
            if (content.$case !== 'certificate') assert.fail()
            json.verificationMaterial.certificate = {
              rawBytes: content.certificate.rawBytes.toString('base64'),
            }
          })
        },
      ],
      [
        'the log entry of another signature',
        ['log-entry'],
        (a, b) =>
          bundleCandidate({
            ...a,
            verificationMaterial: {
              ...a.verificationMaterial,
              tlogEntries: b.verificationMaterial.tlogEntries,
            },
          }),
      ],
      [
        'the timestamp of another signature',
        ['timestamp'],
        (a, b) =>
          bundleCandidate({
            ...a,
            verificationMaterial: {
              ...a.verificationMaterial,
              timestampVerificationData: b.verificationMaterial.timestampVerificationData,
            },
          }),
      ],
    ]
  for (const [name, codes, splice] of tampers) {
    test(`${name}: refused`, async () => {
      const pki = corp.pki([corp.root, corp.issuing])
      const mintOne = () => corp.mint(createPkiSigner(corp.issuing), { timestamp: true })
      const [a, b] = [await mintOne(), await mintOne()]
      assertAccepted(verifyWith(bundleCandidate(a), pki))
      const { verified, failures } = verifyWith(splice(a, b), pki)
      assert.deepEqual(verified, [])
      assert.ok(codes.includes(failures[0]?.code ?? 'key'), `${failures[0]?.code}: ${failures[0]?.message}`)
    })
  }

  test('another certificate of the same key, in no log: refused', async () => {
    const keyPair = newKeyPair()
    const [logged, hidden] = ['a@acme.test', 'b@acme.test'].map((value) =>
      createPkiSigner(corp.issuing, { keyPair, names: [{ type: 'email', value }] }),
    )
    if (logged === undefined || hidden === undefined) assert.fail()
    const candidate = editedCandidate(await corp.mint(logged), (json) => {
      json.verificationMaterial.certificate = { rawBytes: hidden.certificate.toString('base64') }
    })
    const pki = corp.pki([corp.root, corp.issuing])
    assertRefused(verifyWith(candidate, pki), 'log-entry', /different key or certificate/)
  })
})
