import assert from 'node:assert/strict'
import { createHash, generateKeyPairSync, X509Certificate } from 'node:crypto'
import { before, describe, test } from 'node:test'
import { bundleFromJSON, type Bundle } from '@sigstore/bundle'
import { TrustedRoot } from '@sigstore/protobuf-specs'
import { toSignedEntity, toTrustMaterial, Verifier } from '@sigstore/verify'
import { bundleJson, cosignLayer } from './cosign-layer.ts'
import { createSigstore, managedSigner, type MintOptions, type Sigstore, type Signer } from './sigstore.ts'
import { cosignSignStatement, simpleSigningPayload, slsaStatement } from './statements.ts'

const IDENTITY = {
  subject: 'https://github.com/o/r/.github/workflows/release.yml@refs/heads/main',
  issuer: 'https://token.actions.githubusercontent.com',
  claims: { 5: 'o/r', 12: 'https://github.com/o/r' },
}
const HEX = 'ab'.repeat(32)
const PAYLOAD = simpleSigningPayload('registry.test/app', `sha256:${HEX}`)
const STATEMENT = slsaStatement({ name: 'registry.test/app', sha256: HEX })
const KEY_PAIR = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })

let sigstore: Sigstore
before(async () => {
  sigstore = await createSigstore()
})

type Thresholds = { tlogThreshold?: number; timestampThreshold?: number; ctlogThreshold?: number }

/** Verifies what a registry would hold: JSON that went through text. */
function verify(
  bundle: Bundle,
  from = sigstore,
  thresholds: Thresholds = {},
): ReturnType<Verifier['verify']> {
  const trusted = TrustedRoot.fromJSON(JSON.parse(from.trustedRootJson()))
  const keys = () => ({ publicKey: KEY_PAIR.publicKey, validFor: () => true })
  const verifier = new Verifier(toTrustMaterial(trusted, keys), thresholds)
  const restored = bundleFromJSON(JSON.parse(bundleJson(bundle).toString()))
  const isMessage = restored.content.$case === 'messageSignature'
  return verifier.verify(toSignedEntity(restored, isMessage ? PAYLOAD : undefined))
}

describe('what is minted verifies', () => {
  const keyless = () => sigstore.keyless(IDENTITY)
  const key = () => managedSigner(KEY_PAIR)
  const message = (signer: Signer, options?: MintOptions) => sigstore.message(PAYLOAD, signer, options)
  const dsse = (signer: Signer, options?: MintOptions) => sigstore.dsse(STATEMENT, signer, options)
  const cases: [string, () => Promise<Bundle>, Thresholds?][] = [
    ['keyless message', () => message(keyless())],
    ['keyless message, timestamp', () => message(keyless(), { timestamp: true })],
    ['keyless message, proof and timestamp', () => message(keyless(), { promise: false, timestamp: true })],
    ['keyless message, Rekor v2', () => message(keyless(), { log: 2 })],
    [
      'keyless message, timestamp only',
      () => message(keyless(), { log: 0, timestamp: true }),
      { tlogThreshold: 0 },
    ],
    ['keyless DSSE', () => dsse(keyless())],
    ['keyless DSSE, intoto 0.0.2', () => dsse(keyless(), { intoto002: true })],
    ['keyless DSSE, Rekor v2', () => dsse(keyless(), { log: 2 })],
    [
      'cosign sign statement',
      () => sigstore.dsse(cosignSignStatement(`sha256:${HEX}`), keyless(), { log: 2 }),
    ],
    ['key message', () => message(key())],
    ['key message, Rekor v2', () => message(key(), { log: 2 })],
    ['key DSSE', () => dsse(key())],
    ['key message, no log', () => message(key(), { log: 0 }), { tlogThreshold: 0, timestampThreshold: 0 }],
  ]
  for (const [name, mint, thresholds] of cases) {
    test(name, async () => {
      const bundle = await mint()
      assert.equal(bundle.mediaType, 'application/vnd.dev.sigstore.bundle.v0.3+json')
      verify(bundle, sigstore, thresholds)
    })
  }
})

describe('what is forged does not', () => {
  test('another Sigstore trusts none of it', async () => {
    const other = await createSigstore()
    const bundle = await sigstore.message(PAYLOAD, sigstore.keyless(IDENTITY), { timestamp: true })
    assert.throws(() => verify(bundle, other))
  })
  test('intoto 0.0.1 is minted, though @sigstore/verify knows only 0.0.2', async () => {
    const bundle = await sigstore.dsse(STATEMENT, sigstore.keyless(IDENTITY), { intoto001: true })
    assert.throws(() => verify(bundle), /unsupported intoto version/)
  })
  test('a promise alone, which bundle v0.3 does not allow', async () => {
    const bundle = await sigstore.message(PAYLOAD, sigstore.keyless(IDENTITY), { proof: false })
    assert.throws(() => verify(bundle), /invalid bundle/)
  })
  test('a certificate without SCT', async () => {
    const signer = sigstore.keyless({ ...IDENTITY, leaf: { sct: false } })
    const bundle = await sigstore.message(PAYLOAD, signer)
    assert.throws(() => verify(bundle))
    verify(bundle, sigstore, { ctlogThreshold: 0 })
  })
  test('a timestamp over other bytes', async () => {
    const bundle = await sigstore.message(PAYLOAD, sigstore.keyless(IDENTITY), {
      log: 2,
      timestampOver: Buffer.from('other'),
    })
    assert.throws(() => verify(bundle), /timestamp/)
  })
  test('a forged body is logged as forged', async () => {
    const bundle = await sigstore.message(PAYLOAD, sigstore.keyless(IDENTITY), {
      mutateBody: (body) => {
        if (body.kind === 'hashedrekord' && body.apiVersion === '0.0.1') {
          body.spec.data.hash.value = '00'.repeat(32)
        }
      },
    })
    assert.throws(() => verify(bundle), /digest mismatch/)
  })
})

