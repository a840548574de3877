import assert from 'node:assert/strict'
import { once } from 'node:events'
import { request } from 'node:https'
import { connect } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { digestOf } from '../../src/oci/digest.ts'
import { createTlsAuthority, type TlsIdentity } from '../../src/testing/tls-authority.ts'
import { publish, uniqueImage } from './harness.ts'
import {
  ASKERS,
  AUTHORITY,
  LAB,
  NODE,
  PILOT,
  startRings,
  TOKEN,
  type Asker,
  type RingHarness,
} from './ring-harness.ts'

const STRANGERS = createTlsAuthority('strangers')
const BUILD = [{ type: 'uri', value: 'spiffe://example.com/build' }] as const

let harness: RingHarness

before(async () => {
  harness = await startRings()
})
after(async () => await harness[Symbol.asyncDispose]())

describe('a client says that it is in another ring', () => {
  const image = uniqueImage('spoofed')
  before(() => publish(harness, { repository: 'enforced/spoofed', image }))

  const attempts: Readonly<Record<string, Asker>> = {
    'header from outside': { headers: { 'X-Ring': 'pilot' } },
    'header in another case of its value': { from: PILOT, headers: { 'X-Ring': 'Pilot' } },
    'header with the value twice': { from: PILOT, headers: { 'X-Ring': 'pilot, pilot' } },
    'forwarded addresses': { headers: { 'X-Forwarded-For': LAB, Forwarded: `for=${LAB}`, 'X-Real-IP': LAB } },
    'host of another listener': { headers: { host: `127.0.0.1:1` } },
    'a beginning of a token': { headers: { authorization: `Bearer ${TOKEN.slice(0, -1)}` } },
    'an empty token': { headers: { authorization: 'Bearer ' } },
    'a token of nobody': {
      headers: { authorization: `Basic ${Buffer.from('me:other').toString('base64')}` },
    },
  }
  for (const [name, asker] of Object.entries(attempts)) {
    test(name, async () =>
      assert.equal(await harness.pull(asker, '/v2/enforced/spoofed/manifests/v1'), '403'),
    )
  }

  test('the same header twice', async () => {
    assert.deepEqual(await taken([PILOT], ['X-Ring: pilot', 'X-Ring: pilot']), [403])
    assert.deepEqual(await taken([PILOT], ['X-Ring: pilot']), [200])
  })

  test('the very bytes that another is served by, on connections that stay', async () => {
    const turns = [LAB, NODE, LAB, NODE, NODE, LAB, LAB, NODE]
    const statuses = turns.map((from) => (from === LAB ? 200 : 403))
    assert.deepEqual(await taken(turns, []), statuses)
  })

  test('the same with a header that counts from one of them', async () => {
    const turns = [PILOT, NODE, PILOT, NODE, NODE, PILOT]
    const statuses = turns.map((from) => (from === PILOT ? 200 : 403))
    assert.deepEqual(await taken(turns, ['X-Ring: pilot']), statuses)
  })

  /** One connection for each address, and on it the same request whenever it is its turn, after the answer to the last. */
  async function taken(turns: readonly string[], headers: readonly string[]): Promise<number[]> {
    const head = ['GET /v2/enforced/spoofed/manifests/v1 HTTP/1.1', 'Host: a', ...headers, '', ''].join(
      '\r\n',
    )
    const connections = new Map([...new Set(turns)].map((from) => [from, connectFrom(from)]))
    const statuses: number[] = []
    for (const from of turns) {
      // oxlint-disable-next-line no-await-in-loop -- in turns
      statuses.push((await connections.get(from)?.ask(head)) ?? 0)
    }
    for (const connection of connections.values()) connection.end()
    return statuses
  }

  function connectFrom(localAddress: string) {
    const socket = connect({ port: harness.port(), host: '127.0.0.1', localAddress })
    return {
      end: () => socket.destroy(),
      async ask(head: string): Promise<number> {
        socket.write(head)
        let text = ''
        while (!isWhole(text)) {
          // oxlint-disable-next-line no-await-in-loop -- piece by piece
          const [chunk]: Buffer[] = await once(socket, 'data')
          text += chunk?.toString('latin1') ?? ''
        }
        return Number(text.slice('HTTP/1.1 '.length).slice(0, 3))
      },
    }
  }

  function isWhole(text: string): boolean {
    const [head = '', body] = text.split('\r\n\r\n')
    return body?.length === Number(/^content-length: (\d+)$/im.exec(head)?.[1])
  }
})

