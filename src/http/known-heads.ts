import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { LRUCache } from 'lru-cache'
import type { WrittenAnswer } from './answer.ts'

/** Bytes. A pull sends 200 to 400; what is longer holds a token of its own and comes once. */
const HEAD_BYTES_MAX = 2048
const HEADS_MAX = 10_000
/** Bytes of heads and of the answers to them. */
const KNOWN_BYTES_MAX = 64 * 1024 * 1024
/** Of what a head asks for, beside both. */
const ENTRY_BYTES = 1024
const LATIN1 = 'latin1'
const HEAD_END = '\r\n\r\n'
/** What makes a request more than its head, or more than a request (RFC 9112 section 6, RFC 9110 sections 7.8 and 10.1.1). */
const MORE_THAN_A_HEAD = [
  'content-length',
  'transfer-encoding',
  'upgrade',
  'expect',
  'trailer',
  'te',
] as const

const SECRETS = ['authorization', 'proxy-authorization', 'cookie'] as const

/** A head that node:http has read. */
type Head<Known> = { readonly bytes: Buffer; readonly asks: Known; isForgotten: boolean }

/** One connection, as far as it is known that each piece of it was one whole request. */
type Line<Known> = {
  readonly socket: Socket
  /** What was answered here last: most who ask again ask the same. */
  last: Head<Known> | undefined
  /** The piece that node:http was given last. */
  piece: string
  /** Pieces given to node:http, and requests that it read in them. As long as they agree it stands between two requests. */
  pieces: number
  requests: number
  /** Answers that node:http has not ended yet. */
  open: number
  /** A piece that was no whole head: from here on only node:http knows where a request begins. */
  isOver: boolean
}

/**
 * Requests whose very bytes node:http has read before. It reads the head of a request in the same way each time, so what
 * it made of these bytes once is what it would make of them again, and most of what is asked of a mirror is the same
 * few heads, sent by every node of a cluster. Nothing is parsed here: bytes that are not equal in every one, or come
 * at a moment that is not surely the start of a request, go to node:http, which stays the one parser of HTTP.
 */
export class KnownHeads<Known> {
  readonly #answer: (known: Known, socket: Socket) => WrittenAnswer | undefined
  /** By the bytes, each a character. */
  readonly #known = new LRUCache<string, Head<Known>>({
    max: HEADS_MAX,
    maxSize: KNOWN_BYTES_MAX,
    dispose: (head) => (head.isForgotten = true),
  })
  readonly #lines = new WeakMap<Socket, Line<Known>>()
  #isStopped = false

  /** `answer`: the whole answer, or undefined where it takes time or is none of the ordinary ones. */
  constructor(answer: (known: Known, socket: Socket) => WrittenAnswer | undefined) {
    this.#answer = answer
  }

  /** To be told of every connection after node:http has been. What arrives is looked at here first. */
  watch(socket: Socket): void {
    const [read, ...others] = socket.listeners('data')
    // Another version of node:http may listen in another way; then it reads everything itself.
    if (read === undefined || others.length > 0) return
    const line: Line<Known> = {
      socket,
      last: undefined,
      piece: '',
      pieces: 0,
      requests: 0,
      open: 0,
      isOver: false,
    }
    this.#lines.set(socket, line)
    socket.removeAllListeners('data')
    socket.on('data', (chunk: Buffer) => {
      if (!this.#isAnswered(line, chunk)) Reflect.apply(read, socket, [chunk])
    })
  }

  /** To be told of every request that node:http has read, before anything else. */
  noteRequest(incoming: IncomingMessage, outgoing: ServerResponse): void {
    const line = this.#lines.get(incoming.socket)
    if (line === undefined) return
    line.requests += 1
    line.open += 1
    // What comes next may be its body, though the answer is not waiting for it.
    if (!isOnlyHead(incoming)) line.isOver = true
    outgoing.once('close', () => (line.open -= 1))
  }

  /**
   * `asks`: what the request that node:http has just read asks for, where that follows from its head alone. `sizeBytes`: of
   * the answer.
   */
  learn(
    { socket, headers, httpVersion }: IncomingMessage,
    { shouldKeepAlive }: ServerResponse,
    { asks, sizeBytes }: { asks: () => Known; sizeBytes: number },
  ): void {
    const line = this.#lines.get(socket)
    if (line === undefined || line.isOver || line.requests !== line.pieces) return
    if (httpVersion !== '1.1' || !shouldKeepAlive) return
    // A secret is not kept, and is compared by whoever knows how.
    if (SECRETS.some((name) => headers[name] !== undefined)) return
    // Memory of its own: what is kept for long would keep what it shares a piece of node's pool with.
    const bytes = Buffer.allocUnsafeSlow(line.piece.length)
    bytes.write(line.piece, LATIN1)
    // Head and answer are kept twice: to be found, and to be compared; as it was sent, and as its parts.
    const size = 2 * (bytes.length + sizeBytes) + ENTRY_BYTES
    this.#known.set(line.piece, { bytes, asks: asks(), isForgotten: false }, { size })
  }

  /** From now on node:http answers everything, and ends connections as it is told to. */
  stop(): void {
    this.#isStopped = true
  }

  #isAnswered(line: Line<Known>, chunk: Buffer): boolean {
    if (line.isOver) return false
    const known = this.#mayAnswer(line) ? this.#find(line, chunk) : undefined
    const answer = known === undefined ? undefined : this.#answer(known.asks, line.socket)
    if (answer !== undefined) {
      line.last = known
      write(answer, line.socket)
      return true
    }
    const head = textOf(chunk)
    // What takes time now, or has become large, is learned again once it does not.
    if (known !== undefined) this.#known.delete(head)
    // Exactly one head: its end is the end of the piece, and comes nowhere before.
    line.isOver = !head.endsWith(HEAD_END) || head.indexOf(HEAD_END) !== head.length - HEAD_END.length
    line.piece = head
    line.pieces += 1
    return false
  }

  /** Two runs of bytes are compared in a fraction of the time that it takes to look one up. */
  #find({ last }: Line<Known>, chunk: Buffer): Head<Known> | undefined {
    if (last?.isForgotten === false && last.bytes.equals(chunk)) return last
    return this.#known.get(textOf(chunk))
  }

  /** Between two requests, the answer to the last on its way, and nobody who reads slower than he asks. */
  #mayAnswer({ socket, pieces, requests, open }: Line<Known>): boolean {
    return (
      !this.#isStopped && requests > 0 && requests === pieces && open === 0 && socket.writableLength === 0
    )
  }
}

/** Empty where it is too long to be known. */
function textOf(chunk: Buffer): string {
  return chunk.length > HEAD_BYTES_MAX ? '' : chunk.toString(LATIN1)
}

function write({ first, body }: WrittenAnswer, socket: Socket): void {
  if (body === undefined) {
    socket.write(first)
    return
  }
  // One system call for both.
  socket.cork()
  socket.write(first)
  socket.write(body)
  socket.uncork()
}

function isOnlyHead({ method, headers }: IncomingMessage): boolean {
  return (
    (method === 'GET' || method === 'HEAD') && MORE_THAN_A_HEAD.every((name) => headers[name] === undefined)
  )
}
