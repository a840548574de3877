import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { after, before, describe, it } from 'node:test'
import { createDataListener } from '../../src/app.ts'
import { buildIndex } from '../../src/testing/images.ts'
import { listen, type Listener } from '../../src/server.ts'
import { publish, publishSigned, startHarness, uniqueImage, type Harness } from './harness.ts'
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

  /** Status codes of so many equal requests, one after the other. */
  async function ask(repository: string, times: number): Promise<readonly number[]> {
    const socket = connect(listener.address.port, '127.0.0.1').setNoDelay(true)
    const statuses: number[] = []
    const path = `/v2/${harness.registry.host}/${repository}/manifests/v1`
    for (let asked = 0; asked < times; asked++) {
      socket.write(`GET ${path} HTTP/1.1\r\nHost: mirror\r\nUser-Agent: containerd/2.1\r\n\r\n`)
      let text = ''
      while (!isWhole(text)) {
        // oxlint-disable-next-line no-await-in-loop -- piece by piece
        const [piece]: Buffer[] = await once(socket, 'data')
        text += piece?.toString('latin1')
      }
      statuses.push(...statusesOf(text))
    }
    socket.destroy()
    return statuses
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

  it('are all left to node:http where each answer without it would be a large copy', async () => {
    const images = Array.from({ length: PLATFORMS }, (_, index) => uniqueImage(`platform-${index}`))
    const repository = 'enforced/large'
    await publishSigned(harness, { repository, image: buildIndex(images) })
    const readEarlier = read
    assert.deepEqual(await ask(repository, 4), [200, 200, 200, 200])
    assert.equal(read - readEarlier, 4)
  })
})

/** An answer with all of its body. */
function isWhole(text: string): boolean {
  const [head = '', body] = text.split('\r\n\r\n', 2)
  const [, length = ''] = /^content-length: (\d+)$/im.exec(head) ?? []
  return body !== undefined && text.length - head.length - 4 >= Number(length)
}
