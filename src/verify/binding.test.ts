import { generateKeyPairSync } from 'node:crypto'
import assert from 'node:assert/strict'
import { before, suite, test } from 'node:test'
import { digestOf } from '../oci/digest.ts'
import { toPem } from '../testing/certificate.ts'
import { cosignLayer } from '../testing/cosign-layer.ts'
import { createSigstore, managedSigner, type MintOptions, type Sigstore } from '../testing/sigstore.ts'
import { simpleSigningPayload, slsaStatement } from '../testing/statements.ts'
import {
  assertAccepted,
  assertRefused,
  bundleCandidate,
  IDENTITY,
  IMAGE,
  layerCandidate,
  STATEMENT,
  SUBJECT,
  trustRootOf,
} from '../testing/verification.ts'
import type { Candidate, CandidateResult } from './types.ts'
import { verifyCandidate } from './verify.ts'

/** @sigstore/verify alone neither binds an entry to the signer nor a statement to an artifact. */

const PAIR = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })

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

async function minted(mint: MintOptions): Promise<Candidate> {
  return bundleCandidate(await sigstore.dsse(STATEMENT, sigstore.keyless(IDENTITY), mint))
}

/** PEM of a certificate for the same identity that never signed this. */
async function otherCertificate(): Promise<string> {
  const { key } = await sigstore.keyless(IDENTITY).sign(Buffer.from('something else'))
  assert.equal(key.$case, 'x509Certificate')
  return key.$case === 'x509Certificate' ? key.certificate : ''
}

function derBase64(pem: string): string {
  return pem.replaceAll(/-----[^-]+-----|\s/g, '')
}

/** Makes the log entry name another certificate, in whatever form the entry has. */
function naming(pem: string): NonNullable<MintOptions['mutateBody']> {
  const base64 = Buffer.from(pem).toString('base64')
  return (body) => {
    const { spec } = body
    if ('hashedRekordV002' in spec) {
      spec.hashedRekordV002.signature.verifier = {
        keyDetails: 'PKIX_ECDSA_P256_SHA_256',
        x509Certificate: { rawBytes: derBase64(pem) },
      }
    } else if ('dsseV002' in spec) throw new TypeError('not minted here')
    else if ('signature' in spec) spec.signature.publicKey.content = base64
    else if ('signatures' in spec) for (const signature of spec.signatures) signature.verifier = base64
    else if ('publicKey' in spec) spec.publicKey = base64
    else for (const signature of spec.content.envelope.signatures) signature.publicKey = base64
  }
}

suite('log entry names another certificate or key', () => {
  const forms: Readonly<Record<string, MintOptions>> = {
    'dsse/0.0.1': {},
    'intoto/0.0.2': { intoto002: true },
    'hashedrekord/0.0.2': { log: 2 },
  }
  for (const [form, mint] of Object.entries(forms)) {
    test(`${form} is accepted as it should be`, async () => {
      assertAccepted(verify(await minted(mint)))
    })
    test(`${form} with another certificate is refused`, async () => {
      const mutateBody = naming(await otherCertificate())
      assertRefused(
        verify(await minted({ ...mint, mutateBody })),
        'log-entry',
        /different key or certificate/,
      )
    })
  }

  test('hashedrekord/0.0.1 of a .sig with another certificate is refused', async () => {
    const payload = simpleSigningPayload('r.test/app', SUBJECT)
    const mutateBody = naming(await otherCertificate())
    const bundle = await sigstore.message(payload, sigstore.keyless(IDENTITY), { mutateBody })
    assertRefused(
      verify(layerCandidate(cosignLayer(bundle, payload))),
      'log-entry',
      /different key or certificate/,
    )
  })

  test('intoto/0.0.1 of an .att with another certificate is refused', async () => {
    const mutateBody = naming(await otherCertificate())
    const bundle = await sigstore.dsse(STATEMENT, sigstore.keyless(IDENTITY), { intoto001: true, mutateBody })
    assertRefused(
      verify(layerCandidate(cosignLayer(bundle, Buffer.alloc(0)))),
      'log-entry',
      /different key or certificate/,
    )
  })

  test('a managed key whose entry names another key is refused', async () => {
    const other = generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).publicKey
    const pem = toPem(other.export({ format: 'der', type: 'spki' }), 'PUBLIC KEY')
    const bundle = await sigstore.dsse(STATEMENT, managedSigner(PAIR), { mutateBody: naming(pem) })
    const keys = [
      { id: digestOf(PAIR.publicKey.export({ format: 'der', type: 'spki' })), key: PAIR.publicKey },
    ]
    const input = { subject: SUBJECT, roots: [trustRootOf(sigstore.trustedRoot())], keys }
    assertRefused(
      verifyCandidate(bundleCandidate(bundle), input),
      'log-entry',
      /different key or certificate/,
    )
    assertAccepted(
      verifyCandidate(bundleCandidate(await sigstore.dsse(STATEMENT, managedSigner(PAIR))), input),
    )
  })
})

suite('what is signed', () => {
  test('an attestation of another image is refused', async () => {
    const other = slsaStatement({ name: 'r.test/app', sha256: 'ee'.repeat(32) })
    const bundle = await sigstore.dsse(other, sigstore.keyless(IDENTITY))
    assertRefused(verify(bundleCandidate(bundle)), 'subject', /statement is of sha256:eeee/)
  })
  test('a message signature over another manifest is refused', async () => {
    const bundle = await sigstore.message(Buffer.from('another image'), sigstore.keyless(IDENTITY))
    assertRefused(verify(bundleCandidate(bundle)), 'subject', /signature is of sha256:/)
  })
  test('a message signature over the manifest is accepted, without its bytes', async () => {
    assertAccepted(verify(bundleCandidate(await sigstore.message(IMAGE, sigstore.keyless(IDENTITY)))))
  })
  test('an envelope around something else than a statement is refused', async () => {
    const bundle = await sigstore.dsse(
      { _type: 'https://example.test/Other', subject: STATEMENT.subject },
      sigstore.keyless(IDENTITY),
    )
    assertRefused(verify(bundleCandidate(bundle)), 'unsupported', /not an in-toto statement/)
  })
  test('a statement without subjects is refused', async () => {
    const bundle = await sigstore.dsse({ ...STATEMENT, subject: [] }, sigstore.keyless(IDENTITY))
    assertRefused(verify(bundleCandidate(bundle)), 'subject', /something else/)
  })
  test('a statement with 1025 subjects is refused, with 1024 accepted', async () => {
    const subject = Array.from({ length: 1025 }, () => STATEMENT.subject[0])
    const many = await sigstore.dsse({ ...STATEMENT, subject }, sigstore.keyless(IDENTITY))
    assertRefused(verify(bundleCandidate(many)), 'malformed', /1025 subjects/)
    const enough = await sigstore.dsse(
      { ...STATEMENT, subject: subject.slice(1) },
      sigstore.keyless(IDENTITY),
    )
    assertAccepted(verify(bundleCandidate(enough)))
  })
  test('a statement without a predicate type is refused', async () => {
    const bundle = await sigstore.dsse({ ...STATEMENT, predicateType: '' }, sigstore.keyless(IDENTITY))
    assertRefused(verify(bundleCandidate(bundle)), 'malformed', /predicate type/)
  })
})
