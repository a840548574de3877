import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { RequestListener, ServerResponse } from 'node:http'
import { request } from 'node:https'
import { connect, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { describe, it, type TestContext } from 'node:test'
import { TLSSocket } from 'node:tls'
import { listen, type Listener, type TlsFiles } from './server.ts'
import { createTlsAuthority, type TlsIdentity } from './testing/tls-authority.ts'

const GET = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'

async function start(
  t: TestContext,
  handler: RequestListener,
  options: { idleMs?: number } = {},
): Promise<Listener> {
  const listener = await listen({ onRequest: handler }, { host: '127.0.0.1', port: 0, ...options })
  t.after(() => listener.close(0))
  return listener
}

async function open({ address }: Listener): Promise<{ socket: Socket; text: () => string }> {
  const socket = connect(address.port, '127.0.0.1')
  const chunks: Buffer[] = []
  socket.on('error', () => undefined)
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  await once(socket, 'connect')
  return { socket, text: () => Buffer.concat(chunks).toString('latin1') }
}

async function gone(socket: Socket): Promise<void> {
  if (!socket.closed) await once(socket, 'close')
}

describe('draining', () => {
  it('closes connections that wait for another request, and takes no new one', async (t) => {
    const listener = await start(t, (_, response) => response.end('done'))
    const { socket, text } = await open(listener)
    socket.write(GET)
    while (!text().endsWith('done')) await once(socket, 'data')
    assert.doesNotMatch(text(), /connection: close/i)
    const closed = listener.close(60_000)
    await gone(socket)
    await closed
    const late = connect(listener.address.port, '127.0.0.1')
    const [error] = await once(late, 'error')
    assert.equal(error.code, 'ECONNREFUSED')
  })

  it('lets a running answer end, and tells the next one on its connection to be the last', async (t) => {
    const held: ServerResponse[] = []
    const asked = Promise.withResolvers<void>()
    const listener = await start(t, (request, response) => {
      if (request.url !== '/slow') return void response.end('second')
      held.push(response)
      asked.resolve()
    })
    const { socket, text } = await open(listener)
    socket.write(GET.replace('/ ', '/slow '))
    await asked.promise
    const closed = listener.close(60_000)
    socket.write(GET)
    held[0]?.end('first')
    await gone(socket)
    await closed
    const [, first = '', second = ''] = text().split('HTTP/1.1 200 OK')
    assert.match(first, /first$/)
    assert.match(second, /connection: close/i)
    assert.match(second, /second$/)
  })

  it('closes the connection of an answer that was running, though nothing more is asked on it', async (t) => {
    const held = Promise.withResolvers<ServerResponse>()
    const listener = await start(t, (_, response) => held.resolve(response))
    const { socket, text } = await open(listener)
    socket.write(GET)
    const response = await held.promise
    const closed = listener.close(60_000)
    response.end('whole')
    await gone(socket)
    await closed
    assert.match(text(), /whole$/)
  })

  it('cuts what is left when its time is over', async (t) => {
    const asked = Promise.withResolvers<void>()
    const listener = await start(t, () => asked.resolve())
    const { socket, text } = await open(listener)
    socket.write(GET)
    await asked.promise
    await listener.close(1)
    await gone(socket)
    assert.equal(text(), '')
  })
})

describe('the idle limit', () => {
  it('cuts a client that stops reading, and so lets go of what it was being sent', async (t) => {
    const cut = Promise.withResolvers<boolean>()
    const endless = (response: ServerResponse): void => {
      while (!response.destroyed && response.write(Buffer.alloc(64 * 1024))) continue
      response.once('drain', () => endless(response))
    }
    const handler: RequestListener = (_, response) => {
      response.once('close', () => cut.resolve(response.writableFinished))
      endless(response)
    }
    const { socket } = await open(await start(t, handler, { idleMs: 40 }))
    socket.pause()
    socket.write(GET)
    assert.equal(await cut.promise, false)
    socket.destroy()
  })

  it('cuts a client that never says what it wants', async (t) => {
    const { socket, text } = await open(await start(t, () => assert.fail('no request'), { idleMs: 40 }))
    await gone(socket)
    assert.equal(text(), '')
  })
})

const AUTHORITY = createTlsAuthority('clients')
const STRANGERS = createTlsAuthority('strangers')
const SERVER = AUTHORITY.issue({ usage: 'serverAuth', names: [{ type: 'dns', value: 'localhost' }] })
const NAMES = { usage: 'clientAuth', names: [{ type: 'uri', value: 'spiffe://example.com/build' }] } as const
const LAPSED = { start: new Date(0), end: new Date(1) }

/** What the server is told of the client, or that there was no answer. */
async function askSecurely(
  t: TestContext,
  tls: Partial<TlsFiles>,
  client: Partial<TlsIdentity>,
): Promise<string> {
  const onRequest: RequestListener = ({ socket }, response) => {
    const isVerified = socket instanceof TLSSocket && socket.authorized
    response.end(isVerified ? 'verified' : 'unknown')
  }
  const at = { host: '127.0.0.1', port: 0, tls: { ...SERVER, ...tls } }
  const listener = await listen({ onRequest }, at)
  t.after(() => listener.close(0))
  const { port } = listener.address
  return await new Promise((resolve) => {
    const outgoing = request({
      host: '127.0.0.1',
      servername: 'localhost',
      port,
      ca: AUTHORITY.ca,
      ...client,
      agent: false,
    })
    outgoing.on('response', (incoming) => resolve(text(incoming)))
    outgoing.on('error', () => resolve('no answer'))
    outgoing.end()
  })
}

describe('client certificates', () => {
  const clients: Readonly<
    Record<string, [client: Partial<TlsIdentity>, optional: string, required: string]>
  > = {
    'of the authority': [AUTHORITY.issue(NAMES), 'verified', 'verified'],
    none: [{}, 'unknown', 'no answer'],
    'of another authority': [STRANGERS.issue(NAMES), 'unknown', 'no answer'],
    'that has expired': [AUTHORITY.issue({ ...NAMES, validFor: LAPSED }), 'unknown', 'no answer'],
    'that is one of a server': [AUTHORITY.issue({ ...NAMES, usage: 'serverAuth' }), 'unknown', 'no answer'],
  }
  for (const [name, [client, optional, required]] of Object.entries(clients)) {
    it(name, async (t) => {
      const clientCa = AUTHORITY.ca
      assert.equal(await askSecurely(t, { clientCa }, client), optional)
      assert.equal(await askSecurely(t, { clientCa, clientCertificate: 'optional' }, client), optional)
      assert.equal(await askSecurely(t, { clientCa, clientCertificate: 'required' }, client), required)
    })
  }

  it('are not asked for without an authority', async (t) => {
    assert.equal(await askSecurely(t, {}, AUTHORITY.issue(NAMES)), 'unknown')
  })
})
