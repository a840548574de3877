import assert from 'node:assert/strict'
import { before, suite, test } from 'node:test'
import { EXTENDED_KEY_USAGE } from '../testing/certificate.ts'
import { nothing, utf8String } from '../testing/der.ts'
import { createSigstore, type KeylessIdentity, type Sigstore } from '../testing/sigstore.ts'
import {
  assertAccepted,
  assertRefused,
  bundleCandidate,
  IDENTITY,
  STATEMENT,
  SUBJECT,
  trustRootOf,
} from '../testing/verification.ts'
import { FULCIO_EXTENSIONS, type CandidateResult } from './types.ts'
import { verifyCandidate } from './verify.ts'

type Leaf = NonNullable<KeylessIdentity['leaf']>

let sigstore: Sigstore

before(async () => {
  sigstore = await createSigstore()
})

async function verifySignedBy(identity: Partial<KeylessIdentity>): Promise<CandidateResult> {
  const bundle = await sigstore.dsse(STATEMENT, sigstore.keyless({ ...IDENTITY, ...identity }))
  const input = { subject: SUBJECT, roots: [trustRootOf(sigstore.trustedRoot())], keys: [] }
  return verifyCandidate(bundleCandidate(bundle), input)
}

suite('who signed', () => {
  const refused: readonly (readonly [string, Leaf, RegExp])[] = [
    ['leaf without an extended key usage', { extendedKeyUsages: [] }, /not for code signing/],
    [
      'leaf for serverAuth only',
      { extendedKeyUsages: [EXTENDED_KEY_USAGE.serverAuth] },
      /not for code signing/,
    ],
    [
      'unknown critical extension',
      { extraExtensions: [{ oid: '1.2.3.4.5', critical: true, value: nothing() }] },
      /critical extension 1\.2\.3\.4\.5/,
    ],
    [
      'repeated extension',
      { extraExtensions: [{ oid: '1.3.6.1.4.1.57264.1.8', value: utf8String('https://evil.test') }] },
      /repeats extension/,
    ],
    [
      'two subject alternative names',
      { extraNames: [{ type: 'email', value: 'evil@x.test' }] },
      /2 subject alternative names/,
    ],
    [
      'claim with bytes behind it',
      {
        extraExtensions: [
          {
            oid: '1.3.6.1.4.1.57264.1.12',
            value: Buffer.concat([utf8String('https://github.com/o/r'), Buffer.of(0)]),
          },
        ],
      },
      /malformed sourceRepositoryURI/,
    ],
    [
      'claim that is not UTF-8',
      { extraExtensions: [{ oid: '1.3.6.1.4.1.57264.1.5', value: Buffer.of(0xff, 0xfe) }] },
      /malformed githubWorkflowRepository/,
    ],
    ['no signed certificate timestamp', { sct: false }, /expected 1 SCTs, got 0/],
  ]
  for (const [name, leaf, message] of refused) {
    test(`${name}: refused`, async () =>
      assertRefused(await verifySignedBy({ leaf }), 'certificate', message))
  }

  test('two issuers that differ: refused', async () => {
    const claims = { 8: 'https://evil.test' }
    assertRefused(await verifySignedBy({ claims }), 'certificate', /two issuers/)
  })

  for (const [subjectType, subject] of [
    ['email', 'a@b.test'],
    ['uri', 'https://github.com/o/r'],
    ['dns', 'b.test'],
    ['username', 'a!b.test'],
  ] as const) {
    test(`${subjectType} subject: accepted, and named so`, async () => {
      const { signer } = assertAccepted(await verifySignedBy({ subject, subjectType }))
      const identity = { subject, subjectType, issuer: IDENTITY.issuer, extensions: {} }
      assert.deepEqual(signer, { kind: 'keyless', trustRoot: 'test', identity, byRetiringRoot: false })
    })
  }

  test('all claims are read, each under its name', async () => {
    const claims = Object.fromEntries(
      Object.keys(FULCIO_EXTENSIONS).map((number) => [number, `claim ${number}`]),
    )
    const { signer } = assertAccepted(await verifySignedBy({ claims }))
    const expected = Object.fromEntries(
      Object.entries(FULCIO_EXTENSIONS).map(([number, name]) => [name, `claim ${number}`]),
    )
    assert.deepEqual(signer.kind === 'keyless' && signer.identity.extensions, expected)
  })
})
