import { gzipSync } from 'node:zlib'
import { digestOf, type Digest } from '../oci/digest.ts'
import { MEDIA_TYPE } from '../oci/manifest-types.ts'
import type { TestRegistry } from './registry.ts'
import { tarArchive } from './tar.ts'

type Files = Readonly<Record<string, string | Uint8Array>>

export type ImageOptions = {
  /** Path -> content: the only layer, unless `layers` says otherwise. */
  readonly files?: Files
  readonly layers?: readonly Files[]
  readonly architecture?: string
  readonly os?: string
  /** Default `oci`; `docker` is image manifest v2, schema 2. */
  readonly format?: 'oci' | 'docker'
  readonly annotations?: Readonly<Record<string, string>>
}

type BuiltLayer = { readonly bytes: Buffer; readonly digest: Digest; readonly diffId: Digest }

export type BuiltImage = {
  readonly kind: 'image'
  readonly manifest: Buffer
  readonly mediaType: string
  readonly digest: Digest
  readonly config: Buffer
  readonly layers: readonly BuiltLayer[]
  readonly platform: { readonly os: string; readonly architecture: string }
}

export type BuiltIndex = {
  readonly kind: 'index'
  readonly manifest: Buffer
  readonly mediaType: string
  readonly digest: Digest
  readonly images: readonly BuiltImage[]
}

const LAYER_TYPES = {
  oci: {
    manifest: MEDIA_TYPE.ociManifest,
    config: 'application/vnd.oci.image.config.v1+json',
    layer: 'application/vnd.oci.image.layer.v1.tar+gzip',
  },
  docker: {
    manifest: MEDIA_TYPE.dockerManifest,
    config: 'application/vnd.docker.container.image.v1+json',
    layer: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
  },
} as const

/** A small image that real clients pull and unpack. The same options always give the same bytes. */
export function buildImage(options: ImageOptions = {}): BuiltImage {
  const types = LAYER_TYPES[options.format ?? 'oci']
  const platform = { os: options.os ?? 'linux', architecture: options.architecture ?? 'amd64' }
  const contents = options.layers ?? [options.files ?? { 'hello.txt': 'hello\n' }]
  const layers = contents.map(buildLayer)
  const config = Buffer.from(
    JSON.stringify({
      created: '2026-01-01T00:00:00Z',
      ...platform,
      config: { Cmd: ['/hello'] },
      rootfs: { type: 'layers', diff_ids: layers.map((layer) => layer.diffId) },
      history: layers.map(() => ({ created: '2026-01-01T00:00:00Z', created_by: 'test' })),
    }),
  )
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: types.manifest,
      config: { mediaType: types.config, digest: digestOf(config), size: config.length },
      layers: layers.map(({ digest, bytes }) => ({ mediaType: types.layer, digest, size: bytes.length })),
      ...(options.annotations === undefined ? {} : { annotations: options.annotations }),
    }),
  )
  const digest = digestOf(manifest)
  return { kind: 'image', manifest, mediaType: types.manifest, digest, config, layers, platform }
}

function buildLayer(files: Files): BuiltLayer {
  const tar = tarArchive(files)
  const bytes = gzipSync(tar)
  return { bytes, digest: digestOf(bytes), diffId: digestOf(tar) }
}

export function buildIndex(images: readonly BuiltImage[], format: 'oci' | 'docker' = 'oci'): BuiltIndex {
  const mediaType = format === 'oci' ? MEDIA_TYPE.ociIndex : MEDIA_TYPE.dockerList
  const manifests = images.map(({ platform, ...image }) => ({ ...descriptorOf(image), platform }))
  const manifest = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, manifests }))
  return { kind: 'index', manifest, mediaType, digest: digestOf(manifest), images }
}

export type SubjectDescriptor = { readonly mediaType: string; readonly digest: Digest; readonly size: number }

export function descriptorOf(
  image: Pick<BuiltImage, 'mediaType' | 'digest' | 'manifest'>,
): SubjectDescriptor {
  return { mediaType: image.mediaType, digest: image.digest, size: image.manifest.length }
}

/** Puts blobs, manifests and, unless undefined, the tag; gives the digest of the image or index. */
export function publishImage(
  registry: TestRegistry,
  repository: string,
  tag: string | undefined,
  image: BuiltImage | BuiltIndex,
): Digest {
  if (image.kind === 'index') {
    for (const child of image.images) publishImage(registry, repository, undefined, child)
  } else {
    for (const bytes of [image.config, ...image.layers.map((layer) => layer.bytes)]) {
      registry.putBlob(bytes, repository)
    }
  }
  return registry.putManifest(repository, tag, image.manifest, image.mediaType)
}
