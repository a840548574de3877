import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import { createRegistryClient, type RegistryClientDeps } from '../client.ts'
import { UPSTREAM_DEFAULTS, type UpstreamConfig } from '../config.ts'
import type { RegistryClient } from '../types.ts'

export type Seen = {
  readonly method: string
  /** Path and query. */
  readonly target: string
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

export type Reply = {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Buffer
}

/** Answers a request; a function writes the response itself, or never does. */
export type Script = (request: Seen) => Reply | ((response: ServerResponse) => void)

export type ScriptedServer = {
  readonly host: string
  readonly url: string
  readonly seen: Seen[]
  [Symbol.asyncDispose](): Promise<void>
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request) if (Buffer.isBuffer(chunk)) chunks.push(chunk)
  return Buffer.concat(chunks).toString('utf8')
}

function send(response: ServerResponse, reply: Reply): void {
  const body = Buffer.from(reply.body ?? '')
  response.writeHead(reply.status ?? 200, { 'content-length': body.length, ...reply.headers })
  response.end(body)
}

/** A registry on loopback that answers what the test tells it to. */
export async function startScriptedServer(script: Script): Promise<ScriptedServer> {
  const seen: Seen[] = []
  const server = createServer((request, response) => {
    void readBody(request).then((body) => {
      const { method = '', url: target = '', headers } = request
      const one: Seen = { method, target, headers, body }
      seen.push(one)
      const reply = script(one)
      if (typeof reply === 'function') reply(response)
      else send(response, reply)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  return {
    host: `127.0.0.1:${port}`,
    url: `http://127.0.0.1:${port}`,
    seen,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

export type TestClient = RegistryClient & {
  /** Milliseconds of each pause before a retry; none is really waited for. */
  readonly pausesMs: number[]
  [Symbol.asyncDispose](): Promise<void>
}

/** A client that may dial loopback, with no credentials, a clock that only its pauses move, and no jitter. */
export function createTestClient(
  url: string,
  overrides: { config?: Partial<UpstreamConfig>; deps?: Partial<RegistryClientDeps> } = {},
): TestClient {
  const pausesMs: number[] = []
  let nowMs = Date.UTC(2026, 0, 1)
  const config = { ...UPSTREAM_DEFAULTS, registry: 'test', url, allowPrivateAddresses: true }
  const client = createRegistryClient(
    { ...config, ...overrides.config },
    {
      now: () => nowMs,
      random: () => 1,
      sleep: (ms) => {
        pausesMs.push(ms)
        nowMs += ms
        return Promise.resolve()
      },
      credentials: { get: () => Promise.resolve(undefined) },
      turn: () => Promise.resolve(),
      ...overrides.deps,
    },
  )
  return { ...client, pausesMs, [Symbol.asyncDispose]: () => client.close() }
}
