import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { AnswerReader } from './answer-reader.ts'
import type { Target } from './measure.ts'

/** Read at once: bodies are only counted here, so the same memory takes them all. */
const READ_BYTES = 256 * 1024

type Awaited = { readonly reader: AnswerReader; readonly answered: (status: number) => void }

/** One keep-alive connection of a client that asks for one thing after the other and looks only at status and length. */
class ClientConnection {
  readonly #socket: Socket
  #awaited: Awaited | undefined

  constructor(url: string) {
    const { hostname, port } = new URL(url)
    const onread = {
      buffer: Buffer.allocUnsafe(READ_BYTES),
      callback: (bytes: number, buffer: Uint8Array) =>
        this.#read(Buffer.from(buffer.buffer, buffer.byteOffset, bytes)),
    }
    this.#socket = connect({ host: hostname, port: Number(port), noDelay: true, onread })
    this.#socket.on('error', () => undefined)
    this.#socket.on('close', () => this.#end(0))
  }

  async open(): Promise<void> {
    if (this.#socket.connecting) await once(this.#socket, 'connect')
  }

  /** True where the whole answer came, a 200 of the length expected. */
  async ask(target: Target): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<number>()
    const reader = new AnswerReader(target.method)
    this.#awaited = { reader, answered: resolve }
    if (this.#socket.destroyed) this.#end(0)
    else this.#socket.write(requestBytes(target))
    const status = await promise
    return status === 200 && reader.bodyBytes === (target.method === 'HEAD' ? 0 : target.bodyBytes)
  }

  close(): void {
    this.#socket.destroy()
  }

  #read(chunk: Buffer): boolean {
    const reader = this.#awaited?.reader
    try {
      // A head that is not whole yet is kept by the reader, and the memory is not its own.
      const isInBody = reader !== undefined && reader.bodyBytes > 0
      const status = reader?.read(isInBody ? chunk : Buffer.copyBytesFrom(chunk)) ?? 0
      if (status !== 0) this.#end(status)
    } catch {
      this.#socket.destroy()
    }
    return true
  }

  #end(status: number): void {
    const answered = this.#awaited?.answered
    this.#awaited = undefined
    answered?.(status)
  }
}

export function requestBytes({ url, method, headers }: Target): Buffer {
  const { host, pathname, search } = new URL(url)
  const lines = Object.entries({ host, ...headers }).map(([name, value]) => `${name}: ${value}\r\n`)
  return Buffer.from(`${method} ${pathname}${search} HTTP/1.1\r\n${lines.join('')}\r\n`, 'latin1')
}

export type Pulls = {
  /** Whole sequences. */
  readonly pulls: number
  readonly failed: number
  readonly elapsedMs: number
  readonly latenciesMs: readonly number[]
}

/**
 * `clients` at once, each with one connection, each asking for `sequence` in its order, again and again for `seconds` or
 * `times` in all, whichever comes first. A client that was answered wrongly stops: what follows would mean nothing.
 */
export async function repeatPulls(
  sequence: readonly Target[],
  { clients, seconds, times = Infinity }: { clients: number; seconds: number; times?: number },
): Promise<Pulls> {
  const first = sequence[0]
  if (first === undefined) throw new RangeError('nothing to ask for')
  const connections = Array.from({ length: clients }, () => new ClientConnection(first.url))
  await Promise.all(connections.map((connection) => connection.open()))
  const latenciesMs: number[] = []
  let [begun, failed] = [0, 0]
  const started = performance.now()
  const endMs = started + seconds * 1000
  const pull = async (connection: ClientConnection): Promise<void> => {
    while (performance.now() < endMs && begun < times) {
      begun += 1
      const beganMs = performance.now()
      for (const target of sequence) {
        if (await connection.ask(target)) continue
        failed += 1
        return
      }
      latenciesMs.push(performance.now() - beganMs)
    }
  }
  await Promise.all(connections.map(pull))
  const elapsedMs = performance.now() - started
  for (const connection of connections) connection.close()
  return { pulls: latenciesMs.length, failed, elapsedMs, latenciesMs }
}
