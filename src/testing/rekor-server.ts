import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { faultyReply, type RekorFault } from './rekor-faults.ts'
import { jsonReply } from './registry-reply.ts'
import { createRekorRoutes } from './rekor-routes.ts'
import type { Sigstore } from './sigstore.ts'

/** The log of a private Sigstore on the loopback interface, by itself, so that it can fail by itself. */
export type RekorServer = AsyncDisposable & {
  readonly url: string
  /** `METHOD path?query`, oldest first; also those that got no answer. */
  readonly requests: string[]
  /** What it does from now on; undefined: what it should. */
  behave(fault: RekorFault | undefined): void
  stop(): Promise<void>
}

export async function startRekorServer(sigstore: Sigstore): Promise<RekorServer> {
  const routes = createRekorRoutes(sigstore)
  const requests: string[] = []
  let fault: RekorFault | undefined

  const answer = async (incoming: IncomingMessage, outgoing: ServerResponse) => {
    const { method = '', url = '', headers } = incoming
    const { pathname: path, searchParams: query } = new URL(url, 'http://rekor')
    requests.push(`${method} ${url}`)
    const body = await buffer(incoming)
    if (fault === 'refused') return void incoming.socket.destroy()
    if (fault === 'hang') return
    const good =
      routes({ method, url, path, query, headers, body }) ??
      jsonReply(404, { code: 404, message: 'no route' })
    const reply = fault === undefined ? good : faultyReply(fault, good, sigstore)
    const bytes = Buffer.from(reply.body ?? '')
    outgoing.writeHead(reply.status, { ...reply.headers, 'content-length': bytes.length })
    // Head and first byte at once, the rest never: a client that only waits for headers waits for ever.
    if (fault === 'slow') return void outgoing.write(bytes.subarray(0, 1))
    outgoing.end(bytes)
  }
  const server = createServer((incoming, outgoing) => {
    answer(incoming, outgoing).catch((error: unknown) => {
      // As Rekor answers a proposal that it cannot read.
      outgoing.writeHead(400, { 'content-type': 'application/json' })
      outgoing.end(JSON.stringify({ code: 400, message: String(error) }))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const stop = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve())
      server.closeAllConnections()
    })
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    behave: (next) => {
      fault = next
    },
    stop,
    [Symbol.asyncDispose]: stop,
  }
}
