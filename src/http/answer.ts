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

/** Written to node's response, the one way by which a reason phrase of our own reaches the wire. */
export function sendAnswer(
  { status, reasonPhrase, headers, body }: Answer,
  outgoing: ServerResponse,
  method: string,
): void {
  // An error after the head of a blob: nothing can be said any more but that this is not all of it.
  if (outgoing.headersSent) {
    outgoing.destroy()
    return
  }
  outgoing.writeHead(status, reasonPhrase ?? STATUS_CODES[status] ?? 'Unknown', headers)
  if (method === 'HEAD') outgoing.end()
  // A string leaves in one piece with the head, a buffer in two; Latin-1 has one character for each byte.
  else if (body.length <= PIECE_MAX) outgoing.end(body.toString('latin1'), 'latin1')
  else outgoing.end(body)
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

export function readOnlyAnswer(): Answer {
  const headers = { allow: 'GET, HEAD' }
  return errorAnswer({
    status: 405,
    code: 'UNSUPPORTED',
    message: 'this is a read-only mirror: push to the registry itself',
    headers,
  })
}
