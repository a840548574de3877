import { Readable } from 'node:stream'
import { digestOf, digestParts, type Digest } from '../../oci/digest.ts'
import { MEDIA_TYPE } from '../../oci/manifest-types.ts'
import { referenceText } from '../../oci/reference.ts'
import { UpstreamError, type RegistryClient, type UpstreamErrorCode } from '../../upstream/types.ts'

export const SIMPLE_SIGNING = 'application/vnd.dev.cosign.simplesigning.v1+json'
export const DSSE = 'application/vnd.dsse.envelope.v1+json'
export const BUNDLE = 'application/vnd.dev.sigstore.bundle.v0.3+json'

export const SUBJECT: Digest = digestOf(Buffer.from('image'))

export function subjectTag(suffix: '' | '.sig' | '.att'): string {
  return `sha256-${digestParts(SUBJECT).hex}${suffix}`
}

export type TestLayer = {
  readonly mediaType: string
  readonly bytes: Buffer
  readonly annotations?: Readonly<Record<string, string>>
  /** A size that is not the true one. */
  readonly size?: number
}

type Entry = { readonly mediaType: string; readonly digest: Digest; readonly size: number }

export function entryOf(mediaType: string, bytes: Buffer): Entry {
  return { mediaType, digest: digestOf(bytes), size: bytes.length }
}

export function listOf(entries: readonly unknown[]): Buffer {
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: entries }))
}

function refuse(): Promise<never> {
  return Promise.reject(new TypeError('discovery has no use for this'))
}

/** A registry in memory: what is not in it is a 404, and `broken` keys answer with their error instead. */
export class MemoryRegistry {
  /** By digest or tag. */
  readonly manifests = new Map<string, Buffer>()
  readonly blobs = new Map<string, Buffer>()
  readonly broken = new Map<string, UpstreamErrorCode>()
  /** Every reference, digest and `referrers` that was asked for. */
  readonly asked: string[] = []
  /** Undefined: no referrers API. */
  pages: readonly Buffer[] | undefined

  readonly client: RegistryClient = {
    getManifest: async (_repository, reference) => {
      const bytes = await this.#take(this.manifests, referenceText(reference))
      return { digest: digestOf(bytes), contentType: '', bytes }
    },
    getBlob: async (_repository, digest) => {
      const bytes = await this.#take(this.blobs, digest)
      return { size: bytes.length, offset: 0, body: Readable.from([bytes]) }
    },
    getReferrers: async () => {
      await this.#ask('referrers')
      return this.pages
    },
    headTag: refuse,
    headBlob: refuse,
    locateBlob: refuse,
    getTags: refuse,
    close: () => Promise.resolve(),
  }

  putManifest(bytes: Buffer, tag?: string): Buffer {
    this.manifests.set(tag ?? digestOf(bytes), bytes)
    return bytes
  }

  /** An image manifest whose layers are stored; the manifest is not. */
  image(layers: readonly TestLayer[], subject?: Digest): Buffer {
    for (const { bytes } of layers) this.blobs.set(digestOf(bytes), bytes)
    const about =
      subject === undefined
        ? {}
        : { subject: { ...entryOf(MEDIA_TYPE.ociManifest, Buffer.alloc(5)), digest: subject } }
    const manifest = {
      schemaVersion: 2,
      mediaType: MEDIA_TYPE.ociManifest,
      config: entryOf('application/vnd.oci.empty.v1+json', Buffer.from('{}')),
      layers: layers.map(({ mediaType, bytes, ...rest }) => ({ ...entryOf(mediaType, bytes), ...rest })),
      ...about,
    }
    return Buffer.from(JSON.stringify(manifest))
  }

  /** Stores a manifest about the subject and gives its entry for a list. */
  referrer(
    layers: readonly TestLayer[],
    subject = SUBJECT,
    artifactType: string | undefined = BUNDLE,
  ): Entry {
    const entry = entryOf(MEDIA_TYPE.ociManifest, this.putManifest(this.image(layers, subject)))
    return artifactType === '' ? entry : Object.assign(entry, { artifactType })
  }

  async #take(held: ReadonlyMap<string, Buffer>, key: string): Promise<Buffer> {
    await this.#ask(key)
    const bytes = held.get(key)
    if (bytes === undefined) throw new UpstreamError('not-found', `${key}: not found`)
    return bytes
  }

  async #ask(key: string): Promise<void> {
    this.asked.push(key)
    const code = this.broken.get(key)
    if (code !== undefined) throw new UpstreamError(code, `${key}: ${code}`)
    await Promise.resolve()
  }
}
