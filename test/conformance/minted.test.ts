import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, suite, test } from 'node:test'
import { bundleToJSON, type Bundle } from '@sigstore/bundle'
import { verifyBundleCommand } from '../../src/cli/verify-bundle.ts'
import { createSigstore, managedSigner } from '../../src/testing/sigstore.ts'
import { IDENTITY, IMAGE, STATEMENT } from '../../src/testing/verification.ts'
import { asIs, damaged, edited, type Case, type Json } from './minted-case.ts'
import { logCases } from './minted-log-cases.ts'

/**
 * Cases as the public sigstore-conformance suite has them, minted anew: `_fail` must be refused, all others accepted.
 * Those that need its own bundles are in conformance.test.ts.
 */

const PAIR = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
const PEM = PAIR.publicKey.export({ format: 'pem', type: 'spki' }).toString()
const NOON = new Date('2026-01-01T12:00:00Z')
const later = (minutes: number): Date => new Date(NOON.getTime() + minutes * 60_000)

let now = NOON
const sigstore = await createSigstore({ now: () => now })
const directory = mkdtempSync(join(tmpdir(), 'portcullis-conformance-'))
after(() => rmSync(directory, { recursive: true }))

const signer = () => sigstore.keyless(IDENTITY)
const message = (mint = {}) => sigstore.message(IMAGE, signer(), mint)
const intoto = (mint = {}) => sigstore.dsse(STATEMENT, signer(), mint)

/** Signs now and has the signature witnessed at another time. */
async function witnessedAt(time: Date, mint: object): Promise<Bundle> {
  const inner = signer()
  try {
    return await sigstore.dsse(
      STATEMENT,
      {
        sign: async (data) => {
          const signed = await inner.sign(data)
          now = time
          return signed
        },
      },
      mint,
    )
  } finally {
    now = NOON
  }
}

/** The trusted root in which logs or timestamp authorities are valid until the given time. */
function until(end: Date): object {
  const root = sigstore.trustedRoot()
  return {
    ...root,
    tlogs: root.tlogs.map((log) => {
      const validFor = { ...log.publicKey.validFor, end: end.toISOString() }
      return { ...log, publicKey: { ...log.publicKey, validFor } }
    }),
    timestampAuthorities: root.timestampAuthorities.map((authority) => ({
      ...authority,
      validFor: { ...authority.validFor, end: end.toISOString() },
    })),
  }
}

function toVersion(version: '0.1' | '0.2' | '0.3', json: Json): void {
  json.mediaType = `application/vnd.dev.sigstore.bundle+json;version=${version}`
  const { certificate, ...material } = json.verificationMaterial
  if (version === '0.3') return
  assert.ok(certificate !== undefined)
  Object.assign(json, {
    verificationMaterial: { ...material, x509CertificateChain: { certificates: [certificate] } },
  })
}

const HAPPY: readonly Case[] = [
  ['happy-path', async () => asIs(await message())],
  ['happy-path-v0.1', async () => edited(await message(), (json) => toVersion('0.1', json))],
  [
    'happy-path-v0.1-promise-only',
    async () => edited(await message({ proof: false }), (json) => toVersion('0.1', json)),
  ],
  ['happy-path-v0.2', async () => edited(await message(), (json) => toVersion('0.2', json))],
  ['happy-path-v0.3', async () => edited(await message(), (json) => toVersion('0.3', json))],
  ['intoto-with-custom-trust-root', async () => asIs(await intoto())],
  [
    'managed-key-and-trusted-root',
    async () => ({ ...asIs(await sigstore.message(IMAGE, managedSigner(PAIR))), key: PEM }),
  ],
  ['rekor2-happy-path', async () => asIs(await message({ log: 2 }))],
  ['rekor2-dsse-happy-path', async () => asIs(await intoto({ log: 2 }))],
  [
    'rekor2-timestamp-validity-end-inclusive',
    async () => ({ ...asIs(await message({ log: 2 })), trustedRoot: until(NOON) }),
  ],
]

