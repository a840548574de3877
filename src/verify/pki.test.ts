import assert from 'node:assert/strict'
import net from 'node:net'
import { after, before, mock, suite, test } from 'node:test'
import { EXTENDED_KEY_USAGE, type CertificateExtension } from '../testing/certificate.ts'
import { nothing, octetString, sequence } from '../testing/der.ts'
import { createCorporation, verifyWith, type Corporation } from '../testing/pki-evidence.ts'
import {
  createPkiAuthority,
  createPkiSigner,
  newKeyPair,
  PKI_SUBJECT,
  type PkiLeafOptions,
} from '../testing/pki.ts'
import { createSigstore } from '../testing/sigstore.ts'
import {
  assertAccepted,
  assertRefused,
  bundleCandidate,
  editedCandidate,
  IDENTITY,
  STATEMENT,
  trustRootOf,
} from '../testing/verification.ts'

const DAY_MS = 86_400_000

let corp: Corporation

before(async () => {
  corp = await createCorporation()
})

suite('a certificate of one’s own PKI', () => {
  test('signs: who that is, by which authority, and when', async () => {
    const bundle = await corp.mint(createPkiSigner(corp.issuing))
    const {
      signer,
      logs,
      times: proven,
    } = assertAccepted(verifyWith(bundleCandidate(bundle), corp.pki([corp.root, corp.issuing])))
    const identity = { subject: PKI_SUBJECT, subjectType: 'uri', issuer: 'CN=Issuing,O=Acme', extensions: {} }
    assert.deepEqual(signer, { kind: 'keyless', trustRoot: 'corp', identity, byRetiringRoot: false })
    assert.deepEqual(
      [...logs, ...proven].map(({ trustRoot }) => trustRoot),
      ['corp', 'corp'],
    )
  })

  for (const [what, options] of [
    ['a log entry with a promise', {}],
    ['a timestamp alone', { log: 0, timestamp: true }],
    ['an entry of Rekor v2 and a timestamp', { log: 2 }],
    ['both', { timestamp: true }],
  ] as const) {
    test(`${what} says when: accepted`, async () => {
      const bundle = await corp.mint(createPkiSigner(corp.issuing), options)
      assertAccepted(verifyWith(bundleCandidate(bundle), corp.pki([corp.root, corp.issuing])))
    })
  }

  for (const [what, options] of [
    ['nothing', { log: 0 }],
    ['an entry of Rekor v2 alone', { log: 2, timestamp: false }],
    ['a time beside a bare proof', { promise: false }],
  ] as const) {
    test(`${what} says when: proves nothing`, async () => {
      const bundle = await corp.mint(createPkiSigner(corp.issuing), options)
      assertRefused(
        verifyWith(bundleCandidate(bundle), corp.pki([corp.root, corp.issuing])),
        'timestamp',
        /no log entry and no timestamp that trust root corp knows says when the certificate signed/,
      )
    })
  }

  test('a log entry and a timestamp of another Sigstore say nothing', async () => {
    const other = await createSigstore()
    const signer = createPkiSigner(corp.issuing)
    const bundle = bundleCandidate(await other.dsse(STATEMENT, signer, { timestamp: true }))
    assertRefused(verifyWith(bundle, corp.pki([corp.root, corp.issuing])), 'timestamp', /says when/)
    assertAccepted(verifyWith(bundle, corp.pki([corp.root, corp.issuing], trustRootOf(other.trustedRoot()))))
  })

  for (const [type, value] of [
    ['email', 'release@acme.test'],
    ['dns', 'ci.acme.test'],
  ] as const) {
    test(`${type} subject: accepted, and named so`, async () => {
      const bundle = await corp.mint(createPkiSigner(corp.issuing, { names: [{ type, value }] }))
      const { signer } = assertAccepted(
        verifyWith(bundleCandidate(bundle), corp.pki([corp.root, corp.issuing])),
      )
      assert.ok(signer.kind === 'keyless')
      assert.deepEqual([signer.identity.subjectType, signer.identity.subject], [type, value])
    })
  }

  test('SCTs of a log that nobody knows: none are asked for, so none are wrong', async () => {
    const scts = { oid: '1.3.6.1.4.1.11129.2.4.2', value: octetString(Buffer.from('0004000200ff', 'hex')) }
    const bundle = await corp.mint(createPkiSigner(corp.issuing, { extraExtensions: [scts] }))
    assertAccepted(verifyWith(bundleCandidate(bundle), corp.pki([corp.root, corp.issuing])))
  })

  test('what Fulcio would have written of a build is not Fulcio’s word', async () => {
    const claim: CertificateExtension = {
      oid: '1.3.6.1.4.1.57264.1.12',
      value: Buffer.from('https://evil.test'),
    }
    const bundle = await corp.mint(createPkiSigner(corp.issuing, { extraExtensions: [claim] }))
    const { signer } = assertAccepted(
      verifyWith(bundleCandidate(bundle), corp.pki([corp.root, corp.issuing])),
    )
    assert.deepEqual(signer.kind === 'keyless' && signer.identity.extensions, {})
  })

  test('a keyless signature of the same Sigstore is none of the PKI, nor the other way round', async () => {
    const keyless = bundleCandidate(await corp.sigstore.dsse(STATEMENT, corp.sigstore.keyless(IDENTITY)))
    const own = bundleCandidate(await corp.mint(createPkiSigner(corp.issuing)))
    const pki = corp.pki([corp.root, corp.issuing])
    assertRefused(verifyWith(keyless, pki), 'certificate', /no chain to an authority of trust root corp/)
    assertRefused(verifyWith(own, corp.times), 'certificate', /names no issuer/)
    for (const [candidate, name] of [
      [keyless, 'times'],
      [own, 'corp'],
    ] as const) {
      const { signer } = assertAccepted(verifyWith(candidate, pki, corp.times))
      assert.equal(signer.kind === 'keyless' && signer.trustRoot, name)
    }
  })

  test('of several roots, the one that the certificate belongs to says what is wrong', async () => {
    const bundle = bundleCandidate(await corp.mint(createPkiSigner(corp.issuing), { log: 0 }))
    const other = { ...corp.pki([createPkiAuthority('Other')]), name: 'other' }
    for (const roots of [
      [corp.times, corp.pki([corp.root, corp.issuing]), other],
      [other, corp.pki([corp.root, corp.issuing]), corp.times],
    ])
      assertRefused(verifyWith(bundle, ...roots), 'timestamp', /says when/)
  })
})

