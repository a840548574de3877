import { digestOf, type Digest } from '../../../src/oci/digest.ts'
import type { BuiltImage, BuiltIndex } from '../../../src/testing/images.ts'

/** A repository of a registry that takes pushes over plain HTTP. */
export type PushTarget = { readonly host: string; readonly repository: string }

async function expectStatus(response: Response, status: number): Promise<Response> {
  if (response.status === status) return response
  throw new Error(`${response.url} answered ${response.status}: ${await response.text()}`)
}

/** Pushes as any client does: POST for an upload, then one PUT with the whole blob (OCI distribution-spec 1.1). */
export async function pushBlob({ host, repository }: PushTarget, bytes: Buffer): Promise<Digest> {
  const digest = digestOf(bytes)
  const uploads = `http://${host}/v2/${repository}/blobs/uploads/`
  const opened = await expectStatus(await fetch(uploads, { method: 'POST' }), 202)
  const location = new URL(opened.headers.get('location') ?? '', uploads)
  location.searchParams.set('digest', digest)
  const headers = { 'content-type': 'application/octet-stream' }
  await expectStatus(await fetch(location, { method: 'PUT', body: new Uint8Array(bytes), headers }), 201)
  return digest
}

export async function pushManifest(
  { host, repository }: PushTarget,
  reference: string,
  { bytes, mediaType }: { bytes: Buffer; mediaType: string },
): Promise<void> {
  const url = `http://${host}/v2/${repository}/manifests/${reference}`
  const headers = { 'content-type': mediaType }
  await expectStatus(await fetch(url, { method: 'PUT', body: new Uint8Array(bytes), headers }), 201)
}

/** Pushes blobs, children and the manifest itself under `reference`, a tag or its own digest. */
export async function pushImage(
  target: PushTarget,
  reference: string,
  image: BuiltImage | BuiltIndex,
): Promise<Digest> {
  if (image.kind === 'index') {
    for (const child of image.images) await pushImage(target, child.digest, child)
  } else {
    for (const blob of [image.config, ...image.layers.map(({ bytes }) => bytes)]) await pushBlob(target, blob)
  }
  await pushManifest(target, reference, { bytes: image.manifest, mediaType: image.mediaType })
  return image.digest
}
