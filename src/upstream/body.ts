import type { Readable } from 'node:stream'

/** Bytes up to the limit; `whole` is false where there were more, and then the stream is destroyed. */
export type BoundedBytes = { readonly bytes: Buffer; readonly whole: boolean }

/** Reads a stream without ever holding more than the limit and one chunk. Rejects with the stream's own error. */
export async function readAtMost(stream: Readable, bytesMax: number): Promise<BoundedBytes> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const piece of stream) {
    const chunk = toBuffer(piece)
    size += chunk.length
    chunks.push(chunk)
    // Leaving the loop destroys the stream, and with it the connection that still holds the rest.
    if (size > bytesMax) return { bytes: Buffer.concat(chunks, size).subarray(0, bytesMax), whole: false }
  }
  const [only] = chunks
  return {
    bytes: only !== undefined && chunks.length === 1 ? only : Buffer.concat(chunks, size),
    whole: true,
  }
}

function toBuffer(piece: unknown): Buffer {
  if (Buffer.isBuffer(piece)) return piece
  if (piece instanceof Uint8Array) return Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength)
  throw new TypeError('a byte stream gave something else')
}
