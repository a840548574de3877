import type { ByteReader } from '../byte-reader.ts'
import { digestVerifier, matchesDigest } from '../oci/digest.ts'
import type { BlockPool } from '../store/blocks.ts'
import type { ContentStore } from '../store/types.ts'
import { UpstreamError } from '../upstream/types.ts'
import type { BlobEvent, BlobLimits, Schedule } from './limits.ts'
import { isManifest, readHead } from './manifest-shape.ts'
import { ArrivingReader } from './reader.ts'
import { BlobSpool } from './spool.ts'
import { asUpstreamError, openUpstreamBody, type BlobSource, type UpstreamBody } from './upstream-body.ts'

/** What a flight knows before it gives the first byte away. */
export type FlightStart =
  | { readonly kind: 'manifest'; readonly size: number }
  /** Small enough to have been read and checked whole. */
  | { readonly kind: 'whole'; readonly bytes: Buffer }
  /** Still arriving: `follow` it. */
  | { readonly kind: 'arriving'; readonly size: number | undefined }

export type FlightOptions = {
  readonly source: BlobSource
  /** Where the bytes are kept; absent, they only pass through. */
  readonly content: ContentStore | undefined
  /** What clients read through. */
  readonly blocks: BlockPool
  readonly limits: BlobLimits
  readonly schedule: Schedule
  readonly onEvent: (kind: BlobEvent['kind']) => void
  /** Nobody may join from here on: it has failed, or the blob is in the store. May be called twice. */
  readonly onClosed: () => void
}

/**
 * One read of one blob from upstream, for every client that wants it meanwhile. It belongs to none of them: they come
 * and go, and it ends by itself, by its time limit, or some time after the last of them has left a large blob.
 */
export class BlobFlight {
  /** Rejects with UpstreamError. */
  readonly start: Promise<FlightStart>
  /** Settles when nothing of it is left to do but to be read. Never rejects. */
  readonly finished: Promise<void>
  readonly #options: FlightOptions
  readonly #abort = new AbortController()
  #spool: BlobSpool | undefined
  #size: number | undefined
  #state: 'running' | 'verified' | 'failed' = 'running'
  #failure: UpstreamError | undefined
  /** Clients that wait for the start or read. */
  #clients = 0
  #isDone = false
  #progress = Promise.withResolvers<void>()
  #cancelAbandon: (() => void) | undefined

  constructor(options: FlightOptions) {
    this.#options = options
    const start = Promise.withResolvers<FlightStart>()
    // Everybody who would have waited for it may be gone by then.
    start.promise.catch(() => undefined)
    this.start = start.promise
    this.finished = this.#run(start)
  }

  /** Counts a client in. Whoever calls it calls `leave` once, or `follow`, whose reader does so when it is closed. */
  enter(): void {
    this.#clients += 1
    this.#cancelAbandon?.()
    this.#cancelAbandon = undefined
  }

  leave(): void {
    this.#clients -= 1
    this.#considerAbandoning()
    this.#closeUnused()
    // A reader that was closed while it waited goes home.
    this.#notify()
  }

