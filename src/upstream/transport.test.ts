import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { digestOf } from '../oci/digest.ts'
import { parseTag, type ManifestReference } from '../oci/reference.ts'
import { createTestClient, startScriptedServer, type Reply, type Script } from './testing/scripted-server.ts'
import type { RequestEvent } from './transport.ts'
import { UpstreamError, type UpstreamErrorCode } from './types.ts'

const repository = { registry: 'test', name: 'team/app' }
const latest: ManifestReference = { kind: 'tag', tag: parseTag('latest')! }
const never = new AbortController().signal
const good: Reply = { headers: { 'content-type': 'application/json' }, body: '{}' }

function fails(code: UpstreamErrorCode) {
  return (error: unknown) => error instanceof UpstreamError && error.code === code
}

/** Answers with each reply in turn, and with the last one from then on. */
function inTurn(...replies: (Reply | ReturnType<Script>)[]): Script {
  let next = 0
  return () => replies[Math.min(next++, replies.length - 1)] ?? good
}

const reset: ReturnType<Script> = (response) => void response.socket?.resetAndDestroy()

describe('retries', () => {
  const recovering: Record<string, Reply | ReturnType<Script>> = {
    '429': { status: 429 },
    '502': { status: 502 },
    '503': { status: 503 },
    '504': { status: 504 },
    'a reset connection': reset,
  }
  for (const [name, reply] of Object.entries(recovering)) {
    test(`${name} and then an answer`, async () => {
      await using server = await startScriptedServer(inTurn(reply, reply, good))
      await using client = createTestClient(server.url)
      await client.getManifest(repository, latest, never)
      assert.equal(server.seen.length, 3)
      assert.deepEqual(client.pausesMs, [100, 200])
    })
  }

  for (const status of [400, 401, 403, 404, 500, 501]) {
    test(`${status} is asked for once`, async () => {
      await using server = await startScriptedServer(() => ({ status }))
      await using client = createTestClient(server.url)
      await assert.rejects(client.getManifest(repository, latest, never))
      assert.equal(server.seen.length, 1)
    })
  }

  const pauses: [string, string, number[]][] = [
    ['seconds', '3', [3_000]],
    ['a date', new Date(Date.UTC(2026, 0, 1) + 4_000).toUTCString(), [4_000]],
    ['a date in the past', new Date(0).toUTCString(), [100]],
    ['nonsense', 'soon', [100]],
  ]
  for (const [name, retryAfter, expected] of pauses) {
    test(`Retry-After as ${name}`, async () => {
      const busy = { status: 429, headers: { 'retry-after': retryAfter } }
      await using server = await startScriptedServer(inTurn(busy, good))
      await using client = createTestClient(server.url)
      await client.getManifest(repository, latest, never)
      assert.deepEqual(client.pausesMs, expected)
    })
  }

  test('a long Retry-After is passed on and not waited for', async () => {
    await using server = await startScriptedServer(() => ({
      status: 429,
      headers: { 'retry-after': '3600' },
    }))
    await using client = createTestClient(server.url)
    await assert.rejects(client.getManifest(repository, latest, never), (error: unknown) => {
      assert(error instanceof UpstreamError)
      assert.deepEqual([error.code, error.retryAfterSeconds], ['rate-limited', 3_600])
      return true
    })
    assert.equal(server.seen.length, 1)
  })

  test('the budget keeps an upstream that fails every other time at 1.2 times its usual load', async () => {
    let next = 0
    await using server = await startScriptedServer(() => (next++ % 2 === 0 ? { status: 503 } : good))
    await using client = createTestClient(server.url)
    const requests = 50
    let failed = 0
    for (let sent = 0; sent < requests; sent += 1) {
      await client.getManifest(repository, latest, never).catch(() => (failed += 1))
    }
    const retries = server.seen.length - requests
    assert(retries >= 10 && retries <= 10 + requests * 0.2, `${retries} retries`)
    assert(failed > 0, 'without a budget, every request would have been tried again')
  })

  test('a deadline that ends the pause leaves the reason for the pause', async () => {
    await using server = await startScriptedServer(() => ({ status: 429 }))
    const sleep = () => Promise.reject(new Error('aborted'))
    await using client = createTestClient(server.url, { deps: { sleep } })
    await assert.rejects(client.getManifest(repository, latest, never), fails('rate-limited'))
  })
})

