import assert from 'node:assert/strict'
import { createDataListener } from '../../src/app.ts'
import { KnownHeads } from '../../src/http/known-heads.ts'
import { createLogs } from '../../src/record/log.ts'
import { publish, publishSigned, startHarness, uniqueImage } from '../../test/integration/harness.ts'
import type { Work } from '../measure.ts'
import { checked, checkedAsync, once, type Part } from './part.ts'
import { logToNowhere } from './record.ts'
import { connect, type Client } from './wire.ts'

const LATIN1 = 'latin1'

/** As containerd sends it. */
function headOf(method: 'GET' | 'HEAD', target: string, extra = ''): Buffer {
  const accept =
    'application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, */*'
  return Buffer.from(
    `${method} ${target} HTTP/1.1\r\nHost: 127.0.0.1:5000\r\nUser-Agent: containerd/2.1.4\r\nAccept: ${accept}\r\n${extra}Accept-Encoding: gzip\r\n\r\n`,
    LATIN1,
  )
}

/** The whole proxy, with one image that is signed and one that is not, both judged. */
async function openProxy(closing: AsyncDisposableStack) {
  // Longer than a benchmark: nobody measures how tags are asked for again, and images judged again.
  const cache = { tagTtl: '1h', violatedTtl: '1h' }
  const harness = closing.use(await startHarness({ config: { cache } }))
  const signed = await publishSigned(harness, { repository: 'enforced/app', image: uniqueImage('signed') })
  const unsigned = publish(harness, { repository: 'enforced/bad', image: uniqueImage('unsigned') })
  const targets = {
    tag: '/v2/enforced/app/manifests/v1',
    digest: `/v2/enforced/app/manifests/${signed.digest}`,
    ns: `/v2/enforced/app/manifests/v1?ns=${harness.registry.host}`,
    refused: `/v2/enforced/bad/manifests/${unsigned.digest}`,
  }
  for (const [target, status] of [
    [targets.tag, 200],
    [targets.refused, 403],
  ] as const) {
    // oxlint-disable-next-line no-await-in-loop -- each once
    assert.equal((await harness.get(target)).status, status)
  }
  const { app, listeners } = harness.running().deps
  const [listener] = listeners
  assert.ok(listener !== undefined)
  const logs = createLogs('info', logToNowhere(), app.now)
  return { targets, open: () => connect(createDataListener({ ...app, ...logs }, listener.door)) }
}

type Proxy = Awaited<ReturnType<typeof openProxy>>

/** Steps 1 to 10 of what is known, from the bytes of the request to the bytes of the answer: without sockets and system calls. */
export function warmParts(closing: AsyncDisposableStack): readonly Part[] {
  const proxy = once(() => openProxy(closing))
  const known = (method: 'GET' | 'HEAD', target: keyof Proxy['targets'], status: number): Part => ({
    name: `warm/known-${method.toLowerCase()}-${target}`,
    async open() {
      const { targets, open } = await proxy()
      return await askedAgain(open(), headOf(method, targets[target]), status)
    },
  })
  return [
    {
      name: 'warm/nothing',
      open: async () => await askedAgain(openNothing(), headOf('GET', '/v2/acme/app/manifests/v1'), 200),
    },
    known('GET', 'tag', 200),
    known('GET', 'digest', 200),
    known('GET', 'ns', 200),
    known('HEAD', 'tag', 200),
    known('GET', 'refused', 403),
    {
      name: 'warm/node-get-tag',
      async open() {
        const { targets, open } = await proxy()
        const client = open()
        // A head that holds a secret is not kept, so node:http reads it each time.
        const head = headOf('GET', targets.tag, 'Cookie: a=b\r\n')
        const work = await checkedAsync(() => client.askThroughNode(head), isWhole(200))
        await client.askThroughNode(head)
        assert.equal(client.read(), 2)
        return work
      },
    },
  ]
}

/** The floor: known bytes are found, and the same are written. */
function openNothing(): Client {
  const written = { first: Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}') }
  const heads = new KnownHeads<true>(() => written)
  return connect({
    onConnection: (socket) => heads.watch(socket),
    onRequest(incoming, outgoing) {
      heads.noteRequest(incoming, outgoing)
      outgoing.end('{}')
      heads.learn(incoming, outgoing, { asks: () => true, sizeBytes: 2 })
    },
  })
}

/** What node:http reads once and nobody reads again. */
async function askedAgain(client: Client, head: Buffer, status: number): Promise<Work> {
  await client.askThroughNode(head)
  const work = checked(() => client.ask(head), isWhole(status))
  assert.equal(client.read(), 1)
  return work
}

/** With all of its body; none follows the head of a HEAD. */
function isWhole(status: number): (answer: readonly (string | Buffer)[]) => void {
  return (answer) => {
    const [head = '', body] = answer
      .map((piece) => piece.toString(LATIN1))
      .join('')
      .split('\r\n\r\n')
    assert.match(head, new RegExp(`^HTTP/1\\.1 ${status} `))
    const sizeBytes = Number(/^content-length: ([0-9]+)$/im.exec(head)?.[1])
    assert.ok(sizeBytes > 0 && (body === '' || body?.length === sizeBytes))
  }
}
