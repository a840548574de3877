import assert from 'node:assert/strict'
import { createServer, type Server } from 'node:http'
import { connect, type Socket } from 'node:net'
import { once } from 'node:events'
import { after, before, describe, it } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import fc from 'fast-check'
import { sendAnswer, WrittenAnswers, type Answer } from './answer.ts'
import { KnownHeads } from './known-heads.ts'

type Asked = { readonly method: 'GET' | 'HEAD'; readonly url: string }

const NOW = new Date('2026-03-01T12:00:00Z')

/** Says what was asked for, so that an answer to another request is seen. */
function answerTo({ method, url }: Asked, answers: Map<string, Answer>): Answer {
  const known = answers.get(`${method} ${url}`)
  if (known !== undefined) return known
  const body = Buffer.from(`${method} ${url}`)
  const headers = { 'content-type': 'text/plain', 'content-length': String(body.length) }
  const answer = { status: 200, headers, body }
  answers.set(`${method} ${url}`, answer)
  return answer
}

/** A server that answers GET and HEAD from what it has heard before where it can; and how often it could. */
function start({ isLearning }: { isLearning: boolean }): { server: Server; again(): number; stop(): void } {
  const answers = new Map<string, Answer>()
  const written = new WrittenAnswers({ keepAliveSeconds: 5, now: () => NOW })
  let again = 0
  const heads = new KnownHeads<Asked>((asked) => {
    again += 1
    return written.wire(answerTo(asked, answers), asked.method)
  })
  const server = createServer({ keepAliveTimeout: 5000 }, (incoming, outgoing) => {
    heads.noteRequest(incoming, outgoing)
    const { method = '', url = '' } = incoming
    if (method !== 'GET' && method !== 'HEAD') {
      outgoing.writeHead(405, { 'content-length': '0' }).end()
      return
    }
    sendAnswer(answerTo({ method, url }, answers), outgoing, method)
    if (isLearning) heads.learn(incoming, outgoing, { sizeBytes: 0, asks: () => ({ method, url }) })
  })
  server.on('connection', (socket) => heads.watch(socket))
  return { server, again: () => again, stop: () => heads.stop() }
}

/** Turns of the event loop in which an answer comes, if one does. */
const TURNS = 100

/** Everything that comes back for these pieces, each sent when the one before has been read and answered. */
async function exchange(server: Server, pieces: readonly string[]): Promise<string> {
  const address = server.address()
  assert.ok(typeof address === 'object' && address !== null)
  const accepted = once(server, 'connection')
  const socket = connect(address.port, '127.0.0.1').setNoDelay(true)
  let text = ''
  socket.setEncoding('latin1').on('data', (chunk: string) => (text += chunk))
  socket.on('error', () => undefined)
  const closed = once(socket, 'close')
  const [far]: Socket[] = await accepted
  let sent = 0
  for (const piece of pieces) {
    if (socket.destroyed || socket.readableEnded) break
    const before = text.length
    socket.write(piece, 'latin1')
    sent += piece.length
    await until(() => far === undefined || far.destroyed || far.bytesRead >= sent)
    // A piece that is no whole request has no answer of its own.
    for (let turn = 0; turn < TURNS && text.length === before; turn++) await setImmediate()
  }
  socket.end()
  await closed
  return text.replace(/Date: [^\r]*/g, 'Date')
}

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await setImmediate()
}

const head = (line: string, ...fields: readonly string[]): string =>
  [line, 'Host: r.test', ...fields, '', ''].join('\r\n')
const GET = head('GET /v2/a/manifests/v1 HTTP/1.1', 'User-Agent: containerd/2.1')

