import { LRUCache } from 'lru-cache'
import type { Digest } from '../oci/digest.ts'
import {
  imageName,
  repositoryName,
  type ManifestReference,
  type Repository,
  type Tag,
} from '../oci/reference.ts'
import type { Manifest } from '../oci/manifest-types.ts'
import type { ContentStore, StateStore } from '../store/types.ts'
import { DeadlineError, withDeadline } from '../deadline.ts'
import { shareFlight } from '../flight.ts'
import { UpstreamError, type RegistryClient, type UpstreamManifest, type Upstreams } from './types.ts'

/** A manifest whose bytes hash to `digest`. `parsed` says whether they mean exactly one thing. */
export type FetchedManifest = {
  readonly digest: Digest
  /** The buffer that was hashed, and the one that is sent. */
  readonly bytes: Buffer
  readonly parsed:
    | { readonly ok: true; readonly manifest: Manifest }
    | { readonly ok: false; readonly message: string }
}

/** Steps 3 and 4 of a pull: from memory, then disk, then upstream; each miss once for all who wait for it. */
export type ManifestSource = {
  /** The digest, where it needs no asking: a digest, or a tag that was asked for lately. */
  resolved(repository: Repository, reference: ManifestReference): Digest | undefined
  resolve(repository: Repository, reference: ManifestReference): Promise<Digest>
  inMemory(repository: Repository, digest: Digest): FetchedManifest | undefined
  fetch(repository: Repository, digest: Digest): Promise<FetchedManifest>
}

export type ManifestSourceDeps = {
  upstreams: Upstreams
  content: ContentStore
  state: StateStore
  parse: (bytes: Buffer, contentType: string | undefined) => Promise<FetchedManifest['parsed']>
  now: () => Date
  /** The time limit of work that several requests may share, and that no single one of them may cut short. */
  workLimit: () => AbortSignal
  /** How long a tag that is known already waits for upstream to confirm it. */
  revalidationLimit: () => AbortSignal
  tagTtlMs: number
  tagStaleIfErrorMs: number
  memoryBytesMax: number
}

type KnownTag = { digest: Digest; checkedAt: Date }
/** `quietUntil`: upstream failed lately and is not asked again before. */
type RememberedTag = KnownTag & { quietUntil?: number }

const TAGS_IN_MEMORY_MAX = 50_000

/** Milliseconds for which a tag is served stale without asking again, once upstream has failed to confirm it. */
const QUIET_MS = 5_000
/** Parsed, a manifest takes a few times its bytes. */
const PARSED_FACTOR = 4
/** Milliseconds; what is malformed may only have come under a wrong header. */
const MALFORMED_TTL_MS = 30_000

/** Answers about the tag itself. */
const GONE = new Set(['not-found', 'unauthorized', 'forbidden'])
/** Only what may pass by itself lets a stale tag be used. 401, 403 and 404 are answers. */
const OUTAGES = new Set(['unavailable', 'timeout', 'rate-limited'])

