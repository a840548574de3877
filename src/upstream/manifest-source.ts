import { LRUCache } from 'lru-cache'
import { shareFlight } from '../flight.ts'
import type { Digest } from '../oci/digest.ts'
import type { ManifestFacts } from '../oci/manifest-facts.ts'
import { imageName, repositoryName, type ManifestReference, type Repository } from '../oci/reference.ts'
import type { ContentStore, StateStore } from '../store/types.ts'
import { NegativeAnswers, type NegativeAnswerTimes } from './negative-answers.ts'
import { TagResolver, type Believed, type TagResolverDeps } from './tag-resolver.ts'
import { UpstreamError, type RegistryClient, type UpstreamManifest, type Upstreams } from './types.ts'

/** A manifest whose bytes hash to `digest`. `parsed` says whether they mean exactly one thing. */
export type FetchedManifest = {
  readonly digest: Digest
  /** The buffer that was hashed, and the one that is sent. */
  readonly bytes: Buffer
  readonly parsed:
    | { readonly ok: true; readonly facts: ManifestFacts }
    | { readonly ok: false; readonly message: string }
  /** Settles when it is on disk, or cannot be; undefined where it need not be. Whoever serves it waits for that. */
  readonly kept?: Promise<void>
}

export type ManifestSourceDeps = Omit<TagResolverDeps, 'askUpstream' | 'state'> & {
  upstreams: Upstreams
  content: ContentStore
  state: TagResolverDeps['state'] & Pick<StateStore, 'manifestType' | 'addManifest'>
  parse: (bytes: Buffer, contentType: string | undefined) => Promise<FetchedManifest['parsed']>
  /** The time limit of work that several requests may share, and that no single one of them may cut short. */
  workLimit: () => AbortSignal
  memoryBytesMax: number
  /** Default: as in negative-answers.ts. */
  negativeAnswers?: Partial<NegativeAnswerTimes>
}

/** The digests that it names take as much as its bytes. */
const NAMED_FACTOR = 2
/** What an entry of the cache costs beside that. */
const ENTRY_BYTES = 1024
/** Milliseconds. */
const MALFORMED_TTL_MS = 30_000
const MALFORMED_MAX = 16

/** Steps 3 and 4 of a pull: from memory, then disk, then upstream; each miss once for all who wait for it. */
export class ManifestSource {
  readonly #deps: ManifestSourceDeps
  readonly #tags: TagResolver
  readonly #memory: LRUCache<string, FetchedManifest>
  /** Apart, and only for a moment: what is malformed may only have come under a wrong header. */
  readonly #malformed = new LRUCache<string, FetchedManifest>({ max: MALFORMED_MAX, ttl: MALFORMED_TTL_MS })
  readonly #flights = new Map<string, Promise<FetchedManifest>>()
  readonly #negative: NegativeAnswers

  constructor(deps: ManifestSourceDeps) {
    this.#deps = deps
    this.#negative = new NegativeAnswers(deps.now, deps.negativeAnswers)
    this.#tags = new TagResolver({ ...deps, askUpstream: (...tag) => this.#askForTag(...tag) })
    this.#memory = new LRUCache({
      maxSize: deps.memoryBytesMax,
      sizeCalculation: ({ bytes }) => bytes.length * NAMED_FACTOR + ENTRY_BYTES,
    })
  }

  /** Where it needs no asking: a digest, or a tag that was asked for lately. */
  believed(repository: Repository, reference: ManifestReference): Believed | undefined {
    return reference.kind === 'digest'
      ? { digest: reference.digest, holds: always }
      : this.#tags.believed(repository, reference)
  }

  /** Rejects with UpstreamError. */
  async resolve(repository: Repository, reference: ManifestReference): Promise<Digest> {
    return reference.kind === 'digest' ? reference.digest : await this.#tags.resolve(repository, reference)
  }

  inMemory(repository: Repository, digest: Digest): FetchedManifest | undefined {
    const key = memoryKey(repository, digest)
    return this.#memory.get(key) ?? this.#malformed.get(key)
  }

  /**
   * `onAsk` is called where upstream is asked for it, in the same turn. Rejects with UpstreamError, or WorkError where a
   * large manifest could not be parsed in time.
   */
  async fetch(repository: Repository, digest: Digest, onAsk?: () => void): Promise<FetchedManifest> {
    const cached = this.inMemory(repository, digest)
    if (cached !== undefined) return cached
    return await shareFlight(this.#flights, memoryKey(repository, digest), async () => {
      const stored = await this.#fromDisk(repository, digest)
      return stored ?? (await this.#fromUpstream(repository, { kind: 'digest', digest }, onAsk))
    })
  }

  /** HEAD where the manifest is at hand already (it costs no rate limit); else one GET brings digest and bytes. */
  async #askForTag(
    ...[repository, reference, isKnown]: Parameters<TagResolverDeps['askUpstream']>
  ): Promise<Digest> {
    if (!isKnown) return (await this.#fromUpstream(repository, reference)).digest
    const client = this.#clientOf(repository)
    return await this.#negative.guard(imageName(repository, reference), () =>
      client.headTag(repository, reference, this.#deps.workLimit()),
    )
  }

  async #fromUpstream(
    repository: Repository,
    reference: ManifestReference,
    onAsk?: () => void,
  ): Promise<FetchedManifest> {
    const client = this.#clientOf(repository)
    const got = await this.#negative.guard(imageName(repository, reference), () => {
      const asking = client.getManifest(repository, reference, this.#deps.workLimit())
      onAsk?.()
      return asking
    })
    return await this.#keep(repository, got)
  }

  #clientOf(repository: Repository): RegistryClient {
    const client = this.#deps.upstreams.client(repository.registry)
    if (client !== undefined) return client
    throw new UpstreamError('not-found', `registry ${repository.registry} is not configured`)
  }

  /** Bytes are shared by digest, membership is not: what one repository holds is not readable through another. */
  async #fromDisk(repository: Repository, digest: Digest): Promise<FetchedManifest | undefined> {
    const contentType = this.#deps.state.manifestType(repository, digest)
    if (contentType === undefined) return undefined
    const bytes = await this.#deps.content.read(digest)
    if (bytes === undefined) return undefined
    const fetched = { digest, bytes, parsed: await this.#deps.parse(bytes, contentType) }
    this.#memory.set(memoryKey(repository, digest), fetched)
    return fetched
  }

  async #keep(repository: Repository, got: UpstreamManifest): Promise<FetchedManifest> {
    const { digest, bytes, contentType } = got
    const read = { digest, bytes, parsed: await this.#deps.parse(bytes, contentType) }
    if (!read.parsed.ok) {
      // Not kept for good, and never called a manifest: anyone can have any bytes served to us under such a URL.
      this.#malformed.set(memoryKey(repository, digest), read)
      return read
    }
    // The disk takes its time while upstream is asked for the evidence.
    const kept = this.#toDisk(repository, got)
    kept.catch(() => undefined)
    const fetched = { ...read, kept }
    this.#memory.set(memoryKey(repository, digest), fetched)
    return fetched
  }

  async #toDisk(repository: Repository, { digest, bytes, contentType }: UpstreamManifest): Promise<void> {
    await this.#deps.content.put(digest, bytes)
    this.#deps.state.addManifest(repository, digest, contentType)
  }
}

function always(): boolean {
  return true
}

function memoryKey(repository: Repository, digest: Digest): string {
  return `${repositoryName(repository)}@${digest}`
}
