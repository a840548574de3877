import type { Socket } from 'node:net'
import { deserialize, serialize } from 'node:v8'

/**
 * Messages on a socket between two processes of this proxy: the length in four bytes, then the message by structured
 * cloning. HTTP costs twice as much to write and to read, and has headers that a client could forge.
 */

const HEAD_BYTES = 4
/** Far more than an answer with the largest manifest. */
const FRAME_BYTES_MAX = 16 * 1024 * 1024

/** Throws where the message holds what cannot be cloned, or is larger than the other side takes; then nothing has been sent. */
export function sendFrame(socket: Pick<Socket, 'write'>, message: unknown): void {
  const body = serialize(message)
  checkSize(body.length)
  const head = Buffer.allocUnsafe(HEAD_BYTES)
  head.writeUInt32LE(body.length)
  socket.write(Buffer.concat([head, body]))
}

/** What comes on one socket, message by message. */
export class Frames {
  #chunks: Buffer[] = []
  #sizeBytes = 0
  /** Of the frame that has begun, its head included. */
  #wantedBytes = HEAD_BYTES

  /** The messages that have become whole. Throws RangeError where one is too large: nothing after it can be read. */
  push(chunk: Buffer): readonly unknown[] {
    this.#chunks.push(chunk)
    this.#sizeBytes += chunk.length
    const messages: unknown[] = []
    while (this.#sizeBytes >= this.#wantedBytes) {
      const held = this.#joined()
      const endBytes = HEAD_BYTES + sizeOf(held)
      this.#wantedBytes = endBytes
      if (held.length < endBytes) break
      messages.push(deserialize(held.subarray(HEAD_BYTES, endBytes)))
      this.#chunks = [held.subarray(endBytes)]
      this.#sizeBytes -= endBytes
      this.#wantedBytes = HEAD_BYTES
    }
    return messages
  }

  #joined(): Buffer {
    const [first] = this.#chunks
    const held = this.#chunks.length === 1 && first !== undefined ? first : Buffer.concat(this.#chunks)
    this.#chunks = [held]
    return held
  }
}

function sizeOf(frame: Buffer): number {
  const sizeBytes = frame.readUInt32LE()
  checkSize(sizeBytes)
  return sizeBytes
}

function checkSize(sizeBytes: number): void {
  if (sizeBytes > FRAME_BYTES_MAX)
    throw new RangeError(`found a message of ${sizeBytes} bytes, expected at most ${FRAME_BYTES_MAX}`)
}