describe('certificates', () => {
  const leafOf = async (identity: Parameters<Sigstore['keyless']>[0]) => {
    const { key } = await sigstore.keyless(identity).sign(PAYLOAD)
    assert.equal(key.$case, 'x509Certificate')
    return new X509Certificate(key.$case === 'x509Certificate' ? key.certificate : '')
  }
  test('an ordinary leaf', async () => {
    const leaf = await leafOf(IDENTITY)
    assert.equal(leaf.subjectAltName, `URI:${IDENTITY.subject}`)
    assert.deepEqual(leaf.keyUsage, ['1.3.6.1.5.5.7.3.3'])
    const [intermediate, root] = sigstore.fulcio.chain.map((der) => new X509Certificate(der))
    assert.ok(intermediate !== undefined && root !== undefined)
    assert.ok(leaf.checkIssued(intermediate) && leaf.verify(intermediate.publicKey))
    assert.ok(intermediate.checkIssued(root) && intermediate.verify(root.publicKey))
  })
  test('names of every type', async () => {
    const name = async (subject: string, subjectType?: 'dns' | 'username') =>
      (await leafOf({ ...IDENTITY, subject, ...(subjectType === undefined ? {} : { subjectType }) }))
        .subjectAltName
    assert.equal(await name('a@example.test'), 'email:a@example.test')
    assert.equal(await name('example.test', 'dns'), 'DNS:example.test')
    assert.match((await name('robot!org', 'username')) ?? '', /^othername:/)
  })
  test('leaves that Fulcio would never issue', async () => {
    const without = await leafOf({ ...IDENTITY, leaf: { extendedKeyUsages: [] } })
    assert.equal(without.keyUsage, undefined)
    const server = await leafOf({ ...IDENTITY, leaf: { extendedKeyUsages: ['1.3.6.1.5.5.7.3.1'] } })
    assert.deepEqual(server.keyUsage, ['1.3.6.1.5.5.7.3.1'])
    const extraNames = [{ type: 'email', value: 'evil@x' } as const]
    const two = await leafOf({ ...IDENTITY, leaf: { extraNames } })
    assert.equal(two.subjectAltName, `URI:${IDENTITY.subject}, email:evil@x`)
    const extraExtensions = [{ oid: '1.2.3.4.5', critical: true, value: Buffer.of(5, 0) }]
    const critical = await leafOf({ ...IDENTITY, leaf: { extraExtensions } })
    assert.ok(critical.raw.includes(Buffer.from('06042a0304050101ff', 'hex')))
    const p384 = await leafOf({ ...IDENTITY, leaf: { curve: 'P-384' } })
    assert.equal(p384.publicKey.asymmetricKeyDetails?.namedCurve, 'secp384r1')
  })
})

test('time comes from the caller', async () => {
  const time = new Date('2024-05-06T07:08:09.123Z')
  const past = await createSigstore({ now: () => time })
  const bundle = await past.message(PAYLOAD, past.keyless(IDENTITY), { timestamp: true })
  verify(bundle, past)
  assert.equal(bundle.verificationMaterial.tlogEntries[0]?.integratedTime, '1714979289')
})

test('the same entry again is another leaf, and every proof holds as the log grows', async () => {
  const indexes = new Set<string>()
  for (let round = 0; round < 30; round++) {
    const bundle = await sigstore.message(PAYLOAD, managedSigner(KEY_PAIR), { log: round % 2 === 0 ? 1 : 2 })
    verify(bundle)
    const [entry] = bundle.verificationMaterial.tlogEntries
    indexes.add(`${entry?.logId.keyId.toString('hex')} ${entry?.logIndex}`)
  }
  assert.equal(indexes.size, 30)
})

test('layers as cosign 2 attaches them', async () => {
  const signature = cosignLayer(
    await sigstore.message(PAYLOAD, sigstore.keyless(IDENTITY), { timestamp: true }),
    PAYLOAD,
  )
  assert.equal(signature.mediaType, 'application/vnd.dev.cosign.simplesigning.v1+json')
  assert.deepEqual(Object.keys(signature.annotations).toSorted(), [
    'dev.cosignproject.cosign/signature',
    'dev.sigstore.cosign/bundle',
    'dev.sigstore.cosign/certificate',
    'dev.sigstore.cosign/rfc3161timestamp',
  ])
  const attestation = cosignLayer(await sigstore.dsse(STATEMENT, managedSigner(KEY_PAIR)), PAYLOAD)
  const logged: { Payload: { body: string } } = JSON.parse(
    attestation.annotations['dev.sigstore.cosign/bundle'] ?? '',
  )
  const body: { spec: { envelopeHash: { value: string } } } = JSON.parse(
    Buffer.from(logged.Payload.body, 'base64').toString(),
  )
  const hash = createHash('sha256').update(attestation.bytes).digest('hex')
  assert.equal(body.spec.envelopeHash.value, hash)
  assert.equal(attestation.annotations['predicateType'], STATEMENT.predicateType)
})
