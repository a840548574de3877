import type { Readable } from 'node:stream'

/** The whole body, or undefined where it has more than `bytesMax` bytes; then the rest is not read. */
export async function readBody(incoming: Readable, bytesMax: number): Promise<Buffer | undefined> {
  const chunks: Buffer[] = []
  let sizeBytes = 0
  for await (const chunk of incoming) {
    if (!Buffer.isBuffer(chunk)) return undefined
    sizeBytes += chunk.length
    if (sizeBytes > bytesMax) return undefined
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}
