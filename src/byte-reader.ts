/**
 * Bytes in order, a piece at a time. The memory of a piece is the reader's own and is used for the next one: a piece is valid
 * until the next is asked for, so whoever sends it waits until it has left.
 */
export type ByteReader = {
  /** Undefined after the last byte. Rejects where the bytes break off before, and where the reader was closed. */
  next(): Promise<Buffer | undefined>
  /** Gives back all that it holds; a `next` that is under way settles soon. May be called again. */
  close(): void
}

/** A copy of all that is left, and the reader closed. For what is known to be small. */
export async function readToEnd(reader: ByteReader): Promise<Buffer> {
  try {
    const pieces: Buffer[] = []
    for (let piece = await reader.next(); piece !== undefined; piece = await reader.next())
      pieces.push(Buffer.from(piece))
    return Buffer.concat(pieces)
  } finally {
    reader.close()
  }
}
