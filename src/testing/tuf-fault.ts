import type { ServerResponse } from 'node:http'

/** What one TUF repository does instead of answering rightly. */
export type TufFault =
  /** Nobody listens on the port. */
  | 'refused'
  /** Takes the request and never answers. */
  | 'hang'
  /** 500 for everything. */
  | 'error'
  /** 429 with `Retry-After`. */
  | 'throttled'
  /** The right answer, a byte at a time, and never all of it. */
  | 'slow'
  /** 200 with a web page. */
  | 'garbage'
  /** The right headers and half of the body, then the connection closes. */
  | 'cut-short'
  /** 200 with a body that does not end. */
  | 'too-large'
  /** A new timestamp, rightly signed, that expired an hour ago. */
  | 'expired'
  /** An older timestamp, rightly signed and unexpired. */
  | 'rollback'
  /** A new timestamp that a stranger signed. */
  | 'wrong-signature'
  /** Targets with one bit flipped: seen by whoever fetches them anew. */
  | 'wrong-hash'

/** Made by the publisher, not by the server. */
export type SigningFault = 'expired' | 'rollback' | 'wrong-signature'

export type WireFault = Exclude<TufFault, 'refused' | SigningFault>

export function isSigningFault(fault: TufFault): fault is SigningFault {
  return fault === 'expired' || fault === 'rollback' || fault === 'wrong-signature'
}

const PAGE = Buffer.from('<!doctype html><title>Welcome</title><p>It works!</p>')

const DRIP_MS = 20
const CHUNK = Buffer.alloc(64 * 1024, 0x20)

/** Answers a request for `bytes` with the fault. */
export function answerFault(fault: WireFault, bytes: Buffer, response: ServerResponse): void {
  switch (fault) {
    case 'hang':
      return undefined
    case 'error':
      return void response.writeHead(500).end('internal error')
    case 'throttled':
      return void response.writeHead(429, { 'retry-after': '30' }).end('too many requests')
    case 'garbage':
      return void response.writeHead(200, { 'content-type': 'text/html' }).end(PAGE)
    case 'cut-short':
      response.writeHead(200, { 'content-length': bytes.length })
      return void response.write(bytes.subarray(0, bytes.length >> 1), () => response.destroy())
    case 'slow':
      return drip(response)
    case 'too-large':
      return pour(response)
    case 'wrong-hash':
      return void response.writeHead(200, { 'content-length': bytes.length }).end(flipped(bytes))
  }
}

function drip(response: ServerResponse): void {
  response.writeHead(200)
  const timer = setInterval(() => response.write(' '), DRIP_MS)
  response.on('close', () => clearInterval(timer))
}

function pour(response: ServerResponse): void {
  response.writeHead(200)
  const more = (): void => {
    while (!response.destroyed && response.write(CHUNK));
  }
  response.on('drain', more)
  more()
}

function flipped(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes)
  const last = copy.length - 1
  copy.writeUInt8(copy.readUInt8(last) ^ 1, last)
  return copy
}
