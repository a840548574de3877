import type { Digest } from '../oci/digest.ts'
import type { Repository } from '../oci/reference.ts'

export type BlobLimits = {
  /** A larger blob is refused. Default 64 GiB: the largest layers in the wild hold model weights. */
  readonly blobBytesMax: number
  /** A larger blob passes through without being cached. Default 16 GiB. */
  readonly cachedBytesMax: number
  /** Broken connections taken up again, a blob. Default 3. */
  readonly resumesMax: number
  /** A blob no larger is finished for the cache although nobody reads it any more. Default 64 MiB. */
  readonly abandonedBytesMax: number
  /** A larger one only if somebody asks for it again within this time. Default 10 s: a client that reconnects. */
  readonly abandonAfterMs: number
  /** One read of a blob from upstream, whole. Default 1 h. */
  readonly flightMsMax: number
  /** The shared HEAD of a blob. Default 30 s. */
  readonly headMsMax: number
  /** Bytes in memory between upstream and its slowest reader where there is no disk between them. Default 1 MiB. */
  readonly windowBytesMax: number
}

export const BLOB_LIMITS: BlobLimits = {
  blobBytesMax: 64 * 1024 ** 3,
  cachedBytesMax: 16 * 1024 ** 3,
  resumesMax: 3,
  abandonedBytesMax: 64 * 1024 ** 2,
  abandonAfterMs: 10_000,
  flightMsMax: 3_600_000,
  headMsMax: 30_000,
  windowBytesMax: 1024 ** 2,
}

/** Calls back once after the delay, unless the function that it returns is called before. */
export type Schedule = (callback: () => void, delayMs: number) => () => void

/** What a metric or a log may count. */
export type BlobEvent = {
  readonly kind:
    | 'hit' // from the store
    | 'miss' // a read from upstream began
    | 'joined' // another client's read was shared
    | 'redirected'
    | 'resumed' // a broken connection was taken up again
    | 'mismatch' // upstream sent bytes that do not hash to the digest
    | 'uncached' // the disk refused bytes, which went through memory instead
    | 'abandoned' // a read was given up because nobody was left
  readonly repository: Repository
  readonly digest: Digest
}
