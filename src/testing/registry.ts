import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { createRegistryGuard, type RegistryAuth } from './registry-auth.ts'
import { createRegistryContent, type RegistryContent } from './registry-content.ts'
import { errorReply, type RegistryRequest, type Reply } from './registry-reply.ts'
import { answer } from './registry-routes.ts'

/** What happens to one request in place of the right answer. */
export type Fault =
  | Reply
  /** Never answers. */
  | 'hang'
  /** Closes the connection without a byte. */
  | 'reset'
  /** The right headers and the first half of the body, then the connection closes. */
  | 'truncate'
  /** The right answer with one bit of its body flipped. */
  | 'corrupt'

type SeenRequest = {
  readonly method: string
  readonly url: string
  readonly headers: IncomingHttpHeaders
}

/** May wait: a promise that a test holds makes a slow registry without a clock. */
type Behaviour = (request: SeenRequest) => Fault | undefined | Promise<Fault | undefined>

export type RegistryOptions = {
  readonly auth?: RegistryAuth
  /** Default true: answer the referrers API; otherwise 404, and pushes are not told `OCI-Subject`. */
  readonly referrersApi?: boolean
  /** Entries in a page of tags or referrers; default 1000. */
  readonly pageSize?: number
  /** Default any free one. */
  readonly port?: number
  /** Milliseconds, for the expiry of tokens. */
  readonly now?: () => number
}

/** An OCI registry on the loopback interface, for tests and the demo. */
export type TestRegistry = RegistryContent &
  AsyncDisposable & {
    readonly url: string
    /** `127.0.0.1:port` */
    readonly host: string
    readonly port: number
    /** Everything that was asked, oldest first; a test may empty it. */
    readonly requests: SeenRequest[]
    /** Replaces the behaviour; undefined is an honest registry again. */
    behave(behaviour: Behaviour | undefined): void
    setReferrersApi(enabled: boolean): void
    /** Closes the port and every connection; the content stays. */
    stop(): Promise<void>
    /** Listens again on the same port after `stop`. */
    restart(): Promise<void>
  }

const PAGE_SIZE = 1000

export async function startRegistry(options: RegistryOptions = {}): Promise<TestRegistry> {
  const content = createRegistryContent()
  const requests: SeenRequest[] = []
  const uploads = new Map<string, Buffer>()
  const guard = createRegistryGuard(options.auth, options.now ?? Date.now)
  const state: { behaviour: Behaviour | undefined; referrersApi: boolean } = {
    behaviour: undefined,
    referrersApi: options.referrersApi ?? true,
  }
  const routes = {
    content,
    uploads,
    pageSize: options.pageSize ?? PAGE_SIZE,
    referrersApi: () => state.referrersApi,
  }
  const handle = async (incoming: IncomingMessage, outgoing: ServerResponse) => {
    const { method = '', url = '', headers } = incoming
    requests.push({ method, url, headers })
    const body = await buffer(incoming)
    const fault = await state.behaviour?.({ method, url, headers })
    const { pathname: path, searchParams: query } = new URL(url, 'http://registry')
    const request = { method, url, path: decodeURIComponent(path), query, headers, body }
    const honest = () =>
      path === '/token' ? guard.token(request) : (guard.challenge(request) ?? answer(request, routes))
    respond(request, outgoing, fault, honest)
  }
  const server = createServer((incoming, outgoing) => {
    // A connection that dies under a request is the client's business; the rest is a mistake in this file.
    handle(incoming, outgoing).catch((error: unknown) => {
      if (!incoming.complete || outgoing.headersSent) outgoing.destroy()
      else send(outgoing, errorReply(500, 'UNKNOWN', String(error)), true)
    })
  })
  const listen = (port: number) =>
    new Promise<number>((resolve, reject) => {
      server.once('error', reject)
      server.listen(port, '127.0.0.1', () => {
        server.off('error', reject)
        const address = server.address()
        resolve(typeof address === 'object' && address !== null ? address.port : port)
      })
    })
  const stop = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve())
      server.closeAllConnections()
    })
  const port = await listen(options.port ?? 0)
  const host = `127.0.0.1:${port}`
  return {
    ...content,
    url: `http://${host}`,
    host,
    port,
    requests,
    behave: (behaviour) => {
      state.behaviour = behaviour
    },
    setReferrersApi: (enabled) => {
      state.referrersApi = enabled
    },
    stop,
    restart: async () => void (await listen(port)),
    [Symbol.asyncDispose]: stop,
  }
}

function respond(
  request: RegistryRequest,
  outgoing: ServerResponse,
  fault: Fault | undefined,
  honest: () => Reply,
): void {
  const withBody = request.method !== 'HEAD'
  if (typeof fault === 'object') return send(outgoing, fault, withBody)
  switch (fault) {
    case undefined:
      return send(outgoing, honest(), withBody)
    case 'hang':
      return undefined
    case 'reset':
      outgoing.destroy()
      return undefined
    case 'truncate': {
      const { status, headers, body = '' } = honest()
      const bytes = Buffer.from(body)
      outgoing.writeHead(status, { ...headers, 'content-length': bytes.length })
      outgoing.write(bytes.subarray(0, Math.floor(bytes.length / 2)), () => outgoing.destroy())
      return undefined
    }
    case 'corrupt': {
      const reply = honest()
      const bytes = Buffer.from(reply.body ?? '')
      const middle = Math.floor(bytes.length / 2)
      if (bytes.length > 0) bytes.writeUInt8(bytes.readUInt8(middle) ^ 1, middle)
      return send(outgoing, { ...reply, body: bytes }, withBody)
    }
  }
}

function send(outgoing: ServerResponse, reply: Reply, withBody: boolean): void {
  const bytes = Buffer.from(reply.body ?? '')
  outgoing.writeHead(reply.status, {
    'docker-distribution-api-version': 'registry/2.0',
    ...(reply.status === 204 ? {} : { 'content-length': bytes.length }),
    ...reply.headers,
  })
  outgoing.end(withBody ? bytes : undefined)
}