const SIGNATURES: readonly Case[] = [
  [
    'signature-mismatch_fail',
    async () => ({ ...asIs(await message()), artifact: Buffer.from('another image') }),
  ],
  [
    'invalid-base64-signature_fail',
    async () => edited(await message(), (json) => (json.messageSignature!.signature = 'not base64!')),
  ],
  [
    'invalid-signature_fail',
    async () =>
      edited(await message(), ({ messageSignature: content }) => {
        content!.signature = damaged(content!.signature)
      }),
  ],
  [
    'message-digest-mismatch_fail',
    async () =>
      edited(await message(), ({ messageSignature: content }) => {
        const { messageDigest } = content!
        messageDigest!.digest = damaged(messageDigest!.digest)
      }),
  ],
  [
    'dsse-multiple-signatures_fail',
    async () =>
      edited(await intoto(), ({ dsseEnvelope }) => {
        dsseEnvelope!.signatures.push(...structuredClone(dsseEnvelope!.signatures))
      }),
  ],
  [
    'dsse-invalid-sig_fail',
    async () =>
      edited(await intoto(), ({ dsseEnvelope }) => {
        const [signature] = dsseEnvelope!.signatures
        signature!.sig = damaged(signature!.sig)
      }),
  ],
  [
    'bundle-with-root-cert_fail',
    async () =>
      edited(await intoto(), (json) => {
        toVersion('0.1', json)
        const root = sigstore.fulcio.chain.at(-1) ?? assert.fail('no root')
        json.verificationMaterial.x509CertificateChain!.certificates.push({
          rawBytes: root.toString('base64'),
        })
      }),
  ],
  [
    'managed-key-not-logged_fail',
    async () => ({
      bundle: bundleToJSON(await sigstore.message(IMAGE, managedSigner(PAIR), { log: 0 })),
      key: PEM,
    }),
  ],
  ['managed-key-signed-with-certificate_fail', async () => ({ ...asIs(await message()), key: PEM })],
]

const TIMES: readonly Case[] = [
  [
    'integrated-time-in-future_fail',
    async () =>
      edited(
        await intoto(),
        (_json, entry) => (entry.integratedTime = String(NOON.getTime() / 1000 + 86_400)),
      ),
  ],
  ['intoto-set-outside-cert-validity_fail', async () => asIs(await witnessedAt(later(11), {}))],
  ['intoto-set-before-cert-validity_fail', async () => asIs(await witnessedAt(later(-10), {}))],
  ['rekor2-timestamp-outside-cert-validity_fail', async () => asIs(await witnessedAt(later(11), { log: 2 }))],
  ['rekor2-no-tsa_fail', async () => asIs(await intoto({ log: 2, timestamp: false }))],
  [
    'rekor2-no-tsa-with-integrated-time_fail',
    async () =>
      edited(await intoto({ log: 2, timestamp: false }), (_json, entry) => {
        entry.integratedTime = String(NOON.getTime() / 1000)
      }),
  ],
  [
    'rekor2-timestamp-after-tsa-validity_fail',
    async () => ({ ...asIs(await message({ log: 2 })), trustedRoot: until(later(-1)) }),
  ],
  [
    'rekor2-timestamp-payload-mismatch_fail',
    async () => asIs(await intoto({ log: 2, timestampOver: Buffer.from('another signature') })),
  ],
  [
    'duplicate-timestamp_fail',
    async () =>
      edited(await intoto({ timestamp: true }), ({ verificationMaterial: { timestampVerificationData } }) => {
        const timestamps = timestampVerificationData?.rfc3161Timestamps ?? assert.fail('no timestamp')
        timestamps.push(...structuredClone(timestamps))
      }),
  ],
]

suite('sigstore-conformance, minted', () => {
  const cases = [...HAPPY, ...SIGNATURES, ...TIMES, ...logCases(sigstore)]
  for (const [index, [name, mint]] of cases.entries()) {
    const expected = name.endsWith('_fail') ? 'refused' : 'accepted'
    test(`${name} is ${expected}`, async () => {
      const { bundle, key, trustedRoot = sigstore.trustedRoot(), artifact = IMAGE } = await mint()
      const file = (kind: string, content: string | Buffer): string => {
        const path = join(directory, `${index}-${kind}`)
        writeFileSync(path, content)
        return path
      }
      const signedBy =
        key === undefined
          ? { certificateIdentity: IDENTITY.subject, certificateOidcIssuer: IDENTITY.issuer }
          : { key: file('key.pub', key) }
      let said = ''
      const code = await verifyBundleCommand(
        {
          bundle: file('bundle.json', JSON.stringify(bundle)),
          trustedRoot: file('trusted_root.json', JSON.stringify(trustedRoot)),
          artifact: file('artifact', artifact),
          ...signedBy,
        },
        { stdout: (text) => (said += text), stderr: (text) => (said += text) },
      )
      // 3 would be a broken command line, which refuses everything.
      assert.equal(code, expected === 'accepted' ? 0 : 1, said)
    })
  }
})
