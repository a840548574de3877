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
