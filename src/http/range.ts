import type { Digest } from '../oci/digest.ts'

/** One byte range as a client spells it (RFC 9110 §14.1.2); it means something only beside a size. */
export type ByteRange =
  | { readonly kind: 'from'; readonly start: number; readonly end: number | undefined }
  | { readonly kind: 'last'; readonly count: number }

/** Bytes [start, end], both inclusive, inside the content. */
export type ResolvedRange = { readonly start: number; readonly end: number }

// Twenty digits hold every 64-bit offset; longer ones are noise that no client of a registry sends.
const SINGLE_RANGE = /^bytes=(?:(\d{1,20})-(\d{0,20})|-(\d{1,20}))$/i

/**
 * Reads a Range header. Undefined means "answer with the whole content": no header, another unit, wrong syntax
 * (RFC 9110 §14.2 lets a server ignore all of these) or several ranges, which no registry client needs and which
 * would let one request ask for the same bytes many times (§17.15).
 */
export function parseRange(header: string | undefined): ByteRange | undefined {
  const match = header === undefined ? null : SINGLE_RANGE.exec(header.trim())
  if (match === null) return undefined
  const [, first, last, suffix] = match
  if (suffix !== undefined) return { kind: 'last', count: Number(suffix) }
  const start = Number(first)
  const end = last === undefined || last === '' ? undefined : Number(last)
  if (end !== undefined && end < start) return undefined
  return { kind: 'from', start, end }
}

/** The range of a GET: `If-Range` counts only where it is the strong ETag of this digest (RFC 9110 §13.1.5). */
export function requestedRange(
  headers: { readonly range: string | undefined; readonly ifRange: string | undefined },
  digest: Digest,
): ByteRange | undefined {
  if (headers.ifRange !== undefined && headers.ifRange.trim() !== entityTag(digest)) return undefined
  return parseRange(headers.range)
}

/** Where the range lies in content of `size` bytes, or undefined where no byte of it is there: 416. */
export function resolveRange(range: ByteRange, size: number): ResolvedRange | undefined {
  if (range.kind === 'last') {
    if (range.count === 0 || size === 0) return undefined
    return { start: Math.max(0, size - range.count), end: size - 1 }
  }
  if (range.start >= size) return undefined
  return { start: range.start, end: Math.min(range.end ?? size - 1, size - 1) }
}

/** Content-Range of a 206, or of a 416 where there is no range. */
export function contentRange(range: ResolvedRange | undefined, size: number): string {
  return range === undefined ? `bytes */${size}` : `bytes ${range.start}-${range.end}/${size}`
}

/** The strong ETag of immutable content is its digest. */
export function entityTag(digest: Digest): string {
  return `"${digest}"`
}
