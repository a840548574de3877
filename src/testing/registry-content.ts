import { digestOf, parseDigest, type Digest } from '../oci/digest.ts'
import { MEDIA_TYPE } from '../oci/manifest-types.ts'

export type StoredManifest = { readonly digest: Digest; readonly bytes: Buffer; readonly mediaType: string }

/** What a test registry holds. Repositories come into being with the first thing that is put into them. */
export type RegistryContent = {
  /** Without `repository` the blob is in every repository. */
  putBlob(bytes: Uint8Array, repository?: string): Digest
  blob(repository: string, digest: Digest): Buffer | undefined
  /** An object is stored as JSON. `reference` is a tag, or undefined for a manifest that only its digest names. */
  putManifest(
    repository: string,
    reference: string | undefined,
    manifest: object | Uint8Array,
    mediaType?: string,
  ): Digest
  manifest(repository: string, reference: string): StoredManifest | undefined
  tag(repository: string, tag: string, digest: Digest): void
  untag(repository: string, tag: string): void
  /** Sorted; undefined where the repository is unknown. */
  tags(repository: string): string[] | undefined
  /** Descriptors of the manifests whose subject is `subject`, in the order they were put. */
  referrers(repository: string, subject: Digest): ReferrerDescriptor[]
}

export type ReferrerDescriptor = {
  readonly mediaType: string
  readonly digest: Digest
  readonly size: number
  readonly artifactType?: string
  readonly annotations?: Readonly<Record<string, string>>
}

type ManifestJson = {
  readonly mediaType?: string
  readonly artifactType?: string
  readonly annotations?: Record<string, string>
  readonly subject?: { readonly digest?: string }
  readonly config?: { readonly mediaType?: string }
  readonly layers?: readonly { readonly digest: string }[]
  readonly manifests?: readonly { readonly digest: string }[]
}

type RepositoryContent = {
  readonly blobs: Map<Digest, Buffer>
  readonly manifests: Map<Digest, StoredManifest>
  readonly tags: Map<string, Digest>
}

export function createRegistryContent(): RegistryContent {
  const everywhere = new Map<Digest, Buffer>()
  const repositories = new Map<string, RepositoryContent>()
  const open = (name: string): RepositoryContent => {
    const found = repositories.get(name)
    if (found !== undefined) return found
    const created = { blobs: new Map(), manifests: new Map(), tags: new Map() }
    repositories.set(name, created)
    return created
  }
  return {
    putBlob: (bytes, repository) => {
      const digest = digestOf(bytes)
      const blobs = repository === undefined ? everywhere : open(repository).blobs
      blobs.set(digest, Buffer.from(bytes))
      return digest
    },
    blob: (repository, digest) => repositories.get(repository)?.blobs.get(digest) ?? everywhere.get(digest),
    putManifest: (repository, reference, manifest, mediaType) => {
      const bytes =
        manifest instanceof Uint8Array ? Buffer.from(manifest) : Buffer.from(JSON.stringify(manifest))
      const digest = digestOf(bytes)
      const { manifests, tags } = open(repository)
      const type = mediaType ?? readManifest(bytes).mediaType ?? MEDIA_TYPE.ociManifest
      manifests.set(digest, { digest, bytes, mediaType: type })
      if (reference !== undefined && parseDigest(reference) === undefined) tags.set(reference, digest)
      return digest
    },
    manifest: (repository, reference) => {
      const found = repositories.get(repository)
      const digest = parseDigest(reference) ?? found?.tags.get(reference)
      return digest === undefined ? undefined : found?.manifests.get(digest)
    },
    tag: (repository, tag, digest) => void open(repository).tags.set(tag, digest),
    untag: (repository, tag) => void repositories.get(repository)?.tags.delete(tag),
    tags: (repository) => {
      const found = repositories.get(repository)
      return found === undefined ? undefined : [...found.tags.keys()].toSorted()
    },
    referrers: (repository, subject) =>
      [...(repositories.get(repository)?.manifests.values() ?? [])].flatMap((manifest) =>
        readManifest(manifest.bytes).subject?.digest === subject ? [referrerDescriptor(manifest)] : [],
      ),
  }
}

/** distribution-spec 1.1 "Listing Referrers": type of the config where the manifest names none of its own. */
export function referrerDescriptor({
  bytes,
  digest,
  mediaType,
}: Pick<StoredManifest, 'bytes' | 'digest' | 'mediaType'>): ReferrerDescriptor {
  const manifest = readManifest(bytes)
  const artifactType = manifest.artifactType ?? manifest.config?.mediaType
  return {
    mediaType,
    digest,
    size: bytes.length,
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(manifest.annotations === undefined ? {} : { annotations: manifest.annotations }),
  }
}

/** Tests also store what is no manifest at all. */
export function readManifest(bytes: Buffer): ManifestJson {
  try {
    const value: unknown = JSON.parse(bytes.toString())
    return typeof value === 'object' && value !== null ? value : {}
  } catch {
    return {}
  }
}
