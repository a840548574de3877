import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { digestOf, type Digest } from '../oci/digest.ts'
import { MANIFEST_BYTES_MAX } from '../oci/manifest-types.ts'
import { parseTag, type ManifestReference } from '../oci/reference.ts'
import { createTestClient, startScriptedServer, type Reply, type Script } from './testing/scripted-server.ts'
import { UpstreamError, type UpstreamErrorCode } from './types.ts'

const repository = { registry: 'test', name: 'team/app' }
const bytes = Buffer.from('{"schemaVersion":2}')
const type = 'application/vnd.oci.image.manifest.v1+json'
const latest: ManifestReference = { kind: 'tag', tag: parseTag('latest')! }
const byDigest = (digest: Digest): ManifestReference => ({ kind: 'digest', digest })
const never = new AbortController().signal

function good(headers: Record<string, string> = {}): Reply {
  return { headers: { 'content-type': type, ...headers }, body: bytes }
}

async function get(reply: Reply | Script, reference: ManifestReference = latest) {
  await using server = await startScriptedServer(typeof reply === 'function' ? reply : () => reply)
  await using client = createTestClient(server.url)
  const manifest = await client.getManifest(repository, reference, never)
  return { manifest, seen: server.seen }
}

function fails(code: UpstreamErrorCode) {
  return (error: unknown) => error instanceof UpstreamError && error.code === code
}

describe('getManifest', () => {
  test('gives the bytes as they came, and the digest of the bytes', async () => {
    const { manifest, seen } = await get(good())
    assert.deepEqual(manifest, { digest: digestOf(bytes), contentType: type, bytes })
    assert.equal(seen[0]?.target, '/v2/team/app/manifests/latest')
    assert.equal(seen[0]?.headers['accept-encoding'], 'identity')
    assert.match(String(seen[0]?.headers['user-agent']), /^portcullis\//)
    assert.match(String(seen[0]?.headers.accept), /vnd\.oci\.image\.index\.v1\+json, /)
  })

  for (const algorithm of ['sha256', 'sha384', 'sha512'] as const) {
    test(`checks ${algorithm} digests`, async () => {
      const { manifest } = await get(good(), byDigest(digestOf(bytes, algorithm)))
      assert.equal(manifest.digest, digestOf(bytes, algorithm))
      const other = byDigest(digestOf(Buffer.from('other'), algorithm))
      await assert.rejects(get(good(), other), fails('invalid'))
    })
  }

  const other = digestOf(Buffer.from('other'))
  const invalid: Record<string, Reply | Script> = {
    'a Docker-Content-Digest of other bytes': good({ 'docker-content-digest': other }),
    'a gzip-encoded manifest': {
      headers: { 'content-type': type, 'content-encoding': 'gzip' },
      body: gzipSync(bytes),
    },
    'a Content-Length over the limit': () => (response) => {
      response.writeHead(200, { 'content-length': MANIFEST_BYTES_MAX + 1 })
      response.write('{')
    },
    'a chunked body over the limit': () => (response) => {
      const piece = Buffer.alloc(256 * 1024)
      const more = () => {
        while (!response.destroyed && response.write(piece)) continue
      }
      response.on('drain', more)
      more()
    },
    'a partial answer': { ...good(), status: 206 },
    'an answer that is not HTTP': () => (response) => void response.socket?.end('SSH-2.0-x\r\n\r\n'),
  }
  for (const [name, reply] of Object.entries(invalid)) {
    test(`refuses ${name}`, () => assert.rejects(get(reply), fails('invalid')))
  }

  test('checks a claim in another algorithm than the one asked for', async () => {
    const asked = byDigest(digestOf(bytes, 'sha512'))
    await get(good({ 'docker-content-digest': digestOf(bytes) }), asked)
    await assert.rejects(get(good({ 'docker-content-digest': other }), asked), fails('invalid'))
  })

  test('a body that ends early is no manifest', async () => {
    const truncated: Script = () => (response) => {
      response.writeHead(200, { 'content-type': type, 'content-length': bytes.length })
      response.write(bytes.subarray(0, 5), () => response.destroy())
    }
    await assert.rejects(get(truncated), fails('unavailable'))
  })

  test('repositories of an upstream with a path are under that path', async () => {
    await using server = await startScriptedServer(() => good())
    await using client = createTestClient(`${server.url}/hub/`)
    await client.getManifest(repository, latest, never)
    assert.equal(server.seen[0]?.target, '/v2/hub/team/app/manifests/latest')
  })

  const statuses: [number, UpstreamErrorCode][] = [
    [400, 'invalid'],
    [401, 'unauthorized'],
    [403, 'forbidden'],
    [404, 'not-found'],
    [429, 'rate-limited'],
    [500, 'unavailable'],
    [503, 'unavailable'],
  ]
  for (const [status, code] of statuses) {
    test(`${status} is ${code}`, () => assert.rejects(get({ status }), fails(code)))
  }

  test('keeps the start of an error body, in one printable line and without our token, apart from the message', async () => {
    const body = `{"errors":[{"message":"no\r\n\u001b[31mimage c2VjcmV0"}]}${'x'.repeat(200_000)}`
    await using server = await startScriptedServer(({ headers }) =>
      headers.authorization === undefined
        ? { status: 401, headers: { 'www-authenticate': 'Basic realm="r"' } }
        : { status: 403, body: `${body} ${String(headers.authorization)}` },
    )
    const credential = { kind: 'basic', username: 'user', password: 'c2VjcmV0' } as const
    await using client = createTestClient(server.url, {
      deps: { credentials: { get: () => Promise.resolve(credential) } },
    })
    await assert.rejects(client.getManifest(repository, latest, never), (error: unknown) => {
      assert(error instanceof UpstreamError)
      assert.match(error.message, /answered 403$/)
      assert.match(error.detail ?? '', /^\{"errors":\[\{"message":"no \[31mimage \*\*\*/)
      assert((error.detail ?? '').length <= 200)
      return true
    })
  })
})

describe('headTag', () => {
  const digest = digestOf(bytes)
  const head = async (script: Script, reference: ManifestReference = latest) => {
    await using server = await startScriptedServer(script)
    await using client = createTestClient(server.url)
    const found = await client.headTag(repository, reference, never)
    return { found, methods: server.seen.map((one) => one.method) }
  }

  test('asks with HEAD only', async () => {
    const answer = await head(() => good({ 'docker-content-digest': digest }))
    assert.deepEqual(answer, { found: digest, methods: ['HEAD'] })
  })

  test('gets and hashes the manifest where HEAD tells no digest', async () => {
    assert.deepEqual(await head(() => good()), { found: digest, methods: ['HEAD', 'GET'] })
  })

  test('gets and hashes the manifest where HEAD is not allowed', async () => {
    const answer = await head(({ method }) => (method === 'HEAD' ? { status: 405 } : good()))
    assert.deepEqual(answer, { found: digest, methods: ['HEAD', 'GET'] })
  })

  test('404 is an answer', () =>
    assert.rejects(
      head(() => ({ status: 404 })),
      fails('not-found'),
    ))

  test('a digest does not become another one', async () => {
    const script = () => good({ 'docker-content-digest': digestOf(Buffer.from('other')) })
    await assert.rejects(head(script, byDigest(digest)), fails('invalid'))
  })
})
