import assert from 'node:assert/strict'
import { request, type Agent } from 'node:http'
import { connect } from 'node:net'
import { buffer } from 'node:stream/consumers'

/** An answer as it was on the wire. */
export type Reply = {
  readonly status: number
  readonly reasonPhrase: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
  /** The connection ended before the body was whole. */
  readonly broken: boolean
}

export type RequestOptions = {
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  /** Whose connections are used; default a new one. */
  readonly agent?: Agent
  /** Which of this machine's own addresses asks; default 127.0.0.1. */
  readonly localAddress?: string
}

/** HTTP/1.1 by node:http: what fetch hides (reason phrase, HEAD's Content-Length, Host) is given and shown as it is. */
export function requestTo(
  port: number,
  options: RequestOptions & { method: string; target: string },
): Promise<Reply> {
  const { method, target, headers = {}, body, localAddress = '127.0.0.1', agent = false } = options
  return new Promise((resolve, reject) => {
    const outgoing = request(
      { host: '127.0.0.1', port, localAddress, method, path: target, headers, agent },
      (incoming) => {
        const chunks: Buffer[] = []
        incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
        incoming.on('error', () => undefined)
        incoming.on('close', () => {
          resolve({
            status: incoming.statusCode ?? 0,
            reasonPhrase: incoming.statusMessage ?? '',
            headers: single(incoming.headersDistinct),
            body: Buffer.concat(chunks),
            broken: !incoming.complete,
          })
        })
      },
    )
    outgoing.on('error', reject)
    outgoing.end(body)
  })
}

function single(headers: NodeJS.Dict<string[]>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, values = []]) => [name, values.join(' | ')]))
}

/** Writes bytes that no HTTP client would write, and gives everything that comes back until the connection ends. */
export async function rawRequest(port: number, text: string): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  socket.write(text)
  try {
    return (await buffer(socket)).toString('latin1')
  } catch {
    return ''
  }
}

/** The status codes of all answers in what a socket gave. */
export function statusesOf(text: string): number[] {
  return [...text.matchAll(/^HTTP\/1\.1 (\d{3}) /gm)].map(([, status]) => Number(status))
}

export type OciError = { readonly code: string; readonly message: string }

/** The one error of an OCI error body (distribution-spec 1.1, "Error Codes"). */
export function errorOf(reply: Reply): OciError {
  assert.equal(reply.headers['content-type'], 'application/json')
  const parsed: { errors: OciError[] } = JSON.parse(reply.body.toString())
  const [error] = parsed.errors
  assert.ok(error !== undefined && parsed.errors.length === 1)
  return error
}

/** The head without what differs from request to request by nature. */
export function stableHeaders({ headers }: Reply): Record<string, string> {
  const { date: _, connection: __, 'keep-alive': ___, ...rest } = headers
  return rest
}
