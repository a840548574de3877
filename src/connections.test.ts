import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { test, type TestContext } from 'node:test'
import { createConnections } from './connections.ts'

async function startServer(context: TestContext): Promise<string> {
  const server = createServer((_, answer) => answer.end('here')).listen(0, '127.0.0.1')
  await once(server, 'listening')
  context.after(() => server.close())
  const address = server.address()
  assert.ok(typeof address === 'object' && address !== null)
  return `http://127.0.0.1:${address.port}`
}

test('requests that are first at the same time share one pool, which ends with all of them', async (context) => {
  const origin = await startServer(context)
  const connections = createConnections({})
  const asked = [1, 2].map(() => connections.request({ origin, path: '/', method: 'GET' }))
  const texts = (await Promise.all(asked)).map(({ body }) => body.text())
  assert.deepEqual(await Promise.all(texts), ['here', 'here'])
  await connections.destroy()
  await assert.rejects(connections.request({ origin, path: '/', method: 'GET' }), /closed/)
})

test('what nobody has asked for is closed like anything else', async () => {
  const connections = createConnections({})
  await connections.destroy()
  const request = { origin: 'http://127.0.0.1:1', path: '/', method: 'GET' } as const
  await assert.rejects(connections.request(request), /closed/)
})
