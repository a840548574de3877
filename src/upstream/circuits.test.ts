import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { startRegistry, type Fault, type TestRegistry } from '../testing/registry.ts'
import { app, clientOf, failureOf, latest, never, pulls } from './testing/counted-client.ts'
import { startScriptedServer } from './testing/scripted-server.ts'

function asked({ requests }: TestRegistry): { images: number; pings: number } {
  const pings = requests.filter(({ url }) => url === '/v2/').length
  return { images: requests.length - pings, pings }
}

describe('a registry that is out', () => {
  const faults: [string, Fault, RegExp][] = [
    ['hangs', 'hang', /UND_ERR_HEADERS_TIMEOUT/],
    ['resets', 'reset', /UND_ERR_SOCKET/],
    ['answers 500', { status: 500 }, /answered 500/],
    ['answers 503', { status: 503 }, /answered 503/],
  ]
  for (const [name, fault, why] of faults) {
    it(`${name}: asked five times, and then no more`, async () => {
      await using registry = await startRegistry()
      registry.behave(() => fault)
      await using one = clientOf(registry.url).client
      const first = Array.from({ length: 5 }, (_, image) =>
        failureOf(one.getManifest(app(`first-${image}`), latest, never)),
      )
      for (const { message } of await Promise.all(first)) assert.doesNotMatch(message, /does not answer/)
      const failures = await pulls(one, 50)
      assert.deepEqual(asked(registry), { images: 5, pings: 1 })
      const last = failures.at(-1)
      assert.deepEqual([last?.code, last?.retryAfterSeconds], ['unavailable', 1])
      assert.match(last?.message ?? '', /^127\.0\.0\.1:\d+ does not answer \([^:]*\)$/)
      assert.match(last?.message ?? '', why)
      assert.equal(failures.at(-1)?.message, failures.at(-2)?.message, 'the same line each time')
    })
  }

  it('refuses connections: not dialled again, and other images of it are not in the message', async () => {
    const registry = await startRegistry()
    await registry.stop()
    const { client, sent } = clientOf(registry.url)
    const failures = await pulls(client, 50)
    assert.equal(sent.length, 5)
    assert.match(failures.at(-1)?.message ?? '', /\(ECONNREFUSED\)$/)
    assert.doesNotMatch(failures.at(-1)?.message ?? '', /app-/)
    await client.close()
  })

  it('speaks no HTTP', async () => {
    await using server = await startScriptedServer(
      () => (response) => void response.socket?.end('garbage\r\n\r\n'),
    )
    const { client, sent } = clientOf(server.url)
    await pulls(client, 20)
    assert.equal(sent.length, 5)
    await client.close()
  })

  it('one image alone, again and again: retries included, five requests', async () => {
    await using registry = await startRegistry()
    registry.behave(() => ({ status: 503 }))
    await using client = clientOf(registry.url, { config: { retries: 2 } }).client
    for (let pull = 0; pull < 20; pull += 1) {
      // oxlint-disable-next-line no-await-in-loop -- one after another
      assert.equal((await failureOf(client.getManifest(app('app'), latest, never))).code, 'unavailable')
    }
    assert.equal(registry.requests.length, 5)
  })

  it('requests that waited for a free connection are not sent after it went out', async () => {
    await using registry = await startRegistry()
    registry.behave(() => 'hang')
    await using client = clientOf(registry.url, { config: { concurrency: 5 } }).client
    const waiting = Array.from({ length: 40 }, (_, image) =>
      failureOf(client.getManifest(app(`app-${image}`), latest, never)),
    )
    await Promise.all(waiting)
    // The first five, a ping, and those that took their places before the fifth failure was known.
    assert(registry.requests.length <= 11, `${registry.requests.length} requests`)
  })

  it('one attempt a pause, and everything at once when it answers', async () => {
    await using registry = await startRegistry()
    registry.behave(() => ({ status: 503 }))
    const { client, clock, events } = clientOf(registry.url)
    await pulls(client, 10)
    clock.ms += 1_000
    await pulls(client, 10)
    assert.deepEqual(asked(registry), { images: 6, pings: 2 })
    registry.behave(undefined)
    clock.ms += 2_000
    for (const failure of await pulls(client, 10)) assert.equal(failure.code, 'not-found')
    assert.deepEqual(asked(registry), { images: 16, pings: 3 })
    assert.deepEqual(
      events.map(({ state, group, host }) => [state, group, host]),
      [
        ['open', 'metadata', registry.host],
        ['closed', 'metadata', registry.host],
      ],
    )
    await client.close()
  })
})

