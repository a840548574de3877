import {
  createServer as createHttpServer,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http'
import type { ServerOptions } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'

/** Bytes. Registry clients send small heads; a bearer token may take a few KiB. */
const HEADER_BYTES_MAX = 16 * 1024
const HEADERS_TIMEOUT_MS = 10_000
/** Longer than the idle time of common load balancers (60 s), so that they close first. */
export const KEEP_ALIVE_MS = 75_000
/** Without a byte in either direction; longer than a pull may take to be decided. A stalled download holds a file open. */
const IDLE_MS = 120_000
/** Far more than the nodes that one edge serves; a file descriptor each. */
const CONNECTIONS_MAX = 20_000
/** How often connections that have become idle are closed while draining. */
const DRAIN_STEP_MS = 50

/** Texts of PEM files. */
export type TlsFiles = {
  readonly cert: string
  readonly key: string
  /** Authorities of client certificates; undefined: none is asked for. */
  readonly clientCa?: string | undefined
  /** Whether a client without a certificate of theirs is turned away; default that it is not. */
  readonly clientCertificate?: 'optional' | 'required' | undefined
}

export type ListenOptions = {
  host: string
  port: number
  tls?: TlsFiles | undefined
  /** Milliseconds; default IDLE_MS. */
  idleMs?: number
}

export type ListenHandler = {
  readonly onRequest: RequestListener
  /** Told of each connection once node:http reads it. */
  onConnection?(socket: Socket): void
  /** Every answer from now on is to be the last of its connection. */
  onDrain?(): void
}

export type Listener = {
  readonly address: AddressInfo
  /** Stops accepting, lets running answers end, and after `drainMs` cuts what is left. */
  close(drainMs: number): Promise<void>
}

/** HTTP/1.1 only: HTTP/2 has no reason phrase, the one text that some clients show of a refusal. */
export async function listen(handler: ListenHandler, options: ListenOptions): Promise<Listener> {
  const settings = {
    maxHeaderSize: HEADER_BYTES_MAX,
    headersTimeout: HEADERS_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    insecureHTTPParser: false,
    noDelay: true,
  }
  const server: Server =
    options.tls === undefined
      ? createHttpServer(settings, handler.onRequest)
      : await createHttpsServer({ ...settings, ...secureSettings(options.tls) }, handler.onRequest)
  // Registered after node:http's own, so called after it.
  server.on(options.tls === undefined ? 'connection' : 'secureConnection', (socket: Socket) =>
    handler.onConnection?.(socket),
  )
  server.timeout = options.idleMs ?? IDLE_MS
  server.maxConnections = CONNECTIONS_MAX
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(options.port, options.host, resolve)
  })
  const address = server.address()
  if (address === null || typeof address === 'string') throw new TypeError('a TCP listener has an address')
  return { address, close: (drainMs) => close(server, handler, drainMs) }
}

/** A listener without TLS does not wait for it to be loaded. */
async function createHttpsServer(settings: ServerOptions, onRequest: RequestListener): Promise<Server> {
  const { createServer } = await import('node:https')
  return createServer(settings, onRequest)
}

function secureSettings({ cert, key, clientCa, clientCertificate }: TlsFiles): ServerOptions {
  const own = { cert, key, minVersion: 'TLSv1.2' } as const
  if (clientCa === undefined) return own
  return { ...own, ca: clientCa, requestCert: true, rejectUnauthorized: clientCertificate === 'required' }
}

async function close(server: Server, handler: ListenHandler, drainMs: number): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  handler.onDrain?.()
  // Every answer from now on is the last of its connection, and those that wait for another request are closed.
  server.prependListener('request', (_, response: ServerResponse) =>
    response.setHeader('connection', 'close'),
  )
  server.closeIdleConnections()
  const idle = setInterval(() => server.closeIdleConnections(), DRAIN_STEP_MS)
  const cut = setTimeout(() => server.closeAllConnections(), drainMs)
  await closed
  clearInterval(idle)
  clearTimeout(cut)
}
