import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import { describe, it } from 'node:test'
import { repeatPulls } from './clients.ts'
import type { Target } from './measure.ts'

const BLOB = Buffer.alloc(1_500_000, 'x')

async function serve(listener: RequestListener): Promise<AsyncDisposable & { readonly url: string }> {
  const server = createServer(listener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  return {
    url: `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`,
    async [Symbol.asyncDispose]() {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}

function sequenceOf(url: string): readonly Target[] {
  const headers = { accept: 'text/plain' }
  return [
    { url: `${url}/tag`, method: 'HEAD', headers, bodyBytes: 5 },
    { url: `${url}/manifest`, method: 'GET', headers, bodyBytes: 5 },
    { url: `${url}/blob`, method: 'GET', headers, bodyBytes: BLOB.length },
  ]
}

const answerRight: RequestListener = ({ url }, outgoing) => {
  const body = url === '/blob' ? BLOB : Buffer.from('hello')
  outgoing.writeHead(200, { 'content-length': body.length }).end(body)
}

describe('repeatPulls', () => {
  it('asks for the sequence in its order, as often as it is told, on one connection a client', async () => {
    const asked: string[] = []
    const sockets = new Set<unknown>()
    await using server = await serve((incoming, outgoing) => {
      sockets.add(incoming.socket)
      asked.push(`${incoming.method} ${incoming.url} ${incoming.headers.accept}`)
      answerRight(incoming, outgoing)
    })
    const { pulls, failed, latenciesMs } = await repeatPulls(sequenceOf(server.url), {
      clients: 1,
      seconds: 60,
      times: 3,
    })
    assert.deepEqual({ pulls, failed, latencies: latenciesMs.length }, { pulls: 3, failed: 0, latencies: 3 })
    assert.equal(sockets.size, 1)
    const one = ['HEAD /tag text/plain', 'GET /manifest text/plain', 'GET /blob text/plain']
    assert.deepEqual(asked, [...one, ...one, ...one])
  })

  const wrong: readonly { what: string; answer: RequestListener }[] = [
    {
      what: 'a refusal',
      answer: (_incoming, outgoing) => outgoing.writeHead(403, { 'content-length': 0 }).end(),
    },
    {
      what: 'a body of another length',
      answer: (_incoming, outgoing) => outgoing.writeHead(200, { 'content-length': 4 }).end('hell'),
    },
    { what: 'a connection that ends', answer: (_incoming, outgoing) => outgoing.destroy() },
  ]
  for (const { what, answer } of wrong)
    it(`counts ${what} as failed, and stops that client`, async () => {
      await using server = await serve((incoming, outgoing) =>
        incoming.url === '/manifest' ? answer(incoming, outgoing) : answerRight(incoming, outgoing),
      )
      const { pulls, failed } = await repeatPulls(sequenceOf(server.url), { clients: 2, seconds: 60 })
      assert.deepEqual({ pulls, failed }, { pulls: 0, failed: 2 })
    })
})
