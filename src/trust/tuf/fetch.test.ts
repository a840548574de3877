import assert from 'node:assert/strict'
import { createServer, type RequestListener } from 'node:http'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { Agent } from 'undici'
import { createTufFetch, type FetchBytes, type TufFetchScheme } from './fetch.ts'

const never = (): AbortSignal => new AbortController().signal

async function start(
  listener: RequestListener,
  schemes: readonly TufFetchScheme[] = ['http:'],
): Promise<AsyncDisposable & { readonly url: string; readonly fetch: FetchBytes }> {
  const dispatcher = new Agent()
  const server = createServer(listener)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  return {
    url: `http://127.0.0.1:${port}/a%20b`,
    fetch: createTufFetch({ dispatcher, schemes }),
    async [Symbol.asyncDispose]() {
      await dispatcher.destroy()
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

suite('createTufFetch', () => {
  test('gives status and bytes, at most as many as asked for', async () => {
    await using remote = await start((request, response) => response.end(request.url))
    const options = { bytesMax: 7, signal: never() }
    const { status, bytes } = await remote.fetch(remote.url, options)
    assert.deepEqual([status, bytes.toString()], [200, '/a%20b'])
    await assert.rejects(remote.fetch(remote.url, { ...options, bytesMax: 5 }), {
      code: 'refused',
      message: /\/a%20b has more than 5 bytes$/,
    })
  })

  test('a body without length is cut off at the limit', async () => {
    await using remote = await start((_request, response) => {
      response.write('123')
      response.write('456')
    })
    await assert.rejects(remote.fetch(remote.url, { bytesMax: 5, signal: never() }), { code: 'refused' })
  })

  for (const status of [204, 301, 302, 403, 404, 429, 500, 503]) {
    test(`${status} is an answer without bytes, and no redirect is followed`, async () => {
      await using remote = await start((_request, response) => {
        response.writeHead(status, { location: 'http://127.0.0.1:1/' }).end(status === 204 ? '' : 'text')
      })
      const answer = await remote.fetch(remote.url, { bytesMax: 100, signal: never() })
      assert.deepEqual(answer, { status, bytes: Buffer.alloc(0) })
    })
  }

  test('ends with the signal', async () => {
    const controller = new AbortController()
    await using remote = await start(() => controller.abort())
    await assert.rejects(remote.fetch(remote.url, { bytesMax: 5, signal: controller.signal }), {
      name: 'AbortError',
    })
  })

  test('only the schemes that were allowed', async () => {
    await using remote = await start((_request, response) => response.end(), ['https:'])
    for (const url of [remote.url, 'file:///etc/hostname', 'data:,x']) {
      await assert.rejects(remote.fetch(url, { bytesMax: 5, signal: never() }), {
        code: 'refused',
        message: /is not allowed here/,
      })
    }
  })

  test('a directory, where that is allowed', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'tuf-fetch-'))
    try {
      await using remote = await start((_request, response) => response.end(), ['file:'])
      await writeFile(join(directory, 'root.json'), '{}')
      const base = pathToFileURL(directory).href
      const options = { bytesMax: 2, signal: never() }
      const found = await remote.fetch(`${base}/root.json`, options)
      assert.deepEqual([found.status, found.bytes.toString()], [200, '{}'])
      assert.equal((await remote.fetch(`${base}/other.json`, options)).status, 404)
      await assert.rejects(remote.fetch(`${base}/root.json`, { ...options, bytesMax: 1 }), {
        code: 'refused',
      })
    } finally {
      await rm(directory, { recursive: true })
    }
  })
})
