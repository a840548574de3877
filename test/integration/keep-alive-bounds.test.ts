import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { after, before, describe, it } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { createDataListener } from '../../src/app.ts'
import type { BlobService } from '../../src/blob.ts'
import { IN_LINE_MAX } from '../../src/http/turns.ts'
import { listen, type Listener } from '../../src/server.ts'
import { buildImage } from '../../src/testing/images.ts'
import { gate, publish, startHarness, uniqueImage, type Harness } from './harness.ts'

/** Larger than the kernel takes for a client that does not read. */
const LAYER_BYTES = 16 * 1024 * 1024
/** As many as fit into one piece that node:http reads. */
const REQUESTS = 400

describe('blobs that are asked for at once on one connection', () => {
  const image = buildImage({ layers: [{ 'data.bin': randomBytes(LAYER_BYTES) }] })
  const [layer = assert.fail()] = image.layers
  const request = `GET /v2/observed/app/blobs/${layer.digest} HTTP/1.1\r\nHost: mirror\r\n\r\n`
  let harness: Harness
  let listener: Listener
  let opened = 0
  let asked = 0
  before(async () => {
    harness = await startHarness()
    publish(harness, { repository: 'observed/app', image })
    await harness.get('/v2/observed/app/manifests/v1')
    const { app, listeners } = harness.running().deps
    const [{ door } = assert.fail()] = listeners
    const { blobs } = app.blob
    const counting: BlobService = {
      openBlob(blob) {
        opened += 1
        return blobs.openBlob(blob)
      },
      headBlob: (blob) => blobs.headBlob(blob),
      isCached: (digest) => blobs.isCached(digest),
      isInMemory: (digest) => blobs.isInMemory(digest),
      openInMemory: (blob) => blobs.openInMemory(blob),
      noteHit: (blob) => blobs.noteHit(blob),
      close: () => blobs.close(),
    }
    const handler = createDataListener({ ...app, blob: { ...app.blob, blobs: counting } }, door)
    const onRequest: typeof handler.onRequest = (incoming, outgoing) => {
      asked += 1
      handler.onRequest(incoming, outgoing)
    }
    listener = await listen({ ...handler, onRequest }, { host: '127.0.0.1', port: 0 })
  })
  after(async () => {
    await listener.close(0)
    await harness[Symbol.asyncDispose]()
  })

  function client(): Socket {
    opened = 0
    asked = 0
    return connect(listener.address.port, '127.0.0.1').on('error', () => undefined)
  }

  it('are opened one after the other, and all arrive', async () => {
    const socket = client()
    let received = 0
    socket.write(request.repeat(3))
    while (opened === 0) await turn()
    // Nobody has read yet: the first is on its way.
    for (let turns = 0; turns < 200; turns += 1) await turn()
    assert.deepEqual([asked, opened], [3, 1])
    socket.on('data', ({ length }: Buffer) => (received += length))
    while (received < 3 * layer.bytes.length) await turn()
    assert.equal(opened, 3)
    socket.destroy()
  })

  it('are refused with the connection where they are many, and open nothing', async () => {
    const socket = client()
    socket.resume()
    socket.write(request.repeat(REQUESTS))
    await once(socket, 'close')
    assert.ok(asked > IN_LINE_MAX)
    assert.ok(opened <= 1, `${opened} were opened`)
  })
})

describe('cold pulls that are asked for at once on one connection', () => {
  it('begin one after the other, and all are answered', async () => {
    await using harness = await startHarness()
    const names = ['one', 'two', 'three']
    for (const name of names) publish(harness, { repository: `observed/${name}`, image: uniqueImage(name) })
    const slow = gate()
    harness.registry.behave(async () => await slow.opened.then(() => undefined))
    const socket = connect(harness.port(), '127.0.0.1')
    let received = ''
    socket.setEncoding('utf8').on('data', (text: string) => (received += text))
    socket.write(names.map(manifestRequest).join(''))
    while (harness.registry.requests.length === 0) await turn()
    for (let turns = 0; turns < 200; turns += 1) await turn()
    assert.deepEqual(pulled(harness), ['observed/one'])
    slow.open()
    while (received.split('HTTP/1.1 200 OK').length <= names.length) await turn()
    assert.deepEqual(
      pulled(harness),
      names.map((name) => `observed/${name}`),
    )
    socket.destroy()
  })

  it('are refused with the connection where they are many, and ask upstream for next to nothing', async () => {
    await using harness = await startHarness()
    harness.registry.behave(() => 'hang')
    const socket = connect(harness.port(), '127.0.0.1').on('error', () => undefined)
    socket.resume()
    const names = Array.from({ length: REQUESTS / 4 }, (_, number) => `n${number}`)
    socket.write(names.map(manifestRequest).join(''))
    await once(socket, 'close')
    assert.ok(pulled(harness).length <= 1, `${pulled(harness).length} were begun`)
  })

  function manifestRequest(name: string): string {
    return `GET /v2/observed/${name}/manifests/v1 HTTP/1.1\r\nHost: mirror\r\n\r\n`
  }

  /** Repositories that upstream was asked about. */
  function pulled({ registry }: Harness): readonly string[] {
    const repositories = registry.requests.flatMap(({ url }) => /^\/v2\/(.+?\/.+?)\//.exec(url)?.[1] ?? [])
    return [...new Set(repositories)]
  }
})
