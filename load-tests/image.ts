import { generateKeyPairSync, sign, type KeyObject } from 'node:crypto'
import type { Digest } from '../src/oci/digest.ts'
import { MEDIA_TYPE } from '../src/oci/manifest-types.ts'
import { buildImage, type BuiltImage, type BuiltIndex } from '../src/testing/images.ts'
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

function ordinaryImage(): BuiltImage {
  return buildImage({
    layers: Array.from({ length: LAYERS }, (_, layer) => ({ [`file-${layer}`]: `layer ${layer}\n` })),
  })
}

export type ImageSigner = {
  /** PEM. */
  readonly publicKey: string
  readonly privateKey: KeyObject
}

export function createSigner(): ImageSigner {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return { publicKey: publicKey.export({ type: 'spki', format: 'pem' }).toString(), privateKey }
}

type What = { readonly image?: BuiltImage | BuiltIndex; readonly signer?: ImageSigner }

/**
 * An image with a signature where cosign 2 puts it. Unless given: of ordinary shape, one manifest and twelve layers, and
 * signed by a fresh key.
 */
export async function pushSignedImage(
  host: string,
  repository: string,
  tag: string,
  { image = ordinaryImage(), signer = createSigner() }: What = {},
): Promise<SignedImage> {
  const target = { host, repository }
  await pushImage(target, tag, image)
  const { publicKey, privateKey } = signer
  const payload = simpleSigningPayload(`registry.test/${repository}`, image.digest)
  const signature = sign('sha256', payload, privateKey).toString('base64')
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
