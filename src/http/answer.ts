import { STATUS_CODES, type ServerResponse } from 'node:http'

/**
 * A whole answer as a value. HEAD sends the same head without the body, so that HEAD and GET cannot disagree.
 * `reasonPhrase` is the only text that some clients show (dockerd and skopeo drop the body of a 5xx).
 */
export type Answer = {
  readonly status: number
  readonly reasonPhrase?: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
  /** For the log line of the request. */
  readonly facts?: Readonly<Record<string, string>>
}

/** OCI distribution-spec 1.1 error codes, and UNAVAILABLE, which go-containerregistry treats as temporary. */
type OciErrorCode =
  | 'BLOB_UNKNOWN'
  | 'DENIED'
  | 'DIGEST_INVALID'
  | 'MANIFEST_INVALID'
  | 'MANIFEST_UNKNOWN'
  | 'NAME_INVALID'
  | 'NAME_UNKNOWN'
  | 'TOOMANYREQUESTS'
  | 'UNAUTHORIZED'
  | 'UNAVAILABLE'
  | 'UNKNOWN'
  | 'UNSUPPORTED'

/** oras reads at most 8 KiB of an error body. */
const MESSAGE_LENGTH_MAX = 2000

export type ErrorAnswer = {
  status: number
  code: OciErrorCode
  /** One line; shown by docker, podman and skopeo after the code. */
  message: string
  reasonPhrase?: string
  headers?: Readonly<Record<string, string>>
  facts?: Readonly<Record<string, string>>
}

export function errorAnswer({ status, code, message, reasonPhrase, headers, facts }: ErrorAnswer): Answer {
  const errors = [{ code, message: message.slice(0, MESSAGE_LENGTH_MAX) }]
  const body = Buffer.from(JSON.stringify({ errors }))
  return {
    status,
    ...(reasonPhrase === undefined ? {} : { reasonPhrase: printable(reasonPhrase) }),
    headers: {
      'content-type': 'application/json',
      'content-length': String(body.length),
      'cache-control': 'no-store',
      'docker-distribution-api-version': 'registry/2.0',
      ...headers,
    },
    body,
    ...(facts === undefined ? {} : { facts }),
  }
}

/** RFC 9112 section 4 allows little in a reason phrase, and part of ours comes from outside. */
export function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]+/g, '?')
}

/** Bytes. */
const PIECE_MAX = 16 * 1024

/** Whether what is sent is small enough to be copied for each who asks: a client that does not read keeps its copy in memory. */
function isOnePiece({ body }: Answer, method: string): boolean {
  return method === 'HEAD' || body.length <= PIECE_MAX
}

/** Written to node's response, the one way by which a reason phrase of our own reaches the wire. */
export function sendAnswer(answer: Answer, outgoing: ServerResponse, method: string): void {
  const { status, reasonPhrase, headers, body } = answer
  // An error after the head of a blob: nothing can be said any more but that this is not all of it.
  if (outgoing.headersSent) {
    outgoing.destroy()
    return
  }
  outgoing.writeHead(status, reasonPhrase ?? STATUS_CODES[status] ?? 'Unknown', headers)
  if (method === 'HEAD') outgoing.end()
  // A string leaves in one piece with the head, a buffer in two; Latin-1 has one character for each byte.
  else if (isOnePiece(answer, method)) outgoing.end(body.toString('latin1'), 'latin1')
  else outgoing.end(body)
}

/** As it goes to the socket, to all who ask the same bytes: in one piece, or its head and a body that is kept only once. */
export type WrittenAnswer = { readonly first: Buffer; readonly body?: Buffer }

/** Whole answers that were sent a moment ago: all that changes in one is its date, once a second. */
export class WrittenAnswers {
  readonly #keepAliveSeconds: number
  readonly #now: () => Date
  /** By the head that they have: one object for each manifest that is served. */
  readonly #written = new WeakMap<Answer['headers'], { GET?: Written; HEAD?: Written }>()
  #date = { second: -1, text: '' }

  constructor({ keepAliveSeconds, now }: { keepAliveSeconds: number; now: () => Date }) {
    this.#keepAliveSeconds = keepAliveSeconds
    this.#now = now
  }

  /** Byte for byte what node:http writes for `sendAnswer` on a connection that is kept. */
  wire(answer: Answer, method: 'GET' | 'HEAD'): WrittenAnswer {
    const { status, headers, body } = answer
    const date = this.#dateText()
    let written = this.#written.get(headers)
    if (written === undefined) this.#written.set(headers, (written = {}))
    const last = written[method]
    if (last?.date === date && last.of === body && last.status === status) return last.answer
    const made = this.#write(answer, method, date)
    written[method] = { status, date, of: body, answer: made }
    return made
  }

  #write(answer: Answer, method: 'GET' | 'HEAD', date: string): WrittenAnswer {
    const head = this.#head(answer, date)
    const { body } = answer
    const isWhole = method === 'GET' && isOnePiece(answer, method)
    // Memory of its own, since it is kept: a piece of node's pool would keep all of that.
    const first = Buffer.allocUnsafeSlow(head.length + (isWhole ? body.length : 0))
    first.write(head, 'latin1')
    if (isWhole) body.copy(first, head.length)
    return isOnePiece(answer, method) ? { first } : { first, body }
  }

  #head({ status, reasonPhrase, headers }: Answer, date: string): string {
    const fields = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
    const phrase = reasonPhrase ?? STATUS_CODES[status] ?? 'Unknown'
    const kept = `Date: ${date}\r\nConnection: keep-alive\r\nKeep-Alive: timeout=${this.#keepAliveSeconds}\r\n`
    return `HTTP/1.1 ${status} ${phrase}\r\n${fields.join('')}${kept}\r\n`
  }

  #dateText(): string {
    const now = this.#now()
    const second = Math.floor(now.getTime() / 1000)
    if (second !== this.#date.second) this.#date = { second, text: now.toUTCString() }
    return this.#date.text
  }
}

type Written = {
  readonly status: number
  readonly date: string
  /** The body of the answer that was written. */
  readonly of: Buffer
  readonly answer: WrittenAnswer
}

/** Of `/v2/`: this is a registry (distribution-spec, "Determining Support"). */
export function pingAnswer(): Answer {
  const body = Buffer.from('{}')
  const headers = {
    'content-type': 'application/json',
    'content-length': String(body.length),
    'docker-distribution-api-version': 'registry/2.0',
  }
  return { status: 200, headers, body }
}

/**
 * Basic, because that is how clients show what `docker login` has stored; they show it only when asked (RFC 7617). The same
 * for a token that is missing and for one that is wrong, which is what tells a person who logs in.
 */
export function challengeAnswer(): Answer {
  const headers = { 'www-authenticate': 'Basic realm="portcullis", charset="UTF-8"' }
  const message = 'a token is required: as the password of docker login, or as Authorization: Bearer'
  return errorAnswer({ status: 401, code: 'UNAUTHORIZED', message, headers })
}

export function readOnlyAnswer(): Answer {
  const headers = { allow: 'GET, HEAD' }
  return errorAnswer({
    status: 405,
    code: 'UNSUPPORTED',
    message: 'this is a read-only mirror: push to the registry itself',
    headers,
  })
}