export function createManifestSource(deps: ManifestSourceDeps): ManifestSource {
  const { upstreams, content, state } = deps
  const tags = new LRUCache<string, RememberedTag>({ max: TAGS_IN_MEMORY_MAX })
  const memory = new LRUCache<string, FetchedManifest>({
    maxSize: deps.memoryBytesMax,
    sizeCalculation: ({ bytes }) => bytes.length * PARSED_FACTOR + 1024,
  })
  const tagFlights = new Map<string, Promise<Digest>>()
  const fetchFlights = new Map<string, Promise<FetchedManifest>>()

  function clientOf(repository: Repository): RegistryClient {
    const client = upstreams.client(repository.registry)
    if (client === undefined)
      throw new UpstreamError('not-found', `registry ${repository.registry} is not configured`)
    return client
  }

  function resolved(repository: Repository, reference: ManifestReference): Digest | undefined {
    if (reference.kind === 'digest') return reference.digest
    const known = tags.get(imageName(repository, reference))
    return known !== undefined && needsNoAsking(known) ? known.digest : undefined
  }

  function needsNoAsking({ checkedAt, quietUntil = 0 }: RememberedTag): boolean {
    const now = deps.now().getTime()
    const age = now - checkedAt.getTime()
    return (age >= 0 && age < deps.tagTtlMs) || now < quietUntil
  }

  function isStaleUsable({ checkedAt }: KnownTag): boolean {
    return deps.now().getTime() - checkedAt.getTime() <= deps.tagStaleIfErrorMs
  }

  async function resolve(repository: Repository, reference: ManifestReference): Promise<Digest> {
    if (reference.kind === 'digest') return reference.digest
    const key = imageName(repository, reference)
    const known = tags.get(key) ?? state.getTag(repository, reference.tag)
    if (known !== undefined && needsNoAsking(known)) {
      tags.set(key, known)
      return known.digest
    }
    const asked = shareFlight(tagFlights, key, () => revalidate(repository, reference, known))
    if (known === undefined || !isStaleUsable(known)) return await asked
    return await confirmedOrStale(key, known, asked)
  }

  /** A registry that is down or hangs must not cost every pull its patience: after a moment the last answer counts. */
  async function confirmedOrStale(key: string, known: KnownTag, asked: Promise<Digest>): Promise<Digest> {
    try {
      return await withDeadline(asked, deps.revalidationLimit())
    } catch (error) {
      const isOutage = error instanceof UpstreamError && OUTAGES.has(error.code)
      if (!isOutage && !(error instanceof DeadlineError)) throw error
      tags.set(key, { ...known, quietUntil: deps.now().getTime() + QUIET_MS })
      return known.digest
    }
  }

  async function revalidate(
    repository: Repository,
    reference: ManifestReference & { kind: 'tag' },
    known: KnownTag | undefined,
  ): Promise<Digest> {
    try {
      const digest = await askUpstream(repository, reference, known)
      rememberTag(repository, reference.tag, { digest, checkedAt: deps.now() })
      return digest
    } catch (error) {
      // Gone is an answer: a later outage must not bring the tag back.
      if (error instanceof UpstreamError && GONE.has(error.code)) forgetTag(repository, reference.tag)
      throw error
    }
  }

  /** HEAD where the manifest is at hand already (it costs no rate limit); else one GET brings digest and bytes. */
  async function askUpstream(
    repository: Repository,
    reference: ManifestReference,
    known: KnownTag | undefined,
  ): Promise<Digest> {
    const client = clientOf(repository)
    if (known !== undefined) return await client.headTag(repository, reference, deps.workLimit())
    const manifest = await client.getManifest(repository, reference, deps.workLimit())
    await keep(repository, manifest)
    return manifest.digest
  }

  function rememberTag(repository: Repository, tag: Tag, known: KnownTag): void {
    tags.set(imageName(repository, { kind: 'tag', tag }), known)
    state.setTag(repository, tag, known.digest, known.checkedAt)
  }

  function forgetTag(repository: Repository, tag: Tag): void {
    tags.delete(imageName(repository, { kind: 'tag', tag }))
    state.dropTag(repository, tag)
  }

  async function keep(
    repository: Repository,
    { digest, bytes, contentType }: UpstreamManifest,
  ): Promise<FetchedManifest> {
    const fetched = { digest, bytes, parsed: await deps.parse(bytes, contentType) }
    if (!fetched.parsed.ok) {
      // Not kept for good, and never called a manifest: anyone can have any bytes served to us under such a URL.
      memory.set(memoryKey(repository, digest), fetched, { ttl: MALFORMED_TTL_MS })
      return fetched
    }
    memory.set(memoryKey(repository, digest), fetched)
    await content.put(digest, bytes)
    state.addManifest(repository, digest, contentType)
    return fetched
  }

  /** Bytes are shared by digest, membership is not: what one repository holds is not readable through another. */
  async function fromDisk(repository: Repository, digest: Digest): Promise<FetchedManifest | undefined> {
    const contentType = state.manifestType(repository, digest)
    if (contentType === undefined) return undefined
    const bytes = await content.read(digest)
    if (bytes === undefined) return undefined
    const fetched = { digest, bytes, parsed: await deps.parse(bytes, contentType) }
    memory.set(memoryKey(repository, digest), fetched)
    return fetched
  }

  async function fetch(repository: Repository, digest: Digest): Promise<FetchedManifest> {
    const key = memoryKey(repository, digest)
    const cached = memory.get(key)
    if (cached !== undefined) return cached
    return await shareFlight(fetchFlights, key, async () => {
      const stored = await fromDisk(repository, digest)
      if (stored !== undefined) return stored
      const reference = { kind: 'digest', digest } as const
      return await keep(
        repository,
        await clientOf(repository).getManifest(repository, reference, deps.workLimit()),
      )
    })
  }

  const inMemory = (repository: Repository, digest: Digest) => memory.get(memoryKey(repository, digest))

  return { resolved, resolve, inMemory, fetch }
}

function memoryKey(repository: Repository, digest: Digest): string {
  return `${repositoryName(repository)}@${digest}`
}
