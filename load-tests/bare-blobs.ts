import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { MEDIA_TYPE } from '../src/oci/manifest-types.ts'

/**
 * How fast Node can send a blob at all: the bytes that a registry gave once, from memory, written to the socket in large
 * pieces. No file is read, no request parsed but for its path. Node has no `sendfile`; what is lost between this and Portcullis
 * is Portcullis's own.
 *
 * Usage: node bare-blobs.ts PORT REGISTRY (`http://host:port`)
 */
const [port, registry] = process.argv.slice(2)
if (port === undefined || registry === undefined) throw new TypeError('usage: PORT REGISTRY')

const PIECE_BYTES = 256 * 1024
const HEAD_END = '\r\n\r\n'

/** The last one only: the largest is a gigabyte. */
let kept: { readonly path: string; readonly bytes: Promise<Buffer> } | undefined

async function get(path: string): Promise<Buffer> {
  const answer = await fetch(`${registry}${path}`, { headers: { accept: `${MEDIA_TYPE.ociManifest}, */*` } })
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`)
  return Buffer.from(await answer.arrayBuffer())
}

async function send(socket: Socket, path: string): Promise<void> {
  if (kept?.path !== path) kept = { path, bytes: get(path) }
  const bytes = await kept.bytes
  socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${bytes.length}${HEAD_END}`)
  for (let from = 0; from < bytes.length && !socket.destroyed; from += PIECE_BYTES) {
    if (socket.write(bytes.subarray(from, from + PIECE_BYTES))) continue
    // oxlint-disable-next-line no-await-in-loop -- as fast as the client takes it; one that leaves is an error
    await Promise.race([once(socket, 'drain'), once(socket, 'close')])
  }
}

createServer((socket) => {
  let head = ''
  socket.setNoDelay(true)
  socket.on('error', () => undefined)
  socket.on('data', (chunk: Buffer) => {
    head += chunk.toString('latin1')
    if (!head.endsWith(HEAD_END)) return
    const path = head.split(' ')[1] ?? ''
    head = ''
    send(socket, path).catch(() => socket.destroy())
  })
}).listen(Number(port), '127.0.0.1')
