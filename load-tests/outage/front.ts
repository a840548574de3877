import { once } from 'node:events'
import {
  Agent,
  createServer,
  request,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  type ServerResponse,
} from 'node:http'
import { text } from 'node:stream/consumers'
import { setTimeout as pause } from 'node:timers/promises'

/** What a dependency does instead of answering. `expired`, of a TUF repository only: signed metadata that is over. */
export const FAULTS = ['refused', 'hanging', '500', '429', 'slow', 'garbage', 'expired'] as const
export type Fault = (typeof FAULTS)[number]

/** A dependency as the proxy sees it: passes requests on to the real double, until it is broken. */
export type Front = {
  /** `http://127.0.0.1:port`. */
  readonly url: string
  /** `127.0.0.1:port`. */
  readonly host: string
  /** Requests that arrived so far. One that is refused a connection does not. */
  asked(): number
  /** Undefined mends it, on the same port. */
  breakWith(fault: Fault | undefined): Promise<void>
  close(): Promise<void>
}

export type FrontOptions = {
  readonly target: string
  /** What `expired` answers, by path. */
  readonly expired?: ReadonlyMap<string, Buffer>
}

type Canned = { readonly status: number; readonly headers: OutgoingHttpHeaders; readonly body: string }

const CANNED = {
  '500': { status: 500, headers: {}, body: 'internal error\n' },
  '429': { status: 429, headers: { 'retry-after': '30' }, body: 'slow down\n' },
  garbage: {
    status: 200,
    headers: { 'content-type': 'text/html' },
    body: '<!doctype html><title>Welcome to the hotel network</title>\n',
  },
} as const satisfies Partial<Record<Fault, Canned>>

/** A byte each, so that no answer of interest is whole before every time limit has passed. */
const DRIP_MS = 100
/** An answer without a body cannot be dripped. */
const LATE_MS = 4_000

export async function openFront({ target, expired = new Map() }: FrontOptions): Promise<Front> {
  const agent = new Agent({ keepAlive: true })
  const state: { fault: Fault | undefined; asked: number } = { fault: undefined, asked: 0 }
  const forward = async (incoming: IncomingMessage, outgoing: ServerResponse, isSlow: boolean) => {
    const { method = 'GET', url = '/', headers } = incoming
    const onward = request(target, { agent, method, path: url, headers })
    incoming.pipe(onward)
    const [answer] = (await once(onward, 'response')) as [IncomingMessage]
    if (isSlow) return await drip(answer, outgoing, method)
    outgoing.writeHead(answer.statusCode ?? 502, answer.headers)
    answer.pipe(outgoing)
  }
  const handle = async (incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> => {
    state.asked += 1
    const { fault } = state
    if (fault === 'hanging') return void incoming.resume()
    const old = fault === 'expired' ? expired.get(incoming.url ?? '') : undefined
    if (old !== undefined) return void outgoing.end(old)
    if (fault === '500' || fault === '429' || fault === 'garbage') {
      const { status, headers, body } = CANNED[fault]
      incoming.resume()
      outgoing.writeHead(status, { ...headers, 'content-length': body.length })
      return void outgoing.end(incoming.method === 'HEAD' ? undefined : body)
    }
    await forward(incoming, outgoing, fault === 'slow')
  }
  const server = createServer((incoming, outgoing) => {
    handle(incoming, outgoing).catch(() => outgoing.destroy())
  })
  const listen = async (at: number): Promise<number> => {
    server.listen(at, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    return typeof address === 'object' && address !== null ? address.port : at
  }
  const close = async (): Promise<void> => {
    if (!server.listening) return
    const closed = once(server, 'close')
    server.close()
    server.closeAllConnections()
    await closed
  }
  const port = await listen(0)
  return {
    url: `http://127.0.0.1:${port}`,
    host: `127.0.0.1:${port}`,
    asked: () => state.asked,
    async breakWith(fault) {
      state.fault = fault
      if (fault === 'refused') return await close()
      if (!server.listening) await listen(port)
      // Who hangs on it hears that it is back, as after a restart.
      else if (fault === undefined) server.closeAllConnections()
    },
    async close() {
      await close()
      agent.destroy()
    },
  }
}

/** The head at once, then a byte now and then. */
async function drip(answer: IncomingMessage, outgoing: ServerResponse, method: string): Promise<void> {
  const body = await text(answer.setEncoding('latin1'))
  if (method === 'HEAD') await pause(LATE_MS)
  outgoing.writeHead(answer.statusCode ?? 502, answer.headers)
  if (method === 'HEAD') return void outgoing.end()
  for (const byte of Buffer.from(body, 'latin1')) {
    if (outgoing.destroyed) return
    outgoing.write(Buffer.of(byte))
    // oxlint-disable-next-line no-await-in-loop -- that is what slow means
    await pause(DRIP_MS)
  }
  outgoing.end()
}
