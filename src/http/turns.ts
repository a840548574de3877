import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/** Answers of one connection that are being made or wait for their turn. Clients of registries ask for one after the other. */
export const IN_LINE_MAX = 8

type Line = { inLine: number; readonly waiting: Set<() => void> }

/**
 * Answers of one connection, each made when it is the one that is being sent: whoever sends many requests at once (RFC 9112
 * section 9.3.2) has the files and the memory of one.
 */
export class Turns {
  readonly #lines = new WeakMap<Socket, Line>()

  /** What `answer` comes to; or why nobody will hear it, and then the connection is gone. */
  async take<T>(outgoing: ServerResponse, answer: () => Promise<T>): Promise<T | 'too-many' | 'gone'> {
    const { socket } = outgoing.req
    const line = this.#lineOf(socket)
    if (line.inLine === IN_LINE_MAX) {
      // To refuse it in its turn would be one more answer to keep.
      socket.destroy()
      return 'too-many'
    }
    line.inLine += 1
    try {
      await turnOf(outgoing, line)
      return socket.destroyed ? 'gone' : await answer()
    } finally {
      line.inLine -= 1
    }
  }

  #lineOf(socket: Socket): Line {
    const known = this.#lines.get(socket)
    if (known !== undefined) return known
    const line: Line = { inLine: 0, waiting: new Set() }
    this.#lines.set(socket, line)
    // One listener for all of them: node:http tells an answer that waits nothing of the end of its connection.
    socket.once('close', () => line.waiting.forEach((hangUp) => hangUp()))
    return line
  }
}

/** Until node:http has given the connection to this answer, or the client has gone. */
async function turnOf(outgoing: ServerResponse, { waiting }: Line): Promise<void> {
  if (outgoing.socket !== null || outgoing.req.socket.destroyed) return
  const { promise, resolve } = Promise.withResolvers<void>()
  waiting.add(resolve)
  outgoing.once('socket', () => resolve())
  await promise
  waiting.delete(resolve)
}
