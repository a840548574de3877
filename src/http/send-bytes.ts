import type { ServerResponse } from 'node:http'
import type { ByteReader } from '../byte-reader.ts'

/**
 * Sends a body after its head, and closes the reader: each piece when the kernel has taken the one before, so that a client that
 * does not read holds one piece. Where the body breaks off, or the client leaves, the connection is broken: nobody must take a
 * part for the whole. Never rejects.
 */
export async function sendBytes(reader: ByteReader, outgoing: ServerResponse): Promise<void> {
  const { socket } = outgoing.req
  const line = { isGone: socket.destroyed, hangUp: (): void => undefined }
  const onClose = (): void => {
    line.isGone = true
    // What it waits for, on the disk or upstream, it no longer waits for.
    reader.close()
    line.hangUp()
  }
  socket.once('close', onClose)
  try {
    for (let piece = await reader.next(); piece !== undefined; piece = await reader.next()) {
      if (line.isGone) break
      await written(piece, outgoing, line)
    }
    if (line.isGone) outgoing.destroy()
    else outgoing.end()
  } catch {
    outgoing.destroy()
  } finally {
    socket.off('close', onClose)
    reader.close()
  }
}

/** Until the kernel has the bytes, or the client has gone: of an answer that waits behind another nobody else would hear. */
async function written(piece: Buffer, outgoing: ServerResponse, line: { hangUp: () => void }): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  line.hangUp = resolve
  outgoing.write(piece, (error) => (error instanceof Error ? reject(error) : resolve()))
  await promise
}
