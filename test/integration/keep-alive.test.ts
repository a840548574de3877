import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import { after, before, describe, it } from 'node:test'
import { createDataListener } from '../../src/app.ts'
import { buildImage, buildIndex } from '../../src/testing/images.ts'
import { listen, type Listener } from '../../src/server.ts'
import {
  publish,
  publishSigned,
  RELEASE,
  startHarness,
  STRANGER,
  uniqueImage,
  type Harness,
} from './harness.ts'
import { requestTo, statusesOf } from './http.ts'

/** Manifests that a mirror is asked for have 1 to 3 KiB; this one has 40. */
const PLATFORMS = 200

describe('requests on one connection', () => {
  let harness: Harness
  let listener: Listener
  /** Requests that node:http has read; the others were answered without it. */
  let read = 0
  before(async () => {
    harness = await startHarness()
    const { app, listeners } = harness.running().deps
    const [{ door } = assert.fail()] = listeners
    const handler = createDataListener(app, door)
    const onRequest: typeof handler.onRequest = (incoming, outgoing) => {
      read += 1
      handler.onRequest(incoming, outgoing)
    }
    listener = await listen({ ...handler, onRequest }, { host: '127.0.0.1', port: 0 })
  })
  after(async () => {
    await listener.close(0)
    await harness[Symbol.asyncDispose]()
  })

  /** Answers to so many equal requests, one after the other. */
  async function answers(path: string, times: number, fields = ''): Promise<readonly string[]> {
    const socket = connect(listener.address.port, '127.0.0.1').setNoDelay(true)
    const texts: string[] = []
    for (let asked = 0; asked < times; asked++) {
      socket.write(`GET ${path} HTTP/1.1\r\nHost: mirror\r\nUser-Agent: containerd/2.1\r\n${fields}\r\n`)
      let text = ''
      while (!isWhole(text)) {
        // oxlint-disable-next-line no-await-in-loop -- piece by piece
        const [piece]: Buffer[] = await once(socket, 'data')
        text += piece?.toString('latin1')
      }
      texts.push(text)
    }
    socket.destroy()
    return texts
  }

  /** Status codes of so many equal requests for an image. */
  async function ask(repository: string, times: number): Promise<readonly number[]> {
    return (await answers(`${pathOf(repository)}/manifests/v1`, times)).flatMap(statusesOf)
  }

  function pathOf(repository: string): string {
    return `/v2/${harness.registry.host}/${repository}`
  }

  async function pulls(outcome: string): Promise<number> {
    const reply = await requestTo(harness.running().admin.address.port, { method: 'GET', target: '/metrics' })
    const counts = reply.body.toString().matchAll(/^portcullis_pulls_total\{(.*)\} (\d+)$/gm)
    return [...counts]
      .filter(([, labels]) => labels?.includes(`outcome="${outcome}"`) === true)
      .reduce((sum, [, , count]) => sum + Number(count), 0)
  }

  for (const [outcome, status] of [
    ['serve', 200],
    ['refuse', 403],
  ] as const) {
    it(`are each one pull: ${outcome}`, async () => {
      const image = { repository: `enforced/counted-${outcome}`, image: uniqueImage(outcome) }
      if (outcome === 'serve') await publishSigned(harness, image)
      else publish(harness, image)
      const [earlier, readEarlier] = [await pulls(outcome), read]
      assert.deepEqual(await ask(image.repository, 8), Array<number>(8).fill(status))
      assert.equal((await pulls(outcome)) - earlier, 8)
      assert.equal(read - readEarlier, 2, 'the first is judged, the second is learned')
    })
  }

  it('are refused at once where a policy says so, and served again where it does not', async () => {
    const repository = 'enforced/changing'
    await publishSigned(harness, { repository, image: uniqueImage('changing') })
    assert.deepEqual(await ask(repository, 4), [200, 200, 200, 200])
    const { policies } = harness.running().deps
    await harness.editPolicies((text) => text.replaceAll(RELEASE, STRANGER))
    await policies.reload(AbortSignal.timeout(10_000))
    assert.deepEqual(await ask(repository, 3), [403, 403, 403])
    await harness.editPolicies((text) => text.replaceAll(STRANGER, RELEASE))
    await policies.reload(AbortSignal.timeout(10_000))
    assert.deepEqual(await ask(repository, 3), [200, 200, 200])
  })

  it('are known again however large the answer is', async () => {
    const images = Array.from({ length: PLATFORMS }, (_, index) => uniqueImage(`platform-${index}`))
    const repository = 'enforced/large'
    const index = buildIndex(images)
    await publishSigned(harness, { repository, image: index })
    const readEarlier = read
    const texts = await answers(`${pathOf(repository)}/manifests/v1`, 4)
    assert.equal(read - readEarlier, 2)
    for (const text of texts) assert.equal(bodyOf(text), index.manifest.toString('latin1'))
  })

  describe('for a small blob', () => {
    const bytes = randomBytes(100_000)
    const image = buildImage({ layers: [{ 'data.bin': bytes }] })
    const [layer = assert.fail()] = image.layers
    const repository = 'enforced/blobs'
    const path = () => `${pathOf(repository)}/blobs/${layer.digest}`
    before(async () => {
      await publishSigned(harness, { repository, image })
      assert.deepEqual(await ask(repository, 1), [200])
      // From upstream, from the store once it is there, and from then on from memory.
      for (let readEarlier = -1; readEarlier + 1 !== read;) {
        readEarlier = read
        // oxlint-disable-next-line no-await-in-loop -- until the first on a connection is the only one that is read
        await answers(path(), 3)
      }
    })

    it('are answered from memory, with the very bytes', async () => {
      const readEarlier = read
      const texts = await answers(path(), 4)
      assert.equal(read - readEarlier, 1)
      for (const text of texts) assert.equal(bodyOf(text), layer.bytes.toString('latin1'))
      assert.equal(new Set(texts.map(headWithoutDate)).size, 1)
    })

    for (const { range, part } of [
      { range: 'bytes=0-0', part: layer.bytes.subarray(0, 1) },
      { range: 'bytes=99999-', part: layer.bytes.subarray(99_999) },
      { range: 'bytes=50000-60000', part: layer.bytes.subarray(50_000, 60_001) },
      { range: 'bytes=-17000', part: layer.bytes.subarray(-17_000) },
    ]) {
      it(`are answered with the part that is asked for: ${range}`, async () => {
        const texts = await answers(path(), 3, `Range: ${range}\r\n`)
        assert.deepEqual(texts.flatMap(statusesOf), [206, 206, 206])
        for (const text of texts) assert.equal(bodyOf(text), part.toString('latin1'))
        assert.equal(new Set(texts.map(headWithoutDate)).size, 1)
      })
    }

    it('are told that no byte is in a range', async () => {
      const texts = await answers(path(), 3, 'Range: bytes=500000-\r\n')
      assert.deepEqual(texts.flatMap(statusesOf), [416, 416, 416])
    })

    it('are refused at once where a policy says so, and answered again where it does not', async () => {
      assert.deepEqual((await answers(path(), 3)).flatMap(statusesOf), [200, 200, 200])
      const { policies } = harness.running().deps
      await harness.editPolicies((text) => text.replaceAll(RELEASE, STRANGER))
      await policies.reload(AbortSignal.timeout(10_000))
      assert.deepEqual((await answers(path(), 3)).flatMap(statusesOf), [403, 403, 403])
      await harness.editPolicies((text) => text.replaceAll(STRANGER, RELEASE))
      await policies.reload(AbortSignal.timeout(10_000))
      assert.deepEqual((await answers(path(), 3)).flatMap(statusesOf), [200, 200, 200])
    })

    it('get nothing through a repository that does not hold it', async () => {
      await publishSigned(harness, { repository: 'enforced/without', image: uniqueImage('without') })
      assert.deepEqual(await ask('enforced/without', 2), [200, 200])
      const other = `${pathOf('enforced/without')}/blobs/${layer.digest}`
      assert.deepEqual((await answers(other, 3)).flatMap(statusesOf), [404, 404, 404])
    })
  })
})

function bodyOf(text: string): string {
  return text.slice(text.indexOf('\r\n\r\n') + 4)
}

function headWithoutDate(text: string): string {
  return text.slice(0, text.indexOf('\r\n\r\n')).replace(/^date: .*$/im, '')
}

/** An answer with all of its body. */
function isWhole(text: string): boolean {
  const [head = '', body] = text.split('\r\n\r\n', 2)
  const [, length = ''] = /^content-length: (\d+)$/im.exec(head) ?? []
  return body !== undefined && text.length - head.length - 4 >= Number(length)
}