describe('time', () => {
  const hang: Script = () => () => undefined

  test('an abort ends a request that hangs', async () => {
    const caller = new AbortController()
    await using server = await startScriptedServer(() => () => caller.abort())
    await using client = createTestClient(server.url)
    await assert.rejects(client.getManifest(repository, latest, caller.signal), fails('deadline'))
  })

  test('an abort ends a body that hangs', async () => {
    const caller = new AbortController()
    await using server = await startScriptedServer(() => (response) => {
      response.writeHead(200, { 'content-length': 10 })
      response.write('{', () => caller.abort())
    })
    await using client = createTestClient(server.url)
    await assert.rejects(client.getManifest(repository, latest, caller.signal), fails('deadline'))
  })

  test('an aborted caller sends nothing', async () => {
    await using server = await startScriptedServer(() => good)
    await using client = createTestClient(server.url)
    await assert.rejects(client.getManifest(repository, latest, AbortSignal.abort()), fails('deadline'))
    assert.equal(server.seen.length, 0)
  })

  test('headers that do not come in time', async () => {
    await using server = await startScriptedServer(hang)
    await using client = createTestClient(server.url, { config: { headersTimeoutMs: 20 } })
    await assert.rejects(client.getManifest(repository, latest, never), fails('timeout'))
    assert.equal(server.seen.length, 1)
  })

  test('an answer that comes in time, but never whole', async () => {
    const drip: Script = () => (response) => {
      const timer = setInterval(() => response.write(' '), 5)
      response.on('close', () => clearInterval(timer))
    }
    await using server = await startScriptedServer(drip)
    const limits = { headersTimeoutMs: 200, bodyTimeoutMs: 200 }
    await using client = createTestClient(server.url, { config: limits })
    await assert.rejects(client.getManifest(repository, latest, never), /no whole answer in time/)
  })

  test('an abort while waiting for a free connection', async () => {
    const caller = new AbortController()
    await using server = await startScriptedServer(hang)
    await using client = createTestClient(server.url, { config: { concurrency: 1 } })
    const first = client.getManifest(repository, latest, caller.signal)
    const second = client.getManifest(repository, latest, caller.signal)
    caller.abort()
    await assert.rejects(first, fails('deadline'))
    await assert.rejects(second, fails('deadline'))
    assert(server.seen.length <= 1)
  })
})

describe('concurrency', () => {
  test('more than may wait are refused at once, which is no failure of upstream', async () => {
    await using server = await startScriptedServer(() => () => undefined)
    const client = createTestClient(server.url, { config: { concurrency: 1 } })
    const caller = new AbortController()
    const waiting = Array.from({ length: 1_025 }, () =>
      client.getManifest(repository, latest, caller.signal).catch(() => undefined),
    )
    const refused = client.getManifest(repository, latest, never)
    await assert.rejects(refused, { code: 'deadline', message: 'too many requests wait for this upstream' })
    caller.abort()
    await Promise.all(waiting)
    await client.close()
  })

  test('never more requests at once than configured, and all are answered', async () => {
    let active = 0
    let peak = 0
    await using server = await startScriptedServer(() => (response) => {
      active += 1
      peak = Math.max(peak, active)
      setImmediate(() => {
        active -= 1
        response.end('{}')
      })
    })
    await using client = createTestClient(server.url, { config: { concurrency: 3 } })
    await Promise.all(Array.from({ length: 20 }, () => client.getManifest(repository, latest, never)))
    assert.equal(server.seen.length, 20)
    assert(peak <= 3)
  })

  test('slow blobs do not hold back manifests', async () => {
    await using server = await startScriptedServer(({ target }) =>
      target.includes('/blobs/') ? (response) => void response.write('a') : good,
    )
    await using client = createTestClient(server.url, { config: { concurrency: 1 } })
    const digest = (await client.getManifest(repository, latest, never)).digest
    const blob = await client.getBlob(repository, digest, 0, never)
    await client.getManifest(repository, latest, never)
    blob.body.destroy()
  })
})