  #considerAbandoning(): void {
    this.#cancelAbandon?.()
    this.#cancelAbandon = undefined
    if (this.#clients > 0 || this.#state !== 'running') return
    // Through memory nothing moves without a reader. On disk a small blob is finished for the next who asks.
    if (this.#spool?.isOnDisk === false) return this.#abandon()
    const { abandonedBytesMax, abandonAfterMs } = this.#options.limits
    if (this.#spool !== undefined && (this.#size ?? Infinity) <= abandonedBytesMax) return
    this.#cancelAbandon = this.#options.schedule(() => this.#abandon(), abandonAfterMs)
  }

  /** True where a reader that begins at `position` can still have everything. */
  reaches(position: number): boolean {
    return this.#spool !== undefined && this.#spool.reaches(position)
  }

  /** Bytes [start, end] as they arrive, the last of them only when all of the blob was verified. */
  follow(range: { start: number; end: number }): ByteReader {
    const spool = this.#spool
    if (spool === undefined) throw new TypeError('a flight is followed after its start')
    return new ArrivingReader({
      spool,
      range,
      blocks: this.#options.blocks,
      isVerified: () => this.#isVerified(),
      progress: () => this.#progress.promise,
      onClose: () => this.leave(),
    })
  }

  abort(reason: UpstreamError): void {
    this.#abort.abort(reason)
  }

  async #run(start: PromiseWithResolvers<FlightStart>): Promise<void> {
    const { source, limits, schedule, onEvent, onClosed } = this.#options
    const cancelLimit = schedule(
      () => this.abort(new UpstreamError('timeout', 'a blob took longer than its time limit')),
      limits.flightMsMax,
    )
    try {
      const upstream = await openUpstreamBody(source, {
        signal: this.#abort.signal,
        sizeBytesMax: limits.blobBytesMax,
        resumesMax: limits.resumesMax,
        onResume: () => onEvent('resumed'),
      })
      try {
        await this.#receive(upstream, start)
      } finally {
        await upstream.chunks.return()
      }
    } catch (error) {
      const reason = this.#reasonOf(error)
      this.#fail(reason, start)
      // What is still being kept is not waited for.
      this.#abort.abort(reason)
      await this.#spool?.discard()
    } finally {
      cancelLimit()
      this.#cancelAbandon?.()
      this.#isDone = true
      onClosed()
      this.#closeUnused()
    }
  }

  async #receive(upstream: UpstreamBody, start: PromiseWithResolvers<FlightStart>): Promise<void> {
    this.#size = upstream.size
    const head = await readHead(upstream.chunks, upstream.size)
    if (head.isWhole) return await this.#finishWhole(head.bytes, start)
    this.#spool = await BlobSpool.open({
      createIncoming: this.#createIncoming(upstream.size),
      windowBytesMax: this.#options.limits.windowBytesMax,
      onDiskTrouble: () => {
        this.#options.onEvent('uncached')
        this.#considerAbandoning()
      },
      onKept: () => this.#notify(),
    })
    start.resolve({ kind: 'arriving', size: upstream.size })
    this.#considerAbandoning()
    await this.#pump(this.#spool, head.bytes, upstream.chunks)
  }

  #createIncoming(size: number | undefined): (() => ReturnType<ContentStore['createIncoming']>) | undefined {
    const { content, limits, source } = this.#options
    if (content === undefined || (size !== undefined && size > limits.cachedBytesMax)) return undefined
    return () => content.createIncoming(source.digest)
  }

  async #finishWhole(bytes: Buffer, start: PromiseWithResolvers<FlightStart>): Promise<void> {
    const { content, source } = this.#options
    if (!matchesDigest(bytes, source.digest)) throw this.#mismatch()
    const asManifest = await isManifest(bytes)
    this.#state = 'verified'
    if (asManifest) return start.resolve({ kind: 'manifest', size: bytes.length })
    start.resolve({ kind: 'whole', bytes })
    await content?.put(source.digest, bytes)
  }

  async #pump(spool: BlobSpool, head: Buffer, rest: AsyncGenerator<Buffer, void, undefined>): Promise<void> {
    const { signal } = this.#abort
    const verifier = digestVerifier(this.#options.source.digest)
    const take = async (chunk: Buffer): Promise<void> => {
      signal.throwIfAborted()
      verifier.update(chunk)
      await spool.append(chunk, signal)
    }
    if (head.length > 0) await take(head)
    for await (const chunk of rest) await take(chunk)
    if (!verifier.matches()) throw this.#mismatch()
    await spool.flush(signal)
    // What was hashed is what upstream sent; what clients read is what was kept.
    if (this.#size !== undefined && spool.received !== this.#size) {
      throw new UpstreamError('unavailable', 'not every byte of a blob was kept')
    }
    this.#state = 'verified'
    this.#notify()
    await spool.commit()
  }

  #isVerified(): boolean {
    if (this.#failure !== undefined) throw this.#failure
    return this.#state === 'verified'
  }

  #notify(): void {
    this.#progress.resolve()
    this.#progress = Promise.withResolvers()
  }

  #fail(failure: UpstreamError, start: PromiseWithResolvers<FlightStart>): void {
    this.#state = 'failed'
    this.#failure = failure
    // Before anybody hears of it, so that a client that asks again at once does not meet the same failure.
    this.#options.onClosed()
    start.reject(failure)
    this.#notify()
  }

  #abandon(): void {
    this.#options.onEvent('abandoned')
    this.abort(new UpstreamError('timeout', 'nobody reads this blob any more'))
  }

  #mismatch(): UpstreamError {
    this.#options.onEvent('mismatch')
    return new UpstreamError(
      'invalid',
      `upstream sent bytes that do not hash to ${this.#options.source.digest}`,
    )
  }

  #reasonOf(error: unknown): UpstreamError {
    const reason: unknown = this.#abort.signal.reason
    return reason instanceof UpstreamError ? reason : asUpstreamError(error)
  }

  #closeUnused(): void {
    if (this.#isDone && this.#clients === 0) void this.#spool?.close()
  }
}
