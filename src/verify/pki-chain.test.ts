import assert from 'node:assert/strict'
import { before, suite, test } from 'node:test'
import { EXTENDED_KEY_USAGE, toPem } from '../testing/certificate.ts'
import { nothing, sequence } from '../testing/der.ts'
import { createCorporation, verifyWith, withChain, type Corporation } from '../testing/pki-evidence.ts'
import {
  createPkiAuthority,
  createPkiSigner,
  newKeyPair,
  type PkiAuthority,
  type PkiAuthorityOptions,
} from '../testing/pki.ts'
import {
  assertAccepted,
  assertRefused,
  bundleCandidate,
  IDENTITY,
  layerCandidate,
} from '../testing/verification.ts'
import type { CandidateResult, FailureCode } from './types.ts'

const DAY_MS = 86_400_000

let corp: Corporation

before(async () => {
  corp = await createCorporation()
})

suite('authorities above it', () => {
  /** A chain of these, each issued by the one before; the leaf by the last. */
  function chain(...options: readonly PkiAuthorityOptions[]): readonly PkiAuthority[] {
    return options.reduce<readonly PkiAuthority[]>((above, own, index) => {
      const issuer = above.at(-1)
      return [
        ...above,
        createPkiAuthority(`CA ${index}`, { ...(issuer === undefined ? {} : { issuer }), ...own }),
      ]
    }, [])
  }

  /** All but the root are supplied with the bundle. */
  async function verifyBelow(authorities: readonly PkiAuthority[]): Promise<CandidateResult> {
    const [top, last] = [authorities[0], authorities.at(-1)]
    if (top === undefined || last === undefined) assert.fail()
    const signer = createPkiSigner(last)
    const others = authorities.slice(1).map(({ certificate }) => certificate)
    return verifyWith(withChain(await corp.mint(signer), signer, others.toReversed()), corp.pki([top]))
  }

  const refused: readonly (readonly [string, readonly PkiAuthorityOptions[], RegExp])[] = [
    [
      'no authority by its basic constraints',
      [{}, { isAuthority: false }],
      /CN=CA 1,O=Acme is no certificate authority/,
    ],
    ['no authority by its key usage', [{}, { keyUsage: 0x02 }], /CN=CA 1,O=Acme is no certificate authority/],
    ['deeper than its root allows', [{ pathLength: 0 }, {}], /path length constraint exceeded/],
    ['deeper than one above it allows', [{}, { pathLength: 0 }, {}], /path length constraint exceeded/],
    [
      'for server authentication only',
      [{}, { purposes: [EXTENDED_KEY_USAGE.serverAuth] }],
      /not for code signing/,
    ],
    [
      'with an unknown critical extension',
      [{}, { extraExtensions: [{ oid: '1.2.3.4.5', critical: true, value: nothing() }] }],
      /CN=CA 1,O=Acme cannot be used: .*critical extension 1\.2\.3\.4\.5/,
    ],
    [
      'with name constraints, though not critical',
      [{}, { extraExtensions: [{ oid: '2.5.29.30', value: sequence() }] }],
      /name constraints/,
    ],
    [
      'that had ended',
      [{}, { validFor: { start: new Date(Date.now() - 9 * DAY_MS), end: new Date(Date.now() - DAY_MS) } }],
      /expired at the specified date/,
    ],
    ['more than an organisation has', Array.from({ length: 9 }, () => ({})), /no chain/],
  ]
  for (const [name, options, message] of refused) {
    test(`one ${name}: refused`, async () =>
      assertRefused(await verifyBelow(chain(...options)), 'certificate', message))
  }

  for (const [name, options] of [
    ['none but the root', [{}]],
    ['as many as the root allows', [{ pathLength: 1 }, { pathLength: 0 }]],
    ['eight', Array.from({ length: 8 }, () => ({}))],
    ['one for code signing, said so', [{}, { purposes: [EXTENDED_KEY_USAGE.codeSigning] }]],
    ['one for any purpose', [{}, { purposes: ['2.5.29.37.0'] }]],
  ] as const) {
    test(`${name}: accepted`, async () => void assertAccepted(await verifyBelow(chain(...options))))
  }

  test('an intermediate that nobody has: refused, and named', async () => {
    const bundle = await corp.mint(createPkiSigner(corp.issuing))
    assertRefused(
      verifyWith(bundleCandidate(bundle), corp.pki([corp.root])),
      'certificate',
      /issued by CN=Issuing,O=Acme/,
    )
  })

  test('an intermediate in cosign’s chain annotation, root and all: accepted', async () => {
    const layer = await corp.layer(createPkiSigner(corp.issuing), [
      corp.issuing.certificate,
      corp.root.certificate,
    ])
    assertAccepted(verifyWith(layerCandidate(layer), corp.pki([corp.root])))
    const bare = await corp.layer(createPkiSigner(corp.issuing), [])
    assertRefused(
      verifyWith(layerCandidate(bare), corp.pki([corp.root])),
      'certificate',
      /issued by CN=Issuing,O=Acme/,
    )
    assertAccepted(verifyWith(layerCandidate(bare), corp.pki([corp.root, corp.issuing])))
  })

  test('an intermediate in a bundle v0.3, as cosign 3 writes it: accepted, though not for Sigstore’s own', async () => {
    const signer = createPkiSigner(corp.issuing)
    const v03 = 'application/vnd.dev.sigstore.bundle.v0.3+json'
    const bundle = withChain(await corp.mint(signer), signer, [corp.issuing.certificate], v03)
    assertAccepted(verifyWith(bundle, corp.pki([corp.root])))
    assertRefused(verifyWith(bundle, corp.times), 'malformed', /certificate chain in v0\.3/)
    assertAccepted(verifyWith(bundle, corp.times, corp.pki([corp.root])))
  })

  test('a root that travels with the signature vouches for nothing', async () => {
    const other = createPkiAuthority('Other')
    const signer = createPkiSigner(other)
    const bundle = withChain(await corp.mint(signer), signer, [other.certificate])
    assertRefused(verifyWith(bundle, corp.pki([corp.root])), 'certificate', /no chain/)
    const layer = await corp.layer(signer, [other.certificate])
    assertRefused(verifyWith(layerCandidate(layer), corp.pki([corp.root])), 'certificate', /no chain/)
  })

  test('a root that was certified by another one is a way to either', async () => {
    const older = createPkiAuthority('Older')
    const crossed = createPkiAuthority('Root', { issuer: older, keyPair: corp.root.keyPair })
    const signer = createPkiSigner(corp.issuing)
    const others = [corp.issuing.certificate, crossed.certificate]
    const bundle = withChain(await corp.mint(signer), signer, others)
    assertAccepted(verifyWith(bundle, corp.pki([older])))
    assertAccepted(verifyWith(bundle, corp.pki([corp.root])))
    assertAccepted(verifyWith(bundle, corp.pki([corp.root, older, crossed])))
  })

  test('two that certify each other: no endless way', async () => {
    const [one, two] = [newKeyPair(), newKeyPair()]
    const first = createPkiAuthority('One', { keyPair: one })
    const second = createPkiAuthority('Two', { keyPair: two })
    const loop = [
      createPkiAuthority('One', { keyPair: one, issuer: second }),
      createPkiAuthority('Two', { keyPair: two, issuer: first }),
    ].map(({ certificate }) => certificate)
    const signer = createPkiSigner(first)
    assertRefused(
      verifyWith(withChain(await corp.mint(signer), signer, loop), corp.pki([corp.root])),
      'certificate',
      /no chain/,
    )
  })

  test('more possible issuers than anybody has: refused', async () => {
    const keyPair = newKeyPair()
    const others = Array.from(
      { length: 9 },
      () => createPkiAuthority('Issuing', { issuer: createPkiAuthority('Root'), keyPair }).certificate,
    )
    const configured = Array.from({ length: 8 }, () =>
      createPkiAuthority('Issuing', { issuer: corp.root, keyPair }),
    )
    const signer = createPkiSigner({ name: corp.issuing.name, keyPair })
    const bundle = withChain(await corp.mint(signer), signer, others)
    assertRefused(
      verifyWith(bundle, corp.pki([corp.root, ...configured])),
      'malformed',
      /more than 16 possible issuers/,
    )
    assertAccepted(
      verifyWith(
        withChain(await corp.mint(signer), signer, []),
        corp.pki([corp.root, ...configured.slice(0, 3)]),
      ),
    )
  })

  const hostile: readonly (readonly [string, string, FailureCode, RegExp])[] = [
    ['of no certificates', 'nothing at all', 'certificate', /no chain/],
    ['with a damaged one', toPem(Buffer.from('no DER')), 'malformed', /unreadable certificate/],
    ['with a key', toPem(Buffer.from('a key'), 'PRIVATE KEY'), 'malformed', /other than PEM certificates/],
    ['cut off', '-----BEGIN CERTIFICATE-----\nAAAA\n', 'malformed', /other than PEM certificates/],
    ['all beginnings', '-----BEGIN CERTIFICATE-----\n'.repeat(1000), 'malformed', /other than PEM/],
    ['too long', toPem(Buffer.alloc(25_000)), 'malformed', /or too much/],
    ['too many', toPem(Buffer.from('no DER')).repeat(11), 'malformed', /too many or too large/],
    ['one too large', toPem(Buffer.alloc(8193)), 'malformed', /too many or too large/],
  ]
  for (const [name, annotation, code, message] of hostile) {
    test(`a chain annotation ${name}: refused`, async () => {
      const layer = await corp.layer(createPkiSigner(corp.issuing), [])
      const annotations = { ...layer.annotations, 'dev.sigstore.cosign/chain': annotation }
      const result = verifyWith(layerCandidate({ ...layer, annotations }), corp.pki([corp.root]))
      assertRefused(result, code, message)
    })
  }

  test('a chain annotation is no business of Sigstore’s own certificates', async () => {
    const layer = await corp.layer(corp.sigstore.keyless(IDENTITY), [])
    const annotations = { ...layer.annotations, 'dev.sigstore.cosign/chain': 'nothing at all' }
    assertAccepted(verifyWith(layerCandidate({ ...layer, annotations }), corp.times))
  })
})