test('hooks see every attempt and every retry', async () => {
  await using server = await startScriptedServer(inTurn({ status: 503 }, reset, good))
  const requests: RequestEvent['result'][] = []
  const retries: string[] = []
  const deps = {
    onRequest: (event: RequestEvent) => void requests.push(event.result),
    onRetry: (event: { code: string }) => void retries.push(event.code),
  }
  await using client = createTestClient(server.url, { deps })
  await client.getManifest(repository, latest, never)
  assert.deepEqual(requests, [503, 'unavailable', 200])
  assert.deepEqual(retries, ['unavailable', 'unavailable'])
})

test('a refused connection is unavailable', async () => {
  const server = await startScriptedServer(() => good)
  await server[Symbol.asyncDispose]()
  await using client = createTestClient(server.url)
  await assert.rejects(client.getManifest(repository, latest, never), fails('unavailable'))
})

describe('turns', () => {
  /** A queue that gives out a turn when it is told to. */
  function turnsByHand() {
    const waiting: (() => void)[] = []
    const turn = () => new Promise<void>((resolve) => void waiting.push(resolve))
    return { waiting, turn }
  }

  test('answers that came together are worked on one after the other', async () => {
    await using server = await startScriptedServer(() => good)
    const { waiting, turn } = turnsByHand()
    await using client = createTestClient(server.url, { deps: { turn } })
    const worked: number[] = []
    const answers = [0, 1, 2].map(async (pull) => {
      await client.getManifest(repository, latest, never)
      worked.push(pull)
    })
    while (waiting.length < answers.length) await nextTurn()
    for (let turns = 0; turns < answers.length; turns += 1) {
      assert.equal(worked.length, turns)
      waiting.shift()?.()
      while (worked.length === turns) await nextTurn()
    }
    await Promise.all(answers)
  })

  test('whoever gives up waits for no turn, and leaves no connection behind', async () => {
    await using server = await startScriptedServer(({ target }) =>
      target.includes('/blobs/') ? (response) => void response.write('a') : good,
    )
    const { waiting, turn } = turnsByHand()
    const deps = { turn }
    await using client = createTestClient(server.url, { config: { concurrency: 1 }, deps })
    const give = async (ask: (signal: AbortSignal) => Promise<unknown>) => {
      const patience = new AbortController()
      const asked = ask(patience.signal)
      while (waiting.length === 0) await nextTurn()
      waiting.shift()
      patience.abort()
      await assert.rejects(asked, fails('deadline'))
    }
    await give((signal) => client.getManifest(repository, latest, signal))
    const digest = digestOf(Buffer.from('a'))
    // The second would wait for the only connection.
    for (const _ of ['first', 'second']) await give((signal) => client.getBlob(repository, digest, 0, signal))
  })

  test('a failure and a stream wait like any other answer, what never came does not', async () => {
    await using server = await startScriptedServer(
      inTurn({ status: 404 }, (response) => void response.write('a'), reset),
    )
    let turns = 0
    const turn = () => Promise.resolve(void (turns += 1))
    await using client = createTestClient(server.url, { config: { retries: 0 }, deps: { turn } })
    await assert.rejects(client.getManifest(repository, latest, never), fails('not-found'))
    assert.equal(turns, 1)
    const blob = await client.getBlob(repository, digestOf(Buffer.from('a')), 0, never)
    blob.body.destroy()
    assert.equal(turns, 2)
    await assert.rejects(client.getManifest(repository, latest, never), fails('unavailable'))
    assert.equal(turns, 2)
  })
})