suite('a certificate that proves nothing', () => {
  const refused: readonly (readonly [string, PkiLeafOptions, RegExp])[] = [
    ['without an extended key usage', { purposes: [] }, /not for code signing/],
    ['for serverAuth only', { purposes: [EXTENDED_KEY_USAGE.serverAuth] }, /not for code signing/],
    [
      'with two subject alternative names',
      {
        names: [
          { type: 'uri', value: PKI_SUBJECT },
          { type: 'email', value: 'b@acme.test' },
        ],
      },
      /2 subject alternative names, expected one/,
    ],
    ['without a subject alternative name', { names: [] }, /no subject alternative name/],
    ['with an empty one', { names: [{ type: 'uri', value: '' }] }, /empty subject alternative name/],
    ['for a user of Fulcio', { names: [{ type: 'username', value: 'a!acme' }] }, /of an unknown type/],
    [
      'with an unknown critical extension',
      { extraExtensions: [{ oid: '1.2.3.4.5', critical: true, value: nothing() }] },
      /critical extension 1\.2\.3\.4\.5/,
    ],
    [
      'with an extension twice',
      { extraExtensions: [{ oid: '2.5.29.14', value: octetString(Buffer.of(1)) }] },
      /repeats extension 2\.5\.29\.14/,
    ],
    [
      'that had ended when it signed',
      { validFor: { start: new Date(Date.now() - 9 * DAY_MS), end: new Date(Date.now() - DAY_MS) } },
      /not valid or expired at the specified date/,
    ],
    [
      'that had not begun when it signed',
      { validFor: { start: new Date(Date.now() + DAY_MS), end: new Date(Date.now() + 9 * DAY_MS) } },
      /not valid or expired at the specified date/,
    ],
  ]
  for (const [name, options, message] of refused) {
    test(`${name}: refused`, async () => {
      for (const witness of [{}, { log: 0, timestamp: true }] as const) {
        const bundle = await corp.mint(createPkiSigner(corp.issuing, options), witness)
        assertRefused(
          verifyWith(bundleCandidate(bundle), corp.pki([corp.root, corp.issuing])),
          'certificate',
          message,
        )
      }
    })
  }

  test('of an authority itself: refused', async () => {
    const authority = createPkiAuthority('Sub', {
      issuer: corp.issuing,
      purposes: [EXTENDED_KEY_USAGE.codeSigning],
    })
    const signer = createPkiSigner(corp.issuing)
    const candidate = editedCandidate(await corp.mint(signer), (json) => {
      json.verificationMaterial.certificate = { rawBytes: authority.certificate.toString('base64') }
    })
    assertRefused(
      verifyWith(candidate, corp.pki([corp.root, corp.issuing])),
      'certificate',
      /is an authority, not a signer/,
    )
  })

  test('made by itself: refused', async () => {
    const keyPair = newKeyPair()
    const name = createPkiAuthority('release').name
    const bundle = await corp.mint(createPkiSigner({ name, keyPair }))
    assertRefused(
      verifyWith(bundleCandidate(bundle), corp.pki([corp.root, corp.issuing])),
      'certificate',
      /no chain/,
    )
  })

  test('by an authority of the same name with another key: refused', async () => {
    const impostor = createPkiAuthority('Issuing', { issuer: createPkiAuthority('Root') })
    const bundle = await corp.mint(createPkiSigner(impostor))
    const pki = corp.pki([corp.root, corp.issuing])
    assertRefused(
      verifyWith(bundleCandidate(bundle), pki),
      'certificate',
      /no chain .* issued by CN=Issuing,O=Acme/,
    )
  })

  test('long ended today, but not when it signed: accepted', async () => {
    let now = new Date('2026-01-01T00:00:00Z')
    const clocked = await createSigstore({ now: () => now })
    const at = { start: new Date('2025-12-01'), end: new Date('2026-02-01') }
    const oldRoot = createPkiAuthority('Root', { validFor: at })
    const pki = corp.pki([oldRoot], trustRootOf(clocked.trustedRoot()))
    const signer = createPkiSigner(oldRoot, { validFor: at })
    for (const options of [{}, { log: 2 }] as const) {
      now = new Date('2026-01-31T23:59:59Z')
      assertAccepted(verifyWith(bundleCandidate(await clocked.dsse(STATEMENT, signer, options)), pki))
      now = new Date('2026-02-01T00:00:01Z')
      const late = bundleCandidate(await clocked.dsse(STATEMENT, signer, options))
      assertRefused(verifyWith(late, pki), 'certificate', /expired at the specified date/)
    }
  })
})

suite('without a network', () => {
  before(() => {
    const refuse = (): never => {
      throw new Error('the verifier tried to use the network')
    }
    mock.method(net.Socket.prototype, 'connect', refuse)
    mock.method(globalThis, 'fetch', refuse)
  })
  after(() => mock.restoreAll())

  test('where the certificate says where to ask about revocation and issuers, nobody is asked', async () => {
    const address = (tag: number) =>
      Buffer.concat([Buffer.of(tag, 23), Buffer.from('http://127.0.0.1:1/crl.')])
    const points = { oid: '2.5.29.31', value: sequence(address(0x86)) }
    const bundle = await corp.mint(createPkiSigner(corp.issuing, { extraExtensions: [points] }))
    assertAccepted(verifyWith(bundleCandidate(bundle), corp.pki([corp.root, corp.issuing])))
  })
})
