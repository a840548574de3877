import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import { describe, it } from 'node:test'
import type { Target } from './measure.ts'
import { paced, percentileMs } from './paced.ts'

const BODY = 'a manifest'

async function serve(listener: RequestListener): Promise<AsyncDisposable & { readonly target: Target }> {
  const server = createServer(listener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const port = typeof address === 'object' ? address?.port : undefined
  const url = `http://127.0.0.1:${port}/v2/a/manifests/b`
  return {
    target: { url, method: 'GET', headers: { accept: 'text/plain' }, bodyBytes: BODY.length },
    async [Symbol.asyncDispose]() {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}

/** Answers the first request when it is told to, with `first`, and every other at once. */
async function serveLate(first: string) {
  const gate = Promise.withResolvers<void>()
  let asked = 0
  const server = await serve((_incoming, outgoing) => {
    asked += 1
    if (asked > 1) return void outgoing.end(BODY)
    void gate.promise.then(() => outgoing.end(first))
  })
  return { server, answer: gate.resolve }
}

describe('paced', () => {
  it('sends as many requests as are due, over no more connections than it may, and with the headers given', async () => {
    const sockets = new Set<unknown>()
    await using server = await serve((incoming, outgoing) => {
      sockets.add(incoming.socket)
      assert.equal(incoming.headers.accept, 'text/plain')
      outgoing.end(BODY)
    })
    const { sent, failed, latency } = await paced(server.target, {
      ratePerSecond: 200,
      seconds: 0.5,
      connections: 3,
    })
    assert.deepEqual({ sent, failed, counted: latency.count }, { sent: 100, failed: 0, counted: 100 })
    assert.ok(sockets.size <= 3)
  })

  it('sends requests of the lead-in, and counts what becomes of the others', async () => {
    const { server: late, answer } = await serveLate('not a manifest')
    await using server = late
    setTimeout(answer, 150)
    const pace = { ratePerSecond: 100, seconds: 1, leadInSeconds: 0.4, connections: 2 }
    const { sent, failed, latency } = await paced(server.target, pace)
    assert.deepEqual({ sent, failed, counted: latency.count }, { sent: 100, failed: 1, counted: 60 })
  })

  it('counts the wait of requests that were due while the only connection waited for an answer', async () => {
    const { server: late, answer } = await serveLate(BODY)
    await using server = late
    setTimeout(answer, 400)
    const { sent, failed, latency } = await paced(server.target, {
      ratePerSecond: 100,
      seconds: 0.3,
      connections: 1,
    })
    assert.deepEqual({ sent, failed }, { sent: 30, failed: 0 })
    // The first is answered after 400 ms at the earliest; the last was due at 290 ms and could only be sent then.
    assert.ok(percentileMs(latency, 1) >= 100)
  })

  it('counts what is not 200, what is of another length, and what breaks off as failed', async () => {
    let asked = 0
    await using server = await serve((_incoming, outgoing) => {
      asked += 1
      if (asked === 1) outgoing.writeHead(403, { 'content-length': BODY.length }).end(BODY)
      else if (asked === 2) outgoing.end(`${BODY} and more`)
      else if (asked === 3) outgoing.destroy()
      else outgoing.end(BODY)
    })
    const statuses: number[] = []
    const { sent, failed } = await paced(server.target, {
      ratePerSecond: 50,
      seconds: 0.4,
      connections: 1,
      onAnswer: (_dueMs, _latencyMs, status) => statuses.push(status),
    })
    assert.deepEqual({ sent, failed }, { sent: 20, failed: 3 })
    assert.deepEqual(statuses.slice(0, 4), [403, 200, 0, 200])
  })

  it('in a closed loop, sends the next request when the one before is answered, until it is told to end', async () => {
    const enough = new AbortController()
    let asked = 0
    await using server = await serve((_incoming, outgoing) => {
      asked += 1
      if (asked === 50) enough.abort()
      outgoing.end(BODY)
    })
    const { sent, failed } = await paced(server.target, {
      ratePerSecond: Number.POSITIVE_INFINITY,
      seconds: 60,
      connections: 2,
      signal: enough.signal,
    })
    assert.equal(failed, 0)
    assert.equal(sent, asked)
    assert.ok(sent <= 51)
  })

  it('asks several targets by turns', async () => {
    const paths: (string | undefined)[] = []
    await using server = await serve((incoming, outgoing) => {
      paths.push(incoming.url)
      outgoing.end(BODY)
    })
    const other = { ...server.target, url: new URL('/v2/c/manifests/d?x=1', server.target.url).href }
    await paced([server.target, other], { ratePerSecond: 40, seconds: 0.1, connections: 1 })
    assert.deepEqual(
      paths,
      Array.from({ length: 2 }, () => ['/v2/a/manifests/b', '/v2/c/manifests/d?x=1']).flat(),
    )
  })

  it('refuses targets of several servers', async () => {
    const target: Target = { url: 'http://127.0.0.1:1/', method: 'GET', headers: {}, bodyBytes: 0 }
    const other = { ...target, url: 'http://127.0.0.1:2/' }
    await assert.rejects(paced([target, other], { ratePerSecond: 1, seconds: 1, connections: 1 }), TypeError)
  })
})
