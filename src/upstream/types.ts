import type { Readable } from 'node:stream'
import type { Digest } from '../oci/digest.ts'
import type { ManifestReference, Repository } from '../oci/reference.ts'

export type UpstreamErrorCode =
  | 'not-found' // 404: an answer
  | 'unauthorized' // 401 after authentication was tried
  | 'forbidden' // 403
  | 'rate-limited' // 429 with retries exhausted
  | 'unavailable' // 5xx, refused, reset, DNS, TLS
  | 'timeout' // upstream did not answer within the time that one request has
  | 'deadline' // the caller's time ended, or would have in our own queue: nothing is known of upstream
  | 'invalid' // an answer that breaks the protocol or a limit: wrong digest, too large, bad redirect

/**
 * Every way in which an upstream can fail us. `message` holds no secrets and no upstream-controlled URL query, and is the
 * same each time that the same thing fails: what quotes it, like a decision, is then the same, too.
 */
export class UpstreamError extends Error {
  override readonly name = 'UpstreamError'
  readonly code: UpstreamErrorCode
  readonly status: number | undefined
  readonly retryAfterSeconds: number | undefined
  /** What upstream said, cut and without secrets: for the log, and for a client whom upstream itself refuses. */
  readonly detail: string | undefined

  constructor(
    code: UpstreamErrorCode,
    message: string,
    details: {
      status?: number
      retryAfterSeconds?: number | undefined
      detail?: string | undefined
      cause?: unknown
    } = {},
  ) {
    super(message, { cause: details.cause })
    this.code = code
    this.status = details.status
    this.retryAfterSeconds = details.retryAfterSeconds
    this.detail = details.detail
  }
}

/** Bytes as they came, already under the size limit and, where `digest` was asked for, already hashed against it. */
export type UpstreamManifest = {
  readonly digest: Digest
  readonly contentType: string
  readonly bytes: Buffer
}

export type UpstreamBlob = {
  /** Bytes of the whole blob, if upstream said so. */
  readonly size: number | undefined
  /** First byte that `body` holds: equal to the offset asked for, or 0 where upstream ignored the range. */
  readonly offset: number
  /** Not verified: whoever reads it checks the digest. The memory of its chunks is the reader's own, who may free it. */
  readonly body: Readable
}

/**
 * One registry. Every method rejects with UpstreamError and nothing else, and stops when `signal` aborts.
 * Only ever dials the configured host, and hosts that it redirects to under the redirect rules.
 */
export type RegistryClient = {
  getManifest(
    repository: Repository,
    reference: ManifestReference,
    signal: AbortSignal,
  ): Promise<UpstreamManifest>
  /** The digest a tag points to now, by HEAD (GET where upstream answers HEAD without a digest). */
  headTag(repository: Repository, reference: ManifestReference, signal: AbortSignal): Promise<Digest>
  getBlob(repository: Repository, digest: Digest, offset: number, signal: AbortSignal): Promise<UpstreamBlob>
  /** Size in bytes, by HEAD. */
  headBlob(repository: Repository, digest: Digest, signal: AbortSignal): Promise<{ size: number }>
  /** Where upstream redirects a blob GET to, for `blobs: redirect`; undefined where it serves the bytes itself. */
  locateBlob(repository: Repository, digest: Digest, signal: AbortSignal): Promise<string | undefined>
  /**
   * Raw bytes of each page of the OCI 1.1 referrers API (at most 1 MiB a page and 8 pages), or undefined where upstream
   * has no such API (404, 400, 405, 406 or another media type).
   */
  getReferrers(
    repository: Repository,
    subject: Digest,
    signal: AbortSignal,
  ): Promise<readonly Buffer[] | undefined>
  getTags(
    repository: Repository,
    page: { n?: number; last?: string },
    signal: AbortSignal,
  ): Promise<{ tags: readonly string[]; more: boolean }>
  close(): Promise<void>
}

/** Gives the client of a namespace (`docker.io`), or undefined: an unknown namespace is never dialled. */
export type Upstreams = {
  client(registry: string): RegistryClient | undefined
}
