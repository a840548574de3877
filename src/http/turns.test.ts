import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import { connect, type AddressInfo } from 'node:net'
import { describe, it, type TestContext } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { IN_LINE_MAX, Turns } from './turns.ts'

const REQUEST = 'GET / HTTP/1.1\r\nHost: mirror\r\n\r\n'

/** A server that makes its answers in turn, each when the test lets it, and a connection to it that sends `text`. */
async function serve(t: TestContext, text: string) {
  const turns = new Turns()
  const begun: { outgoing: ServerResponse; end: () => void }[] = []
  const taken: Promise<unknown>[] = []
  const server = createServer((_, outgoing) => {
    taken.push(
      turns.take(outgoing, async () => {
        const { promise, resolve } = Promise.withResolvers<void>()
        begun.push({ outgoing, end: resolve })
        await promise
        outgoing.end()
        return 'answered'
      }),
    )
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const socket = connect(port, '127.0.0.1').on('error', () => undefined)
  socket.resume()
  t.after(() => {
    socket.destroy()
    server.closeAllConnections()
    server.close()
  })
  socket.write(text)
  return { begun, taken, socket }
}

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await turn()
}

describe('answers to requests that were sent at once', () => {
  it('begin one after the other', async (t) => {
    const { begun, taken } = await serve(t, REQUEST.repeat(IN_LINE_MAX))
    await until(() => taken.length === IN_LINE_MAX)
    for (let answered = 1; answered <= IN_LINE_MAX; answered += 1) {
      await until(() => begun.length >= answered)
      for (let turns = 0; turns < 20; turns += 1) await turn()
      assert.equal(begun.length, answered)
      assert.notEqual(begun.at(-1)?.outgoing.socket, null)
      begun.at(-1)?.end()
    }
    assert.deepEqual(await Promise.all(taken), Array(IN_LINE_MAX).fill('answered'))
  })

  it('never begin where the client leaves before their turn', async (t) => {
    const { begun, taken, socket } = await serve(t, REQUEST.repeat(3))
    await until(() => taken.length === 3)
    socket.destroy()
    assert.deepEqual(await Promise.all(taken.slice(1)), ['gone', 'gone'])
    assert.equal(begun.length, 1)
    begun[0]?.end()
    assert.equal(await taken[0], 'answered')
  })

  it('are not waited for where they are too many: the connection ends', async (t) => {
    const warnings: Error[] = []
    const onWarning = (warning: Error): number => warnings.push(warning)
    process.on('warning', onWarning)
    t.after(() => process.off('warning', onWarning))
    const { begun, taken, socket } = await serve(t, REQUEST.repeat(500))
    await once(socket, 'close')
    // The first too, where all of them came in one piece.
    begun[0]?.end()
    const outcomes = await Promise.all(taken)
    assert.ok(begun.length <= 1)
    assert.deepEqual(outcomes.slice(1, IN_LINE_MAX), Array(IN_LINE_MAX - 1).fill('gone'))
    assert.ok(outcomes.length > IN_LINE_MAX)
    assert.ok(outcomes.slice(IN_LINE_MAX).every((outcome) => outcome === 'too-many'))
    await turn()
    assert.deepEqual(warnings, [])
  })

  it('are counted only until they are there', async (t) => {
    const { begun, taken, socket } = await serve(t, '')
    for (let asked = 1; asked <= 3 * IN_LINE_MAX; asked += 1) {
      socket.write(REQUEST)
      await until(() => begun.length === asked)
      begun.at(-1)?.end()
      assert.equal(await taken.at(-1), 'answered')
    }
  })
})