describe('tokens', () => {
  test('are no business of upstream', async () => {
    harness.registry.requests.length = 0
    const image = uniqueImage('token')
    publish(harness, { repository: 'enforced/token', image })
    const asker = { headers: { authorization: `Basic ${Buffer.from(`me:${TOKEN}`).toString('base64')}` } }
    const targets = [
      'manifests/v1',
      `blobs/${digestOf(image.config)}`,
      'tags/list',
      `referrers/${image.digest}`,
    ]
    for (const target of targets) {
      // oxlint-disable-next-line no-await-in-loop -- one after another
      assert.equal((await harness.ask(asker, `/v2/enforced/token/${target}`)).status, 200, target)
    }
    assert.ok(harness.registry.requests.length >= targets.length)
    for (const { url, headers } of harness.registry.requests) {
      assert.equal(headers.authorization, undefined, url)
      assert.ok(!JSON.stringify([url, headers]).includes(TOKEN))
    }
  })

  test('a listener that asks for one challenges whoever has none, or another', async () => {
    publish(harness, { repository: 'observed/locked', image: uniqueImage('locked') })
    const wrong = Buffer.from('me:wrong').toString('base64')
    for (const target of [
      '/v2/',
      '/v2/observed/locked/manifests/v1',
      '/v2/observed/locked/tags/list',
      '/tuf/test/1.root.json',
    ]) {
      for (const headers of [{}, { authorization: 'Bearer wrong' }, { authorization: `Basic ${wrong}` }]) {
        // oxlint-disable-next-line no-await-in-loop -- one after another
        const reply = await harness.ask({ listener: 'locked', headers }, target)
        assert.equal(reply.status, 401, target)
        assert.match(reply.headers['www-authenticate'] ?? '', /^Basic realm="portcullis"/)
      }
    }
    const asker = { ...ASKERS.token, listener: 'locked' }
    assert.equal((await harness.ask(asker, '/v2/')).status, 200)
    assert.equal(await harness.pull(asker, '/v2/observed/locked/manifests/v1'), '200 warned')
  })

  test('a listener that asks for none takes any client, whatever it shows', async () => {
    const reply = await harness.ask({ headers: { authorization: 'Bearer wrong' } }, '/v2/')
    assert.equal(reply.status, 200)
    assert.equal(reply.headers['www-authenticate'], undefined)
  })
})

describe('client certificates', () => {
  const image = uniqueImage('machines')
  before(() => publish(harness, { repository: 'enforced/machines', image }))

  const asked = async (listener: string, client: Partial<TlsIdentity>): Promise<number | string> => {
    const port = harness.portOf(listener)
    const path = '/v2/enforced/machines/manifests/v1'
    const options = { host: '127.0.0.1', servername: 'localhost', port, path, ca: AUTHORITY.ca, agent: false }
    return await new Promise((resolve) => {
      const outgoing = request({ ...options, ...client }, (incoming) => {
        incoming.resume()
        resolve(incoming.statusCode ?? 0)
      })
      outgoing.on('error', () => resolve('no answer'))
      outgoing.end()
    })
  }

  const LAPSED = { start: new Date(0), end: new Date(1) }
  const issue = { usage: 'clientAuth', names: BUILD } as const
  const OTHER = [{ type: 'uri', value: 'spiffe://example.com/other' }] as const
  const cases: Readonly<
    Record<string, [client: Partial<TlsIdentity>, optional: number, required: number | string]>
  > = {
    'of the ring': [AUTHORITY.issue(issue), 200, 200],
    'of somebody else': [AUTHORITY.issue({ ...issue, names: OTHER }), 403, 403],
    'of another authority, with the name': [STRANGERS.issue(issue), 403, 'no answer'],
    'that has expired': [AUTHORITY.issue({ ...issue, validFor: LAPSED }), 403, 'no answer'],
    none: [{}, 403, 'no answer'],
  }
  for (const [name, [client, optional, required]] of Object.entries(cases)) {
    test(name, async () => {
      assert.equal(await asked('machines', client), optional)
      assert.equal(await asked('machines-only', client), required)
    })
  }
})
