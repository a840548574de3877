import { BlobFlight, type FlightStart } from './blob/flight.ts'
import { BLOB_LIMITS, type BlobEvent, type BlobLimits, type Schedule } from './blob/limits.ts'
import { mayBeManifest } from './blob/manifest-shape.ts'
import { partOf, StoredBlobs, type Shape } from './blob/stored-blobs.ts'
import type { BlobSource } from './blob/upstream-body.ts'
import type { ByteReader } from './byte-reader.ts'
import { shareFlight } from './flight.ts'
import { resolveRange, type ByteRange, type ResolvedRange } from './http/range.ts'
import type { Digest } from './oci/digest.ts'
import { repositoryName } from './oci/reference.ts'
import { BlockPool } from './store/blocks.ts'
import type { ContentStore } from './store/types.ts'
import { UpstreamError } from './upstream/types.ts'

/**
 * How blobs reach the client: through the store, through this process without being kept, or by a redirect to where
 * upstream keeps them.
 */
export type BlobMode = 'cache' | 'stream' | 'redirect'

/**
 * The caller has decided that this repository may serve this digest: bytes are shared by digest, and nothing in here
 * asks who may have them.
 */
type BlobRequest = BlobSource & {
  readonly mode: BlobMode
  /** Until the answer. Afterwards whoever reads the body destroys it; a deadline is no reason to cut a download off. */
  readonly signal: AbortSignal
}

type RangedBlobRequest = BlobRequest & { readonly range: ByteRange | undefined }

export type BlobAnswer =
  /**
   * `size` is that of the whole blob, undefined where upstream tells none; then there is no range either. The body
   * ends early with an error where the bytes turn out wrong: the connection must be broken then, not ended. Whoever reads
   * it closes it.
   */
  | {
      readonly kind: 'body'
      readonly size: number | undefined
      readonly range: ResolvedRange | undefined
      readonly body: ByteReader
    }
  /** Small and at hand: `bytes` are those of the range. */
  | {
      readonly kind: 'bytes'
      readonly size: number
      readonly range: ResolvedRange | undefined
      readonly bytes: Buffer
    }
  | { readonly kind: 'redirect'; readonly location: string }
  | { readonly kind: 'not-found' }
  /** A manifest in the clothes of a blob: served by the manifest route or not at all. */
  | { readonly kind: 'is-manifest' }
  | { readonly kind: 'range-not-satisfiable'; readonly size: number }

type MemoryRequest = Pick<RangedBlobRequest, 'repository' | 'digest' | 'range'>
type MemoryAnswer = BlobAnswer & { kind: 'bytes' | 'range-not-satisfiable' }

export type BlobHeadAnswer =
  | { readonly kind: 'found'; readonly size: number }
  | { readonly kind: 'not-found' }
  | { readonly kind: 'is-manifest' }

/** Both throw UpstreamError, and agree with each other. */
export type BlobService = {
  openBlob(request: RangedBlobRequest): Promise<BlobAnswer>
  headBlob(request: BlobRequest): Promise<BlobHeadAnswer>
  /** Whether the bytes are at hand, from whichever repository they came. */
  isCached(digest: Digest): boolean
  /** Whether `openInMemory` has anything to give. */
  isInMemory(digest: Digest): boolean
  /** `openBlob` of what is in memory; undefined where there is anything to wait for. */
  openInMemory(request: MemoryRequest): MemoryAnswer | undefined
  /** Counts what was sent once more without being asked for here. */
  noteHit(request: Pick<BlobRequest, 'repository' | 'digest'>): void
  /** Breaks off what is being read from upstream and waits until its files are gone. */
  close(): Promise<void>
}

export type BlobDeps = {
  content: ContentStore
  /** Defaults: BLOB_LIMITS. */
  limits?: Partial<BlobLimits>
  /** Default: setTimeout. */
  schedule?: Schedule
  onEvent?: (event: BlobEvent) => void
}

export function createBlobService(deps: BlobDeps): BlobService {
  return new Blobs(deps)
}

class Blobs implements BlobService {
  readonly #content: ContentStore
  readonly #limits: BlobLimits
  readonly #schedule: Schedule
  readonly #onEvent: (event: BlobEvent) => void
  /** Reads that others may join, by repository and digest: joining must not show a client another repository's bytes. */
  readonly #shared = new Map<string, BlobFlight>()
  readonly #flights = new Set<BlobFlight>()
  readonly #heads = new Map<string, Promise<{ size: number }>>()
  readonly #stored: StoredBlobs
  readonly #blocks = new BlockPool()
  readonly #closing = new AbortController()

