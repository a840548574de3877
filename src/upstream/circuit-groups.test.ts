import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { app, clientOf, DIGEST, failureOf, latest, never, pulls } from './testing/counted-client.ts'
import { createTestClient, startScriptedServer, type Script } from './testing/scripted-server.ts'
import type { RegistryClient } from './types.ts'

describe('what fails together', () => {
  /** Two hosts behind one name: everything but this part is out, pings as well. */
  const only = (part: string): Script => {
    return ({ target }) => (target.includes(part) ? { body: '{}' } : { status: 503 })
  }
  const blob = (client: RegistryClient, name: string) => client.headBlob(app(name), DIGEST, never)

  it('blobs do not take manifests with them', async () => {
    await using server = await startScriptedServer(only('/manifests/'))
    const { client } = clientOf(server.url)
    for (let image = 0; image < 6; image += 1) {
      // oxlint-disable-next-line no-await-in-loop -- one after another
      await failureOf(blob(client, `app-${image}`))
    }
    assert.match((await failureOf(blob(client, 'other'))).message, /does not answer/)
    await client.getManifest(app('other'), latest, never)
    await client.close()
  })

  it('nor manifests blobs', async () => {
    await using server = await startScriptedServer(only('/blobs/'))
    const { client } = clientOf(server.url)
    await pulls(client, 6)
    assert.equal((await blob(client, 'other')).size, 2)
    await client.close()
  })

  it('where blobs are redirected to does not take the blobs of the registry itself with it', async () => {
    await using cdn = await startScriptedServer(() => ({ status: 503 }))
    await using server = await startScriptedServer(({ target }) =>
      target.includes('/here/')
        ? { body: 'blob' }
        : { status: 307, headers: { location: `${cdn.url}${target}` } },
    )
    const config = { redirectHosts: [cdn.host] }
    const { client } = clientOf(server.url, { config })
    for (let image = 0; image < 10; image += 1) {
      // oxlint-disable-next-line no-await-in-loop -- one after another
      await failureOf(blob(client, `app-${image}`))
    }
    assert.equal(cdn.seen.filter(({ target }) => target === '/v2/').length, 1)
    assert.equal(cdn.seen.length, 6)
    assert.equal((await blob(client, 'here')).size, 4)
    await client.close()
  })

  it('tokens: a server of tokens that is out is left alone, and no token is bought for a registry that is', async () => {
    await using server = await startScriptedServer(({ target, headers }) => {
      if (target.startsWith('/token')) return { status: 503 }
      const challenge = `Bearer realm="http://${headers.host}/token",service="s"`
      return { status: 401, headers: { 'www-authenticate': challenge } }
    })
    const { client } = clientOf(server.url)
    for (const failure of await pulls(client, 10)) assert.equal(failure.code, 'unavailable')
    assert.equal(server.seen.filter(({ target }) => target.startsWith('/token?')).length, 5)
    assert.equal(server.seen.filter(({ target }) => target === '/token').length, 1)
    await client.close()
  })
})

it('a blob that is on its way is not cut when its host goes out', async () => {
  let finish = () => undefined
  await using server = await startScriptedServer(({ target }) => {
    if (!target.includes('/slow/')) return { status: 503 }
    return (response) => {
      response.writeHead(200, { 'content-length': 4 })
      response.write('bl')
      finish = () => void response.end('ob')
    }
  })
  const { client } = clientOf(server.url)
  const { body } = await client.getBlob(app('slow'), DIGEST, 0, never)
  for (let image = 0; image < 6; image += 1) {
    // oxlint-disable-next-line no-await-in-loop -- one after another
    await failureOf(client.getBlob(app(`app-${image}`), DIGEST, 0, never))
  }
  finish()
  const chunks: Buffer[] = []
  for await (const chunk of body) chunks.push(Buffer.from(chunk))
  assert.equal(Buffer.concat(chunks).toString(), 'blob')
  await client.close()
})

describe('a rate limit', () => {
  const busy: Script = ({ method }) =>
    method === 'GET' ? { status: 429, headers: { 'retry-after': '30' } } : { status: 404 }

  it('pauses every request of its kind, and no other', async () => {
    await using server = await startScriptedServer(busy)
    const { client, clock } = clientOf(server.url)
    for (const failure of await pulls(client, 10)) assert.equal(failure.code, 'rate-limited')
    assert.equal(server.seen.length, 1)
    assert.equal((await failureOf(client.headTag(app('a'), latest, never))).code, 'not-found')
    clock.ms += 29_000
    const [late] = await pulls(client, 1)
    assert.deepEqual([late?.code, late?.status, late?.retryAfterSeconds], ['rate-limited', 429, 1])
    clock.ms += 1_000
    await pulls(client, 1)
    assert.equal(server.seen.filter(({ method }) => method === 'GET').length, 2)
    await client.close()
  })

  it('is believed for a minute at most', async () => {
    await using server = await startScriptedServer(() => ({
      status: 429,
      headers: { 'retry-after': '86400' },
    }))
    const { client, clock } = clientOf(server.url)
    await pulls(client, 2)
    clock.ms += 60_000
    await pulls(client, 2)
    assert.equal(server.seen.length, 2)
    await client.close()
  })

  it('that is short is waited for', async () => {
    let limited = true
    await using server = await startScriptedServer(() => {
      const reply = limited ? { status: 429, headers: { 'retry-after': '2' } } : { body: '{}' }
      limited = false
      return reply
    })
    await using client = createTestClient(server.url)
    await failureOf(client.getBlob(app('a'), DIGEST, 0, never)).catch(() => undefined)
    assert.deepEqual(client.pausesMs, [2_000])
  })
})
