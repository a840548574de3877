import type { Digest } from './digest.ts'

/** OCI image-spec 1.1 descriptor.md. Everything in it is controlled by whoever pushed the manifest. */
export type Descriptor = {
  readonly mediaType: string
  readonly digest: Digest
  /** Bytes. */
  readonly size: number
  readonly annotations: Readonly<Record<string, string>>
  readonly artifactType?: string
  /** Other places to get the bytes from; containerd tries them before the registry. */
  readonly urls?: readonly string[]
  readonly platform?: { readonly os: string; readonly architecture: string; readonly variant?: string }
}

type Common = {
  /** The media type that the body names (or implies); what is sent as Content-Type. */
  readonly mediaType: string
  readonly artifactType?: string
  readonly subject?: Descriptor
  readonly annotations: Readonly<Record<string, string>>
}

type ImageManifest = Common & {
  readonly kind: 'image'
  readonly config: Descriptor
  readonly layers: readonly Descriptor[]
}

type ImageIndex = Common & {
  readonly kind: 'index'
  readonly manifests: readonly Descriptor[]
}

export type Manifest = ImageManifest | ImageIndex

/** Bytes from upstream. Matches containerd's and containers/image's own limit, so nothing larger is ever usable. */
export const MANIFEST_BYTES_MAX = 4 * 1024 * 1024

export const MEDIA_TYPE = {
  ociIndex: 'application/vnd.oci.image.index.v1+json',
  ociManifest: 'application/vnd.oci.image.manifest.v1+json',
  dockerList: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
} as const
