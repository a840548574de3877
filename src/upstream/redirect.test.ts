import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { digestOf } from '../oci/digest.ts'
import { createAddressGuard } from './address-guard.ts'
import { redirectTarget, type RedirectRules } from './redirect.ts'
import { createTestClient, startScriptedServer, type Reply } from './testing/scripted-server.ts'
import { UpstreamError } from './types.ts'

const repository = { registry: 'test', name: 'team/app' }
const digest = digestOf(Buffer.from('blob'))
const never = new AbortController().signal

function isInvalid(error: unknown): boolean {
  return error instanceof UpstreamError && error.code === 'invalid'
}

function to(location: string): Reply {
  return { status: 307, headers: { location } }
}

describe('redirectTarget', () => {
  const rules: RedirectRules = {
    upstream: new URL('https://registry.example'),
    plainHosts: [],
    allows: createAddressGuard(false),
  }
  const plain = { ...rules, upstream: new URL('http://registry.example:5000'), plainHosts: ['cdn.example'] }
  const from = new URL('https://registry.example/v2/a/blobs/b')

  const allowed: [string, RedirectRules, string][] = [
    ['another host over TLS', rules, 'https://cdn.example/a?sig=b'],
    ['a public address', rules, 'https://93.184.216.34/a'],
    ['the same host over plain text, from plain text', plain, 'http://registry.example:5001/a'],
    ['a host named for plain text', plain, 'http://cdn.example/a'],
  ]
  for (const [name, which, location] of allowed) {
    test(`allows ${name}`, () => assert.equal(redirectTarget(from, location, which).href, location))
  }

  const refused: [string, RedirectRules, unknown][] = [
    ['plain text', rules, 'http://registry.example/a'],
    ['plain text to a host that nobody named', plain, 'http://other.example/a'],
    ['another scheme', rules, 'file:///etc/passwd'],
    ['credentials in the URL', rules, 'https://a:b@cdn.example/'],
    ['no Location', rules, undefined],
    ['an overlong Location', rules, `https://cdn.example/${'a'.repeat(9_000)}`],
    ['the metadata address', rules, 'https://169.254.169.254/latest/meta-data'],
    ['the metadata address in hexadecimal', rules, 'https://0xa9fea9fe/'],
    ['loopback', rules, 'https://127.1/'],
    ['loopback over IPv6', rules, 'https://[::1]/'],
    ['IPv4 mapped into IPv6', rules, 'https://[::ffff:10.0.0.1]/'],
  ]
  for (const [name, which, location] of refused) {
    test(`refuses ${name}`, () => assert.throws(() => redirectTarget(from, location, which), isInvalid))
  }

  test('a relative Location stays where it is', () => {
    assert.equal(redirectTarget(from, '../x', rules).href, 'https://registry.example/v2/a/x')
  })
})

describe('following', () => {
  const credentials = {
    get: () => Promise.resolve({ kind: 'basic', username: 'u', password: 'p' } as const),
  }

  test('drops Authorization on another port, and keeps it dropped on the way back', async () => {
    await using origin = await startScriptedServer(({ target, headers }) => {
      if (target === '/back') return { body: 'blob' }
      if (headers.authorization !== undefined) return to(`${other.url}/away`)
      return { status: 401, headers: { 'www-authenticate': 'Basic realm="r"' } }
    })
    await using other = await startScriptedServer(() => to(`${origin.url}/back`))
    await using client = createTestClient(origin.url, { deps: { credentials } })
    const blob = await client.getBlob(repository, digest, 0, never)
    assert.deepEqual(await blob.body.toArray(), [Buffer.from('blob')])
    assert.equal(other.seen[0]?.headers.authorization, undefined)
    assert.equal(origin.seen.find(({ target }) => target === '/back')?.headers.authorization, undefined)
  })

  test('keeps the range, and Authorization on the same host', async () => {
    await using server = await startScriptedServer(({ target, headers }) => {
      if (target !== '/same' && headers.authorization !== undefined) return to('/same')
      if (headers.authorization !== undefined) {
        return { status: 206, headers: { 'content-range': 'bytes 2-3/4' }, body: 'ob' }
      }
      return { status: 401, headers: { 'www-authenticate': 'Basic realm="r"' } }
    })
    await using client = createTestClient(server.url, { deps: { credentials } })
    const blob = await client.getBlob(repository, digest, 2, never)
    blob.body.destroy()
    assert.deepEqual([blob.offset, blob.size], [2, 4])
    assert.equal(server.seen.at(-1)?.headers.range, 'bytes=2-')
  })

  test('at most five', async () => {
    await using server = await startScriptedServer(() => to('/again'))
    await using client = createTestClient(server.url)
    await assert.rejects(client.getBlob(repository, digest, 0, never), isInvalid)
    assert.equal(server.seen.length, 6)
  })

  test('never to a metadata service, even where private addresses are allowed', async () => {
    await using server = await startScriptedServer(() => to('https://169.254.169.254/latest'))
    await using client = createTestClient(server.url)
    await assert.rejects(client.getBlob(repository, digest, 0, never), isInvalid)
  })

  test('the dialled address counts, whatever name resolves to it', async () => {
    await using server = await startScriptedServer(() => to('https://rebound.example/x'))
    const resolve = () => Promise.resolve([{ address: '169.254.169.254', family: 4 }])
    await using client = createTestClient(server.url, { deps: { resolve } })
    await assert.rejects(client.getBlob(repository, digest, 0, never), isInvalid)
  })
})

describe('an upstream on a private address', () => {
  for (const url of ['http://127.0.0.1:9', 'http://localhost:9', 'http://[::1]:9']) {
    test(`${url} is not dialled unless that is allowed`, async () => {
      const config = { allowPrivateAddresses: false, retries: 0 }
      const resolve = () => Promise.resolve([{ address: '127.0.0.1', family: 4 }])
      await using client = createTestClient(url, { config, deps: { resolve } })
      await assert.rejects(client.headBlob(repository, digest, never), isInvalid)
    })
  }
})
