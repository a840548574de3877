import assert from 'node:assert/strict'
import { before, suite, test } from 'node:test'
import { EXTENDED_KEY_USAGE, toPem } from '../testing/certificate.ts'
import { nothing, sequence } from '../testing/der.ts'
import { createCorporation, type Corporation } from '../testing/pki-evidence.ts'
import { createPkiAuthority, createPkiSigner, newKeyPair, pkiPem } from '../testing/pki.ts'
import { pkiRootOf, readAuthorities } from './pki-root.ts'
import { readTrustRoot } from './trust-root.ts'

let corp: Corporation

before(async () => {
  corp = await createCorporation()
})

function namesIn(pem: string): readonly string[] {
  const read = readAuthorities(pem)
  if ('problem' in read) assert.fail(read.problem)
  return read.map(({ chain }) => chain.map(({ subjectName }) => subjectName).join(' < '))
}

function problemOf(pem: string): string {
  const read = readAuthorities(pem)
  return 'problem' in read ? read.problem : assert.fail('it was read')
}

suite('authorities of one’s own PKI', () => {
  test('in any order, twice, and with text between them', () => {
    const sub = createPkiAuthority('Sub', { issuer: corp.issuing })
    const pem = pkiPem([sub, corp.issuing, corp.issuing, corp.root])
    const expected = [
      'CN=Root,O=Acme',
      'CN=Issuing,O=Acme < CN=Root,O=Acme',
      'CN=Sub,O=Acme < CN=Issuing,O=Acme < CN=Root,O=Acme',
    ]
    assert.deepEqual(namesIn(pem), expected)
    const commented = pem.replaceAll('-----BEGIN', 'subject=O = Acme\n\n-----BEGIN').replaceAll('\n', '\r\n')
    assert.deepEqual(namesIn(commented), expected)
  })

  test('two generations of one name, and a root that another certified', () => {
    const next = createPkiAuthority('Root')
    const crossed = createPkiAuthority('Root', { issuer: corp.root, keyPair: next.keyPair })
    assert.equal(namesIn(pkiPem([corp.root, next, crossed])).length, 3)
  })

  const faults: readonly (readonly [string, () => string, RegExp])[] = [
    ['nothing', () => '', /no PEM certificates/],
    ['no PEM', () => 'acme', /no PEM certificates/],
    ['half a file', () => pkiPem([corp.root]).slice(0, -30), /damaged/],
    ['a public key', () => toPem(Buffer.from('k'), 'PUBLIC KEY'), /PEM block of type PUBLIC KEY/],
    ['a private key', () => pkiPem([corp.root]) + toPem(Buffer.from('k'), 'EC PRIVATE KEY'), /PRIVATE key/],
    ['no certificate', () => toPem(Buffer.from('k')), /certificate 1 is not readable/],
    [
      'a signer',
      () => pkiPem([corp.root, createPkiSigner(corp.root)]),
      /certificate 2 \(CN=release,O=Acme\) is no certificate authority/,
    ],
    ['an intermediate alone', () => pkiPem([corp.issuing]), /no root/],
    [
      'an intermediate of another root',
      () => pkiPem([createPkiAuthority('Other'), corp.issuing]),
      /found CN=Issuing,O=Acme without a chain to a root, expected CN=Root,O=Acme in the same file/,
    ],
    [
      'an intermediate of another root of the same name',
      () => pkiPem([createPkiAuthority('Root'), corp.issuing]),
      /without a chain to a root/,
    ],
    [
      'a root that did not sign itself',
      () => pkiPem([createPkiAuthority('Root', { issuer: { name: corp.root.name, keyPair: newKeyPair() } })]),
      /no root/,
    ],
    [
      'name constraints',
      () =>
        pkiPem([createPkiAuthority('Root', { extraExtensions: [{ oid: '2.5.29.30', value: sequence() }] })]),
      /name constraints/,
    ],
    [
      'an unknown critical extension',
      () =>
        pkiPem([
          createPkiAuthority('Root', {
            extraExtensions: [{ oid: '1.2.3.4', critical: true, value: nothing() }],
          }),
        ]),
      /unknown critical extension 1\.2\.3\.4/,
    ],
    [
      'an authority for TLS',
      () => pkiPem([createPkiAuthority('TLS', { purposes: [EXTENDED_KEY_USAGE.serverAuth] })]),
      /CN=TLS,O=Acme\) is not for code signing/,
    ],
    ['too many', () => pkiPem([corp.root]).repeat(65), /65 certificates, expected at most 64/],
    ['too large', () => ' '.repeat(2_000_000), /too large/],
  ]
  for (const [name, pem, problem] of faults) {
    test(`${name}: not read`, () => assert.match(problemOf(pem()), problem))
  }
})

suite('the trust root that they make', () => {
  function rootAt(times: Corporation['times']) {
    const read = readAuthorities(pkiPem([corp.root, corp.issuing]))
    if ('problem' in read) assert.fail(read.problem)
    const root = pkiRootOf('corp', read, times)
    return 'problem' in root ? assert.fail(root.problem) : root
  }

  test('has the logs and timestamp authorities of the other, and none of its certificate authorities', () => {
    const { material } = rootAt(corp.times)
    assert.deepEqual(material.tlogs, corp.times.material.tlogs)
    assert.equal(material.timestampAuthorities.length, 1)
    assert.deepEqual(material.ctlogs, [])
    const ders = material.certificateAuthorities.flatMap(({ certChain }) =>
      certChain.map(({ root }) => root.toDER()),
    )
    assert.deepEqual(ders, [corp.root.certificate, corp.issuing.certificate])
  })

  test('is made again from its document, and is none of Sigstore by it', () => {
    const { json, kind, version } = rootAt(corp.times)
    const again = readTrustRoot('corp', json, kind)
    assert.ok(!('problem' in again))
    assert.equal(again.version, version)
    const sigstores = readTrustRoot('corp', json)
    assert.ok(!('problem' in sigstores))
    assert.notEqual(sigstores.version, version)
  })

  test('changes with either part, and retires with the other root', async () => {
    const other = await createCorporation()
    assert.notEqual(rootAt(other.times).version, rootAt(corp.times).version)
    assert.equal(rootAt({ ...corp.times, isRetiring: true }).isRetiring, true)
  })
})