  constructor(deps: BlobDeps) {
    this.#content = deps.content
    this.#stored = new StoredBlobs(deps.content)
    this.#limits = { ...BLOB_LIMITS, ...deps.limits }
    this.#schedule = deps.schedule ?? scheduleTimeout
    this.#onEvent = deps.onEvent ?? (() => undefined)
  }

  async openBlob(request: RangedBlobRequest): Promise<BlobAnswer> {
    try {
      if (this.#stored.isKnownManifest(request.digest)) return { kind: 'is-manifest' }
      const redirect = request.mode === 'redirect' ? await this.#redirect(request) : undefined
      return redirect ?? (await this.#fromStore(request)) ?? (await this.#fromUpstream(request))
    } catch (error) {
      return notFoundOrThrow(error)
    }
  }

  isCached(digest: Digest): boolean {
    return this.#stored.size(digest) !== undefined
  }

  isInMemory(digest: Digest): boolean {
    return this.#stored.inMemory(digest) !== undefined
  }

  openInMemory(request: MemoryRequest): MemoryAnswer | undefined {
    const bytes = this.#stored.inMemory(request.digest)
    if (bytes === undefined) return undefined
    const size = bytes.length
    const range = rangeIn(request.range, size)
    if (range === 'unsatisfiable') return { kind: 'range-not-satisfiable', size }
    this.noteHit(request)
    return { kind: 'bytes', size, range, bytes: partOf(bytes, range) }
  }

  noteHit(request: Pick<BlobRequest, 'repository' | 'digest'>): void {
    this.#stored.noteUse(request.digest)
    this.#count('hit', request)
  }

  async headBlob(request: BlobRequest): Promise<BlobHeadAnswer> {
    try {
      const stored = this.#stored.size(request.digest)
      const size = stored ?? (await this.#sizeUpstream(request))
      const shape = await this.#shapeOf(request, size)
      return shape === 'manifest' ? { kind: 'is-manifest' } : { kind: 'found', size }
    } catch (error) {
      return notFoundOrThrow(error)
    }
  }

  async close(): Promise<void> {
    const reason = new UpstreamError('unavailable', 'the proxy is shutting down')
    this.#closing.abort(reason)
    const flights = [...this.#flights]
    for (const flight of flights) flight.abort(reason)
    await Promise.all(flights.map(async (flight) => await flight.finished))
  }

  /** Small content is not worth a redirect, and could be a manifest, which must not leave unseen. */
  async #redirect(request: BlobRequest): Promise<BlobAnswer | undefined> {
    if (mayBeManifest(await this.#sizeUpstream(request))) return undefined
    const location = await request.client.locateBlob(request.repository, request.digest, request.signal)
    if (location === undefined) return undefined
    this.#count('redirected', request)
    return { kind: 'redirect', location }
  }

  async #fromStore(request: RangedBlobRequest): Promise<BlobAnswer | undefined> {
    const { digest } = request
    const size = this.#stored.size(digest)
    if (size === undefined) return undefined
    const shape = await this.#stored.shapeOf(digest, size)
    if (shape === undefined) return undefined
    if (shape === 'manifest') return { kind: 'is-manifest' }
    const range = rangeIn(request.range, size)
    if (range === 'unsatisfiable') return { kind: 'range-not-satisfiable', size }
    const stored = await this.#stored.open(digest, size, range)
    if (stored === undefined) return undefined
    this.#count('hit', request)
    return { ...stored, size, range }
  }

  async #shapeOf(request: BlobRequest, size: number): Promise<Shape> {
    const known = await this.#stored.shapeOf(request.digest, size)
    if (known !== undefined) return known
    // Not stored and small: only the bytes can tell, and whoever asks for the size mostly asks for them next.
    const flight = this.#join(request)
    try {
      return (await untilAborted(flight.start, request.signal)).kind === 'manifest' ? 'manifest' : 'blob'
    } finally {
      flight.leave()
    }
  }

  async #fromUpstream(request: RangedBlobRequest): Promise<BlobAnswer> {
    const flight = this.#join(request)
    const answer = await this.#answerFrom(flight, request)
    if (answer !== undefined) return answer
    // The beginning of what the others read is gone already; this only happens without a disk.
    const own = this.#launch(request, undefined)
    own.enter()
    const again = await this.#answerFrom(own, request)
    if (again === undefined)
      throw new UpstreamError('unavailable', 'a blob could not be followed from its first byte')
    return again
  }

  /** Leaves the flight, or hands that over to the body. */
  async #answerFrom(flight: BlobFlight, request: RangedBlobRequest): Promise<BlobAnswer | undefined> {
    let following = false
    try {
      const start = await untilAborted(flight.start, request.signal)
      if (start.kind === 'manifest') return { kind: 'is-manifest' }
      const size = start.kind === 'whole' ? start.bytes.length : start.size
      const range = rangeIn(request.range, size)
      if (range === 'unsatisfiable') return { kind: 'range-not-satisfiable', size: size ?? 0 }
      if (start.kind === 'whole') {
        return { kind: 'bytes', size: start.bytes.length, range, bytes: partOf(start.bytes, range) }
      }
      const { start: first, end } = range ?? { start: 0, end: (size ?? Infinity) - 1 }
      if (!flight.reaches(first)) return undefined
      following = true
      return { kind: 'body', size, range, body: flight.follow({ start: first, end }) }
    } finally {
      if (!following) flight.leave()
    }
  }

  /** The read of this blob that is under way, or a new one. The caller leaves it. */
  #join(request: BlobRequest): BlobFlight {
    const key = request.mode === 'cache' ? keyOf(request) : undefined
    const running = key === undefined ? undefined : this.#shared.get(key)
    if (running !== undefined) this.#count('joined', request)
    const flight = running ?? this.#launch(request, key)
    flight.enter()
    return flight
  }

