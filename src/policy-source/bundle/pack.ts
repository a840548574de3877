import { digestOf, digestParts, type Digest } from '../../oci/digest.ts'
import { MEDIA_TYPE } from '../../oci/manifest-types.ts'
import { parseManifest } from '../../oci/manifest.ts'
import type { PolicyFiles } from '../source.ts'
import { ARTIFACT_TYPE, EXPIRES, LAYER_TYPE, readBundleManifest, SERIAL, TITLE } from './format.ts'

export type PackOptions = {
  readonly serial: number
  /** RFC 3339. */
  readonly expires: string | undefined
  /** Under which copying tools find the bundle in the layout. */
  readonly tag: string
}

export type Packed =
  | {
      readonly ok: true
      readonly digest: Digest
      /** By path in the layout. */
      readonly files: ReadonlyMap<string, Buffer>
    }
  | { readonly ok: false; readonly problem: string }

/** OCI image-spec 1.1, manifest.md, "Guidance for an Empty Descriptor". */
const EMPTY = Buffer.from('{}')
const EMPTY_TYPE = 'application/vnd.oci.empty.v1+json'
const REF_NAME = 'org.opencontainers.image.ref.name'

/** The bundle as an OCI image layout. The same files and options always give the same bytes, and so the same digest. */
export function packBundle({ policies, keys }: PolicyFiles, { serial, expires, tag }: PackOptions): Packed {
  const entries = [
    ...policies.map(({ path, text }) => ({ path, text, mediaType: LAYER_TYPE.policy })),
    ...[...keys].map(([path, text]) => ({ path, text, mediaType: LAYER_TYPE.key })),
  ].toSorted((a, b) => (a.path < b.path ? -1 : 1))
  const layers = entries.map(({ path, text, mediaType }) => {
    const bytes = Buffer.from(text)
    return { bytes, descriptor: { ...describe(mediaType, bytes), annotations: { [TITLE]: path } } }
  })
  const manifest = json({
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.ociManifest,
    artifactType: ARTIFACT_TYPE,
    config: describe(EMPTY_TYPE, EMPTY),
    layers: layers.map(({ descriptor }) => descriptor),
    annotations: { [SERIAL]: String(serial), ...(expires === undefined ? {} : { [EXPIRES]: expires }) },
  })
  // Whoever takes it will be as strict.
  const contents = readBundleManifest(parseManifest(manifest, MEDIA_TYPE.ociManifest))
  if (!contents.ok) return contents
  const blobs = [EMPTY, ...layers.map(({ bytes }) => bytes), manifest]
  return {
    ok: true,
    digest: digestOf(manifest),
    files: new Map([
      ...blobs.map((bytes) => [blobPath(digestOf(bytes)), bytes] as const),
      ['oci-layout', json({ imageLayoutVersion: '1.0.0' })],
      ['index.json', indexOf(manifest, tag)],
    ]),
  }
}

function indexOf(manifest: Buffer, tag: string): Buffer {
  const descriptor = {
    ...describe(MEDIA_TYPE.ociManifest, manifest),
    artifactType: ARTIFACT_TYPE,
    annotations: { [REF_NAME]: tag },
  }
  return json({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: [descriptor] })
}

function describe(mediaType: string, bytes: Buffer): { mediaType: string; digest: Digest; size: number } {
  return { mediaType, digest: digestOf(bytes), size: bytes.length }
}

function blobPath(digest: Digest): string {
  const { algorithm, hex } = digestParts(digest)
  return `blobs/${algorithm}/${hex}`
}

function json(value: object): Buffer {
  return Buffer.from(JSON.stringify(value))
}
