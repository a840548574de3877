import assert from 'node:assert/strict'
import { constants, generateKeyPairSync, sign } from 'node:crypto'
import { after, before, test } from 'node:test'
import type { KeyPair } from '../../src/testing/certificate.ts'
import { attachBundle } from '../../src/testing/evidence.ts'
import { managedSigner } from '../../src/testing/sigstore.ts'
import { publish, startHarness, uniqueImage, type Harness } from './harness.ts'

/**
 * Bundles with a signature over the manifest itself, by keys of which the digest in the bundle is not enough: the
 * verifier must be given the manifest's bytes.
 */

type Case = {
  readonly pair: KeyPair
  readonly signData: (data: Buffer) => Buffer
  readonly options: object
}

const P384 = generateKeyPairSync('ec', { namedCurve: 'secp384r1' })
const RSA = generateKeyPairSync('rsa', { modulusLength: 2048 })
const ED25519 = generateKeyPairSync('ed25519')
const CASES: Readonly<Record<string, Case>> = {
  ed25519: { pair: ED25519, signData: (data) => sign(null, data, ED25519.privateKey), options: {} },
  p384: { pair: P384, signData: (data) => sign('sha384', data, P384.privateKey), options: {} },
  pss: {
    pair: RSA,
    signData: (data) =>
      sign('sha256', data, {
        key: RSA.privateKey,
        padding: constants.RSA_PKCS1_PSS_PADDING,
        saltLength: constants.RSA_PSS_SALTLEN_DIGEST,
      }),
    options: { padding: 'pss' },
  },
}

let harness: Harness

before(async () => {
  harness = await startHarness()
  const documents = Object.entries(CASES).map(([name, { pair, options }]) => {
    const data = pair.publicKey.export({ format: 'pem', type: 'spki' }).toString()
    const key = { data, transparencyLog: 'required', trustRoot: 'test', ...options }
    const images = [{ glob: `${harness.registry.host}/${name}/**` }]
    const spec = { mode: 'enforce', images, authorities: [{ name, key }] }
    return JSON.stringify({
      apiVersion: 'portcullis.dev/v1alpha1',
      kind: 'ImagePolicy',
      metadata: { name },
      spec,
    })
  })
  await harness.editPolicies((text) => [text, ...documents].join('\n---\n'))
  await harness.restart()
})
after(async () => await harness[Symbol.asyncDispose]())

for (const [name, { pair, signData }] of Object.entries(CASES)) {
  test(`a signature over the manifest by ${name}: served; over another manifest: refused`, async () => {
    const statusOf = async (repository: string, signed: (manifest: Buffer) => Buffer): Promise<number> => {
      const place = publish(harness, { repository, image: uniqueImage(repository) })
      const payload = signed(place.image.manifest)
      attachBundle(place, await harness.sigstore.message(payload, managedSigner(pair, signData)))
      return (await harness.get(`/v2/${repository}/manifests/v1`)).status
    }
    assert.equal(await statusOf(`${name}/own`, (manifest) => manifest), 200)
    assert.equal(await statusOf(`${name}/other`, () => uniqueImage(`other ${name}`).manifest), 403)
  })
}