  #launch(request: BlobRequest, key: string | undefined): BlobFlight {
    this.#closing.signal.throwIfAborted()
    this.#count('miss', request)
    const { client, repository, digest } = request
    const flight: BlobFlight = new BlobFlight({
      source: { client, repository, digest },
      content: key === undefined ? undefined : this.#content,
      blocks: this.#blocks,
      limits: this.#limits,
      schedule: this.#schedule,
      onEvent: (kind) => this.#count(kind, request),
      onClosed: () => {
        if (key !== undefined && this.#shared.get(key) === flight) this.#shared.delete(key)
      },
    })
    this.#flights.add(flight)
    if (key !== undefined) this.#shared.set(key, flight)
    void flight.finished.then(() => this.#flights.delete(flight))
    flight.start.then((start) => this.#learnFrom(start, digest)).catch(() => undefined)
    return flight
  }

  #learnFrom(start: FlightStart, digest: Digest): void {
    if (start.kind === 'manifest') this.#stored.learn(digest, 'manifest')
    if (start.kind === 'whole') this.#stored.learn(digest, 'blob')
  }

  async #sizeUpstream(request: BlobRequest): Promise<number> {
    const { client, repository, digest, signal } = request
    const head = shareFlight(this.#heads, keyOf(request), async () => {
      const abort = new AbortController()
      const late = new UpstreamError('timeout', 'upstream did not tell the size of a blob in time')
      const cancel = this.#schedule(() => abort.abort(late), this.#limits.headMsMax)
      try {
        return await client.headBlob(
          repository,
          digest,
          AbortSignal.any([abort.signal, this.#closing.signal]),
        )
      } finally {
        cancel()
      }
    })
    return (await untilAborted(head, signal)).size
  }

  #count(kind: BlobEvent['kind'], { repository, digest }: Pick<BlobRequest, 'repository' | 'digest'>): void {
    this.#onEvent({ kind, repository, digest })
  }
}

/** Without a size there is no Content-Range to write, so the answer is the whole blob (RFC 9110 §14.2 allows it). */
function rangeIn(
  range: ByteRange | undefined,
  size: number | undefined,
): ResolvedRange | 'unsatisfiable' | undefined {
  if (range === undefined || size === undefined) return undefined
  return resolveRange(range, size) ?? 'unsatisfiable'
}

function keyOf({ repository, digest }: BlobRequest): string {
  return `${repositoryName(repository)}@${digest}`
}

function notFoundOrThrow(error: unknown): { kind: 'not-found' } {
  if (error instanceof UpstreamError && error.code === 'not-found') return { kind: 'not-found' }
  throw error
}

/** Stops waiting, not working. */
async function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>()
  const onAbort = (): void =>
    aborted.reject(
      new UpstreamError('timeout', 'the request ended before its blob was there', { cause: signal.reason }),
    )
  if (signal.aborted) onAbort()
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    return await Promise.race([promise, aborted.promise])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}

function scheduleTimeout(callback: () => void, delayMs: number): () => void {
  const timer = setTimeout(callback, delayMs)
  timer.unref()
  return () => clearTimeout(timer)
}