describe('things that fail on a host that is well', () => {
  const broken: Parameters<TestRegistry['behave']>[0] = ({ url }) =>
    url.includes('/app-') ? { status: 503 } : undefined

  it('are left alone each by itself, however many a client names', async () => {
    await using registry = await startRegistry()
    registry.behave(broken)
    const { client, events } = clientOf(registry.url)
    for (const { message } of await pulls(client, 50)) assert.match(message, /answered 503$/)
    assert.equal((await failureOf(client.getManifest(app('good'), latest, never))).code, 'not-found')
    assert.deepEqual(events, [])
    assert.equal(asked(registry).pings, 1, 'an answer to a ping counts for a moment')
    await client.close()
  })

  it('do not keep it out, whoever asks first after the pause', async () => {
    await using registry = await startRegistry()
    registry.behave(() => ({ status: 503 }))
    const { client, clock } = clientOf(registry.url)
    await pulls(client, 10)
    registry.behave(broken)
    clock.ms += 1_000
    await pulls(client, 10)
    assert.equal((await failureOf(client.getManifest(app('good'), latest, never))).code, 'not-found')
    await client.close()
  })
})

it('a host that answers all but pings comes back with the first request that it answers', async () => {
  await using registry = await startRegistry()
  registry.behave(() => ({ status: 503 }))
  const { client, clock } = clientOf(registry.url)
  await pulls(client, 10)
  registry.behave(({ url }) => (url === '/v2/' ? { status: 503 } : undefined))
  clock.ms += 1_000
  for (const failure of await pulls(client, 10)) assert.equal(failure.code, 'not-found')
  await client.close()
})

describe('what is no outage', () => {
  for (const status of [400, 401, 403, 404, 410, 429, 501]) {
    it(`${status}, ten times`, async () => {
      await using registry = await startRegistry()
      registry.behave(() => ({ status }))
      await using client = clientOf(registry.url).client
      await pulls(client, 10)
      assert.equal(registry.requests.length, 10)
    })
  }

  it('an answer that is too large', async () => {
    await using registry = await startRegistry()
    registry.behave(() => ({ status: 200, body: Buffer.alloc(5 * 1024 * 1024) }))
    await using client = clientOf(registry.url, { config: { headersTimeoutMs: 5_000 } }).client
    for (const failure of await pulls(client, 7)) assert.equal(failure.code, 'invalid')
    assert.equal(registry.requests.length, 7)
  })

  it('callers that leave', async () => {
    let leave: () => void = () => undefined
    await using server = await startScriptedServer(() => () => leave())
    await using client = clientOf(server.url, { config: { headersTimeoutMs: 5_000 } }).client
    for (let image = 0; image < 10; image += 1) {
      const caller = new AbortController()
      leave = () => caller.abort()
      // oxlint-disable-next-line no-await-in-loop -- one after another
      assert.equal(
        (await failureOf(client.getManifest(app(`app-${image}`), latest, caller.signal))).code,
        'deadline',
      )
    }
    assert.equal(server.seen.length, 10)
  })

  it('one image that is broken, between others that are not', async () => {
    await using registry = await startRegistry()
    registry.behave(({ url }) => (url.includes('/broken/') ? { status: 500 } : undefined))
    await using client = clientOf(registry.url).client
    for (let pull = 0; pull < 10; pull += 1) {
      // oxlint-disable-next-line no-await-in-loop -- one after another
      assert.equal((await failureOf(client.getManifest(app('broken'), latest, never))).code, 'unavailable')
    }
    assert.equal(registry.requests.length, 5)
    assert.equal((await failureOf(client.getManifest(app('good'), latest, never))).code, 'not-found')
  })
})

describe('a drill', () => {
  it('looks like an outage, and leaves nothing behind', async () => {
    await using registry = await startRegistry()
    const { client, clock, sent, events, taken } = clientOf(registry.url)
    taken.away = 'taken away by a drill until 2026-01-01T00:05:00.000Z'
    const failures = await pulls(client, 10)
    for (const failure of failures) assert.equal(failure.code, 'unavailable')
    assert.match(failures[0]?.message ?? '', /: taken away by a drill until/)
    assert.match(failures[9]?.message ?? '', /does not answer \(taken away by a drill until .*\)$/)
    assert.equal(registry.requests.length, 0, 'nothing is dialled')
    assert.equal(sent.length, 5, 'the breaker opens as in an outage')
    clock.ms += 10
    taken.away = undefined
    for (const failure of await pulls(client, 10)) assert.equal(failure.code, 'not-found')
    assert.equal(registry.requests.length, 10)
    assert.deepEqual(
      events.map(({ state }) => state),
      ['open', 'closed'],
    )
    await client.close()
  })
})