describe('requests whose bytes were read before', () => {
  let plain: ReturnType<typeof start>
  before(async () => {
    plain = start({ isLearning: false })
    await once(plain.server.listen(0, '127.0.0.1'), 'listening')
  })
  after(() => plain.server.close())

  async function both(pieces: readonly string[]): Promise<{ again: number; text: string }> {
    const learning = start({ isLearning: true })
    await once(learning.server.listen(0, '127.0.0.1'), 'listening')
    try {
      const text = await exchange(learning.server, pieces)
      assert.equal(text, await exchange(plain.server, pieces))
      return { again: learning.again(), text }
    } finally {
      learning.server.close()
      learning.server.closeAllConnections()
    }
  }

  it('are answered again, byte for byte as node:http answers them', async () => {
    const HEAD = head('HEAD /v2/a/manifests/v1 HTTP/1.1')
    const { again, text } = await both([GET, GET, HEAD, HEAD, GET, HEAD])
    assert.equal(again, 4)
    assert.equal(text.split('HTTP/1.1 200 OK').length - 1, 6)
  })

  const NEVER: readonly (readonly [string, readonly string[]])[] = [
    ['another path', [GET, GET.replace('v1', 'v2')]],
    ['another header', [GET, GET.replace('2.1', '2.2')]],
    ['a head in two pieces', [GET.slice(0, 30), GET.slice(30), GET]],
    ['two heads in one piece', [GET + GET, GET]],
    ['HTTP/1.0', [head('GET /a HTTP/1.0'), head('GET /a HTTP/1.0')]],
    ['a client that wants the connection closed', [head('GET /a HTTP/1.1', 'Connection: close')]],
    [
      'a body of no bytes',
      [head('GET /a HTTP/1.1', 'Content-Length: 0'), head('GET /a HTTP/1.1', 'Content-Length: 0')],
    ],
    ['a body to come', [head('GET /a HTTP/1.1', `Content-Length: ${GET.length}`), GET, GET]],
    ['a body in chunks', [head('GET /a HTTP/1.1', 'Transfer-Encoding: chunked'), '0\r\n\r\n', GET, GET]],
    ['a body that looks like a head', [head('GET /a HTTP/1.1', 'Content-Length: 4'), '\r\n\r\n', GET, GET]],
    [
      'an expectation',
      [head('GET /a HTTP/1.1', 'Expect: 100-continue'), head('GET /a HTTP/1.1', 'Expect: 100-continue')],
    ],
    [
      'a token',
      [
        head('GET /a HTTP/1.1', 'Authorization: Bearer x'),
        head('GET /a HTTP/1.1', 'Authorization: Bearer x'),
      ],
    ],
    [
      'a POST',
      [head('POST /a HTTP/1.1', 'Content-Length: 0'), head('POST /a HTTP/1.1', 'Content-Length: 0')],
    ],
    ['no HTTP at all', ['\r\n\r\n', '\r\n\r\n']],
  ]
  for (const [name, pieces] of NEVER) {
    it(`are not: ${name}`, async () => {
      assert.equal((await both(pieces)).again, 0)
    })
  }

  it('are not, where a body has taken their place', async () => {
    // Known from another connection; here the same bytes are what a POST brings.
    const post = head('POST /a HTTP/1.1', `Content-Length: ${GET.length}`)
    const { again } = await both([GET, GET, post, GET, GET])
    assert.equal(again, 1)
  })

  it('are left to node:http while it drains', async () => {
    const learning = start({ isLearning: true })
    await once(learning.server.listen(0, '127.0.0.1'), 'listening')
    await exchange(learning.server, [GET, GET])
    learning.stop()
    await exchange(learning.server, [GET, GET])
    assert.equal(learning.again(), 1)
    learning.server.close()
    learning.server.closeAllConnections()
  })

  it('come to the same however a stream of requests is cut into pieces', async () => {
    const part = fc.constantFrom(
      GET,
      GET,
      head('HEAD /v2/a/manifests/v1 HTTP/1.1'),
      head('POST /x HTTP/1.1', 'Content-Length: 4') + '\r\n\r\n',
      head('GET /x HTTP/1.1', 'Content-Length: 2') + 'ab',
      head('GET /x HTTP/1.1', 'Transfer-Encoding: chunked') + '1\r\na\r\n0\r\n\r\n',
      'GET /x HTTP/1.1\r\nHost: r.test\r\nX: 1\n\r\n\r\n',
    )
    const cuts = fc.array(fc.nat({ max: 400 }), { maxLength: 4 })
    await fc.assert(
      fc.asyncProperty(fc.array(part, { minLength: 1, maxLength: 5 }), cuts, async (parts, at) => {
        await both(cutsOf(parts, at))
      }),
      { numRuns: 40 },
    )
  })
})

/** The parts as they are, or their bytes cut elsewhere. */
function cutsOf(parts: readonly string[], at: readonly number[]): readonly string[] {
  if (at.length === 0) return parts
  const all = parts.join('')
  const edges = [0, ...at.map((one) => Math.min(one, all.length)), all.length].toSorted((a, b) => a - b)
  return edges.flatMap((edge, index) => all.slice(edge, edges[index + 1]) || [])
}
