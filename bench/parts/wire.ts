import { createServer } from 'node:http'
import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import type { ListenHandler } from '../../src/server.ts'

/** A connection without a network: what a client sends is handed to node:http as a socket would, and answers are only kept. */
class Wire extends Duplex {
  readonly remoteAddress = '10.0.0.1'
  answer: (string | Buffer)[] = []

  constructor() {
    // As net.Socket: strings reach the write as they are.
    super({ decodeStrings: false })
  }

  override _read(): void {
    // It is pushed to.
  }

  override _write(chunk: string | Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.answer.push(chunk)
    done()
  }

  override _writev(chunks: readonly { chunk: string | Buffer }[], done: () => void): void {
    for (const { chunk } of chunks) this.answer.push(chunk)
    done()
  }
}

export type Client = {
  /** The whole answer, in pieces; it must be there at once. */
  ask(head: Buffer): readonly (string | Buffer)[]
  /** Settles once node:http has ended the answer too. */
  askThroughNode(head: Buffer): Promise<readonly (string | Buffer)[]>
  /** Requests that node:http has read; all others were known. */
  readonly read: () => number
}

/** One connection to a server of node:http, with the settings of `listen` that concern one request. */
export function connect(handler: ListenHandler): Client {
  const wire = new Wire()
  let read = 0
  let ended: (() => void) | undefined
  const server = createServer({ noDelay: true }, (incoming, outgoing) => {
    read += 1
    outgoing.once('close', () => ended?.())
    handler.onRequest(incoming, outgoing)
  })
  server.on('connection', (socket: Socket) => handler.onConnection?.(socket))
  server.emit('connection', wire)
  const ask = (head: Buffer): readonly (string | Buffer)[] => {
    wire.answer = []
    wire.push(head)
    return wire.answer
  }
  return {
    ask,
    async askThroughNode(head) {
      const end = new Promise<void>((resolve) => (ended = resolve))
      ask(head)
      await end
      return wire.answer
    },
    read: () => read,
  }
}
