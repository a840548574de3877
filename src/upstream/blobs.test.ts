import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { digestOf } from '../oci/digest.ts'
import { createTestClient, startScriptedServer, type Reply, type Script } from './testing/scripted-server.ts'
import { UpstreamError, type RegistryClient } from './types.ts'
import { createUpstreams } from './upstreams.ts'
import { UPSTREAM_DEFAULTS } from './config.ts'

const repository = { registry: 'test', name: 'team/app' }
const content = Buffer.from('0123456789')
const digest = digestOf(content)
const never = new AbortController().signal

function hasCode(code: string) {
  return (error: unknown) => error instanceof UpstreamError && error.code === code
}

async function using<T>(script: Script | Reply, use: (client: RegistryClient) => Promise<T>): Promise<T> {
  await using server = await startScriptedServer(typeof script === 'function' ? script : () => script)
  await using client = createTestClient(server.url)
  return await use(client)
}

describe('getBlob', () => {
  const read = (script: Script | Reply, offset = 0) =>
    using(script, async (client) => {
      const { body, ...rest } = await client.getBlob(repository, digest, offset, never)
      return { ...rest, text: Buffer.concat(await body.toArray()).toString() }
    })

  test('a whole blob', async () => {
    assert.deepEqual(await read({ body: content }), { size: 10, offset: 0, text: '0123456789' })
  })

  test('from an offset', async () => {
    const script: Script = ({ headers }) => {
      assert.equal(headers.range, 'bytes=4-')
      return { status: 206, headers: { 'content-range': 'bytes 4-9/10' }, body: content.subarray(4) }
    }
    assert.deepEqual(await read(script, 4), { size: 10, offset: 4, text: '456789' })
  })

  test('an upstream that ignores the range says so by the offset', async () => {
    assert.deepEqual(await read({ body: content }, 4), { size: 10, offset: 0, text: '0123456789' })
  })

  test('bytes are not unpacked, whatever their encoding is called', async () => {
    const reply = { headers: { 'content-encoding': 'gzip' }, body: content }
    assert.equal((await read(reply)).text, '0123456789')
  })

  const invalid: [string, Reply][] = [
    ['another range', { status: 206, headers: { 'content-range': 'bytes 0-9/10' }, body: content }],
    ['a range without its place', { status: 206, body: content }],
    ['a range that cannot be', { status: 416 }],
  ]
  for (const [name, reply] of invalid) {
    test(`refuses ${name}`, () => assert.rejects(read(reply, 4), hasCode('invalid')))
  }

  test('refuses a part where the whole was asked for', async () => {
    const reply = { status: 206, headers: { 'content-range': 'bytes 0-3/10' }, body: content.subarray(0, 4) }
    await assert.rejects(read(reply), hasCode('invalid'))
  })

  test('404 is an answer', () => assert.rejects(read({ status: 404 }), hasCode('not-found')))

  test('a truncated body fails in the hands of its reader', async () => {
    const script: Script = () => (response) => {
      response.writeHead(200, { 'content-length': 10 })
      response.write('0123', () => response.destroy())
    }
    await assert.rejects(read(script))
  })
})

describe('headBlob', () => {
  const head = (script: Script | Reply) =>
    using(script, (client) => client.headBlob(repository, digest, never))

  test('asks with HEAD', async () => assert.deepEqual(await head({ body: content }), { size: 10 }))

  test('asks with GET where HEAD is not allowed', async () => {
    const script: Script = ({ method, headers }) =>
      method === 'HEAD'
        ? { status: 405 }
        : { status: 206, headers: { 'content-range': 'bytes 0-0/10' }, body: String(headers.range)[0] ?? '' }
    assert.deepEqual(await head(script), { size: 10 })
  })

  test('404 is an answer', () => assert.rejects(head({ status: 404 }), hasCode('not-found')))
  test('403 is not asked again', () => assert.rejects(head({ status: 403 }), hasCode('forbidden')))
})

describe('locateBlob', () => {
  const locate = (script: Script | Reply) =>
    using(script, (client) => client.locateBlob(repository, digest, never))
  const to = (location: string) => ({ status: 307, headers: { location } })

  test('the place upstream redirects to', async () => {
    assert.equal(await locate(to('https://cdn.example/a?b')), 'https://cdn.example/a?b')
  })
  test('none where upstream serves the blob', async () =>
    assert.equal(await locate({ body: content }), undefined))
  test('none where the place is upstream itself', async () => assert.equal(await locate(to('/x')), undefined))
  test('refuses a place without TLS', () =>
    assert.rejects(locate(to('http://cdn.example/')), hasCode('invalid')))
  test('404 is an answer', () => assert.rejects(locate({ status: 404 }), hasCode('not-found')))
})

describe('createUpstreams', () => {
  const deps = {
    now: () => 0,
    random: () => 0,
    sleep: () => Promise.resolve(),
    credentials: { get: () => Promise.resolve(undefined) },
    turn: () => Promise.resolve(),
  }
  const config = { ...UPSTREAM_DEFAULTS, registry: 'a.example', url: 'https://a.example' }

  test('knows exactly the namespaces that were configured', async () => {
    const upstreams = createUpstreams([config], () => deps)
    assert.notEqual(upstreams.client('a.example'), undefined)
    assert.equal(upstreams.client('b.example'), undefined)
    await upstreams.close()
  })

  test('one namespace has one upstream', () => {
    assert.throws(() => createUpstreams([config, config], () => deps), TypeError)
  })
})
