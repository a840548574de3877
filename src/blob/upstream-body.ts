import { addAbortSignal, type Readable } from 'node:stream'
import type { Digest } from '../oci/digest.ts'
import type { Repository } from '../oci/reference.ts'
import { UpstreamError, type RegistryClient, type UpstreamBlob } from '../upstream/types.ts'

/** Where a blob is to be had. */
export type BlobSource = {
  readonly client: RegistryClient
  readonly repository: Repository
  readonly digest: Digest
}

/** A blob from its first byte to its last, whatever connections that takes. */
export type UpstreamBody = {
  /** Bytes, or undefined where upstream says neither with GET nor with HEAD. */
  readonly size: number | undefined
  /** Exactly `size` bytes, or an UpstreamError before the end. Not hashed. */
  readonly chunks: AsyncGenerator<Buffer, void, undefined>
}

export type UpstreamBodyOptions = {
  readonly signal: AbortSignal
  /** A larger blob is `invalid`. */
  readonly sizeBytesMax: number
  /** How often a connection that broke is taken up again where it broke. */
  readonly resumesMax: number
  readonly onResume: () => void
}

/** Rejects with UpstreamError before the first byte where upstream does not have the blob or cannot be reached. */
export async function openUpstreamBody(
  source: BlobSource,
  options: UpstreamBodyOptions,
): Promise<UpstreamBody> {
  const { digest } = source
  const first = await openAt(source, 0, options.signal)
  const size = first.size ?? (await sizeByHead(source, options.signal))
  if (first.offset !== 0 || (size !== undefined && size > options.sizeBytesMax)) {
    first.body.destroy()
    throw new UpstreamError('invalid', `blob ${digest} has ${size ?? 'unknown'} bytes from ${first.offset}`)
  }
  return { size, chunks: readWhole(source, { body: first.body, size }, options) }
}

async function openAt(
  { client, repository, digest }: BlobSource,
  offset: number,
  signal: AbortSignal,
): Promise<UpstreamBlob> {
  const blob = await client.getBlob(repository, digest, offset, signal)
  // It may break before anybody reads it; the reader is told then.
  blob.body.on('error', () => undefined)
  addAbortSignal(signal, blob.body)
  return blob
}

async function sizeByHead(
  { client, repository, digest }: BlobSource,
  signal: AbortSignal,
): Promise<number | undefined> {
  try {
    return (await client.headBlob(repository, digest, signal)).size
  } catch {
    // Then the answer has no Content-Length; the body that is open already decides everything else.
    return undefined
  }
}

async function* readWhole(
  source: BlobSource,
  { body, size }: { body: Readable; size: number | undefined },
  options: UpstreamBodyOptions,
): AsyncGenerator<Buffer, void, undefined> {
  const progress = { received: 0, bytesMax: size ?? options.sizeBytesMax }
  const current: { body: Readable | undefined; skip: number } = { body, skip: 0 }
  for (let resumes = 0; ; resumes += 1) {
    let failure: unknown
    try {
      if (resumes > 0) Object.assign(current, await resume(source, progress.received, { size, options }))
      if (current.body !== undefined) yield* readFresh(current.body, current.skip, progress)
      if (size === undefined || progress.received === size) return
      failure = new UpstreamError(
        'unavailable',
        `upstream ended a blob after ${progress.received} of ${size} bytes`,
      )
    } catch (error) {
      failure = error
    }
    if (resumes >= options.resumesMax || options.signal.aborted || !canResume(failure))
      throw asUpstreamError(failure)
    current.body = undefined
    options.onResume()
  }
}

/** A connection that goes on at `received`; `skip` counts bytes that upstream sends again because it ignored that. */
async function resume(
  source: BlobSource,
  received: number,
  { size, options }: { size: number | undefined; options: UpstreamBodyOptions },
): Promise<{ body: Readable; skip: number }> {
  const blob = await openAt(source, received, options.signal)
  const sameSize = size === undefined || blob.size === undefined || blob.size === size
  if (blob.offset <= received && sameSize) return { body: blob.body, skip: received - blob.offset }
  blob.body.destroy()
  throw new UpstreamError('invalid', `upstream resumed a blob of ${size ?? 'unknown'} bytes as another one`)
}

async function* readFresh(
  body: Readable,
  skip: number,
  progress: { received: number; readonly bytesMax: number },
): AsyncGenerator<Buffer, void, undefined> {
  let toSkip = skip
  for await (const piece of body) {
    if (!(piece instanceof Uint8Array))
      throw new UpstreamError('invalid', 'a blob stream gave something else than bytes')
    const chunk = Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength)
    const fresh = chunk.subarray(Math.min(toSkip, chunk.length))
    toSkip -= chunk.length - fresh.length
    progress.received += fresh.length
    if (progress.received > progress.bytesMax) {
      throw new UpstreamError('invalid', `upstream sent more than the ${progress.bytesMax} bytes of a blob`)
    }
    if (fresh.length > 0) yield fresh
  }
}

/** What a second connection may well not meet again. An answer (404, 403, a broken rule) stays what it is. */
function canResume(failure: unknown): boolean {
  return !(failure instanceof UpstreamError) || failure.code === 'unavailable' || failure.code === 'timeout'
}

export function asUpstreamError(error: unknown): UpstreamError {
  if (error instanceof UpstreamError) return error
  return new UpstreamError('unavailable', 'the connection to upstream broke while it sent a blob', {
    cause: error,
  })
}
