import { createPrivateKey, generateKeyPairSync, sign } from 'node:crypto'
import type { Digest } from '../src/oci/digest.ts'
import { MEDIA_TYPE } from '../src/oci/manifest-types.ts'
import { buildImage } from '../src/testing/images.ts'
import { simpleSigningPayload } from '../src/testing/statements.ts'
import { pushBlob, pushImage, pushManifest } from '../test/e2e/harness/push.ts'

const SIMPLE_SIGNING = 'application/vnd.dev.cosign.simplesigning.v1+json'
const LAYERS = 12

export type SignedImage = {
  readonly repository: string
  readonly tag: string
  readonly digest: Digest
  readonly manifest: Buffer
  /** Of the key that signed it, PEM. */
  readonly publicKey: string
}

/** An image of ordinary shape (one manifest, twelve layers) with a signature by a fresh key where cosign 2 puts it. */
export async function pushSignedImage(host: string, repository: string, tag: string): Promise<SignedImage> {
  const target = { host, repository }
  const layers = Array.from({ length: LAYERS }, (_, layer) => ({ [`file-${layer}`]: `layer ${layer}\n` }))
  const image = buildImage({ layers })
  await pushImage(target, tag, image)

  const { publicKey, privateKey } = generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  })
  const payload = simpleSigningPayload(`registry.test/${repository}`, image.digest)
  const signature = sign('sha256', payload, createPrivateKey(privateKey)).toString('base64')
  const config = Buffer.from(
    JSON.stringify({ architecture: '', os: '', config: {}, rootfs: { type: 'layers' } }),
  )
  const manifest = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.ociManifest,
    config: {
      mediaType: 'application/vnd.oci.image.config.v1+json',
      digest: await pushBlob(target, config),
      size: config.length,
    },
    layers: [
      {
        mediaType: SIMPLE_SIGNING,
        digest: await pushBlob(target, payload),
        size: payload.length,
        annotations: { 'dev.cosignproject.cosign/signature': signature },
      },
    ],
  }
  const signatureTag = `${image.digest.replace(':', '-')}.sig`
  const bytes = Buffer.from(JSON.stringify(manifest))
  await pushManifest(target, signatureTag, { bytes, mediaType: MEDIA_TYPE.ociManifest })
  return { repository, tag, digest: image.digest, manifest: image.manifest, publicKey }
}
