import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import { connect, type AddressInfo, type Socket } from 'node:net'
import { describe, it, type TestContext } from 'node:test'
import type { ByteReader } from '../byte-reader.ts'
import { sendBytes } from './send-bytes.ts'

const REQUEST = 'GET / HTTP/1.1\r\nHost: mirror\r\n\r\n'
const LAST_REQUEST = REQUEST.replace('mirror', 'mirror\r\nConnection: close')
const PIECE = 64 * 1024

type Watched = ByteReader & { pieces: number; isClosed: boolean }

/** Pieces that all lie in the same memory, as those of a reader do. */
function reader(count: number, after?: () => Promise<undefined>): Watched {
  const block = Buffer.alloc(PIECE)
  const watched: Watched = {
    pieces: 0,
    isClosed: false,
    async next() {
      if (watched.pieces === count) return await after?.()
      return block.fill((watched.pieces += 1))
    },
    close: () => void (watched.isClosed = true),
  }
  return watched
}

type Sent = { readonly settled: Promise<void>; readonly outgoing: ServerResponse }

/** A server that answers with these bodies, one after the other, and a connection to it. */
async function serve(t: TestContext, readers: readonly Watched[], length: number) {
  const sent: Sent[] = []
  const server = createServer((_, outgoing) => {
    const body = readers[sent.length] ?? assert.fail('asked too often')
    outgoing.writeHead(200, { 'content-length': length })
    sent.push({ settled: sendBytes(body, outgoing), outgoing })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  // Who leaves in the middle may hear of it.
  const socket = connect(port, '127.0.0.1').on('error', () => undefined)
  t.after(() => {
    socket.destroy()
    server.closeAllConnections()
    server.close()
  })
  return { sent, socket, asked: async () => void (await once(server, 'request')) }
}

/** Also where the connection was reset. */
function closeOf({ req }: ServerResponse): Promise<void> {
  return new Promise((resolve) => req.socket.once('close', () => resolve()))
}

async function received(socket: Socket): Promise<Buffer> {
  const pieces: Buffer[] = []
  for await (const piece of socket) pieces.push(piece as Buffer)
  const bytes = Buffer.concat(pieces)
  return bytes.subarray(bytes.indexOf('\r\n\r\n') + 4)
}

describe('a body that is sent piece by piece', () => {
  it('has left when the memory of a piece is used for the next', async (t) => {
    const body = reader(100)
    const { socket } = await serve(t, [body], 100 * PIECE)
    socket.write(LAST_REQUEST)
    const bytes = await received(socket)
    assert.equal(bytes.length, 100 * PIECE)
    for (let piece = 0; piece < 100; piece += 1)
      assert.ok(bytes.subarray(piece * PIECE, (piece + 1) * PIECE).every((byte) => byte === piece + 1))
    assert.ok(body.isClosed)
  })

  it('waits for a client that does not read, and is closed when the client leaves', async (t) => {
    const endless = reader(Infinity)
    const { sent, socket, asked } = await serve(t, [endless], Number.MAX_SAFE_INTEGER)
    const request = asked()
    socket.pause()
    socket.write(REQUEST)
    await request
    const [{ settled, outgoing } = assert.fail()] = sent
    // Until the kernel takes no more, on either side.
    let pieces = 0
    while (pieces !== endless.pieces || outgoing.writableLength === 0) {
      pieces = endless.pieces
      for (let turns = 0; turns < 100; turns += 1) await new Promise(setImmediate)
    }
    assert.ok(outgoing.writableLength <= 2 * PIECE, 'beyond what the kernel has taken it holds one piece')
    socket.destroy()
    await settled
    assert.ok(endless.isClosed)
  })

  it('is closed at once where the client leaves while the next piece is waited for', async (t) => {
    const waiting = Promise.withResolvers<undefined>()
    const body = reader(1, () => waiting.promise)
    const { sent, socket, asked } = await serve(t, [body], 2 * PIECE)
    const request = asked()
    socket.write(REQUEST)
    await request
    await once(socket, 'data')
    const [{ settled, outgoing } = assert.fail()] = sent
    const closed = closeOf(outgoing)
    socket.destroy()
    await closed
    assert.ok(body.isClosed)
    waiting.reject(new Error('the reader is closed'))
    await settled
  })

  it('breaks the connection where it breaks off itself', async (t) => {
    const body = reader(1, () => Promise.reject(new Error('EIO')))
    const { sent, socket } = await serve(t, [body], 2 * PIECE)
    socket.write(REQUEST)
    await assert.doesNotReject(received(socket).then(({ length }) => assert.ok(length <= PIECE)))
    await sent[0]?.settled
    assert.ok(body.isClosed)
    assert.equal(sent[0]?.outgoing.destroyed, true)
  })

  it('is closed too where it waits behind another answer when the client leaves', async (t) => {
    const waiting = Promise.withResolvers<undefined>()
    const bodies = [reader(1, () => waiting.promise), reader(Infinity)]
    const { sent, socket } = await serve(t, bodies, Number.MAX_SAFE_INTEGER)
    socket.write(REQUEST + REQUEST)
    while (bodies[1]?.pieces !== 1) await new Promise(setImmediate)
    const [first, second] = sent
    const closed = closeOf(first?.outgoing ?? assert.fail())
    socket.destroy()
    await closed
    waiting.reject(new Error('the reader is closed'))
    await Promise.all([first?.settled, second?.settled])
    assert.ok(bodies.every(({ isClosed }) => isClosed))
  })

  it('is closed where the client was gone before', async (t) => {
    const body = reader(Infinity)
    const gone = new Promise<void>((resolve, reject) => {
      const server = createServer((incoming, outgoing) => {
        incoming.socket.once('close', () => void sendBytes(body, outgoing).then(resolve, reject))
        incoming.socket.destroy()
      })
      t.after(() => server.close())
      server.listen(0, '127.0.0.1', () => {
        connect((server.address() as AddressInfo).port, '127.0.0.1')
          .on('error', () => undefined)
          .end(REQUEST)
      })
    })
    await gone
    assert.deepEqual([body.isClosed, body.pieces <= 1], [true, true])
  })
})
