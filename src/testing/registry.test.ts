import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { digestOf } from '../oci/digest.ts'
import { MEDIA_TYPE } from '../oci/manifest-types.ts'
import { startRegistry, type Fault, type RegistryOptions, type TestRegistry } from './registry.ts'

const BYTES = Buffer.from('0123456789')
const MANIFEST = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociManifest, config: {}, layers: [] }

async function withRegistry(
  options: RegistryOptions,
  use: (registry: TestRegistry) => Promise<void>,
): Promise<void> {
  await using registry = await startRegistry(options)
  await use(registry)
}

describe('pull', () => {
  let registry: TestRegistry
  before(async () => {
    registry = await startRegistry({ pageSize: 2 })
  })
  after(() => registry.stop())
  const get = (path: string, init?: RequestInit) => fetch(`${registry.url}${path}`, init)

  test('manifests by tag and digest, GET and HEAD', async () => {
    const digest = registry.putManifest('a/b', 'v1', MANIFEST)
    for (const reference of ['v1', digest]) {
      for (const method of ['GET', 'HEAD']) {
        const response = await get(`/v2/a/b/manifests/${reference}`, { method })
        assert.equal(response.status, 200)
        assert.equal(response.headers.get('docker-content-digest'), digest)
        assert.equal(response.headers.get('content-type'), MEDIA_TYPE.ociManifest)
        assert.equal(response.headers.get('content-length'), String(JSON.stringify(MANIFEST).length))
        assert.equal(await response.text(), method === 'GET' ? JSON.stringify(MANIFEST) : '')
      }
    }
    registry.untag('a/b', 'v1')
    assert.equal((await get('/v2/a/b/manifests/v1')).status, 404)
    assert.equal((await get(`/v2/a/b/manifests/${digest}`)).status, 200)
    assert.equal((await get(`/v2/other/manifests/${digest}`)).status, 404)
  })
  test('blobs and ranges', async () => {
    const digest = registry.putBlob(BYTES)
    const cases: [string, string | undefined, number, string, string | null][] = [
      ['whole', undefined, 200, '0123456789', null],
      ['from an offset', 'bytes=4-', 206, '456789', 'bytes 4-9/10'],
      ['a slice', 'bytes=2-3', 206, '23', 'bytes 2-3/10'],
      ['past the end', 'bytes=10-', 416, '', 'bytes */10'],
      ['many ranges', 'bytes=0-1,3-4', 200, '0123456789', null],
    ]
    for (const [name, range, status, body, contentRange] of cases) {
      const response = await get(`/v2/a/b/blobs/${digest}`, {
        headers: range === undefined ? {} : { range },
      })
      assert.equal(response.status, status, name)
      assert.equal(await response.text(), body, name)
      assert.equal(response.headers.get('content-range'), contentRange, name)
    }
    const own = registry.putBlob(Buffer.from('own'), 'a/b')
    assert.equal((await get(`/v2/a/b/blobs/${own}`)).status, 200)
    assert.equal((await get(`/v2/c/blobs/${own}`)).status, 404)
  })
  test('tags in pages', async () => {
    const digest = registry.putManifest('tags', undefined, MANIFEST)
    for (const tag of ['c', 'a', 'b']) registry.tag('tags', tag, digest)
    const first = await get('/v2/tags/tags/list')
    assert.deepEqual(await first.json(), { name: 'tags', tags: ['a', 'b'] })
    assert.equal(first.headers.get('link'), '</v2/tags/tags/list?n=2&last=b>; rel="next"')
    const second = await get('/v2/tags/tags/list?n=2&last=b')
    assert.deepEqual(await second.json(), { name: 'tags', tags: ['c'] })
    assert.equal(second.headers.get('link'), null)
    assert.equal((await get('/v2/unknown/tags/list')).status, 404)
  })
  test('referrers, filtered, in pages, and switched off', async () => {
    const subject = { mediaType: MEDIA_TYPE.ociManifest, digest: digestOf(BYTES), size: 10 }
    for (const [nth, artifactType] of ['x/1', 'x/2', 'x/1', 'x/1'].entries()) {
      registry.putManifest('r', undefined, { ...MANIFEST, artifactType, subject, nth })
    }
    const page = async (url: string) => {
      const response = await get(url)
      const index: { manifests: { artifactType: string }[] } = JSON.parse(await response.text())
      return { types: index.manifests.map((one) => one.artifactType), headers: response.headers }
    }
    const all = await page(`/v2/r/referrers/${subject.digest}`)
    assert.deepEqual(all.types, ['x/1', 'x/2'])
    assert.equal(all.headers.get('content-type'), MEDIA_TYPE.ociIndex)
    const filtered = await page(`/v2/r/referrers/${subject.digest}?artifactType=x%2F1`)
    assert.equal(filtered.headers.get('oci-filters-applied'), 'artifactType')
    const next = /<(.*)>/.exec(filtered.headers.get('link') ?? '')?.[1]
    assert.deepEqual((await page(next ?? '')).types, ['x/1'])
    assert.deepEqual((await page(`/v2/r/referrers/${digestOf(Buffer.from('none'))}`)).types, [])
    registry.setReferrersApi(false)
    assert.equal((await get(`/v2/r/referrers/${subject.digest}`)).status, 404)
    registry.setReferrersApi(true)
  })
})

describe('push', () => {
  const cases: [
    string,
    (send: (path: string, init: RequestInit) => Promise<Response>) => Promise<Response>,
  ][] = [
    [
      'monolithic POST',
      (send) => send(`/v2/p/blobs/uploads/?digest=${digestOf(BYTES)}`, { method: 'POST', body: BYTES }),
    ],
    [
      'POST, PUT',
      async (send) => {
        const start = await send('/v2/p/blobs/uploads/', { method: 'POST' })
        const location = start.headers.get('location') ?? ''
        return send(`${location}?digest=${digestOf(BYTES)}`, { method: 'PUT', body: BYTES })
      },
    ],
    [
      'mount not possible, then PATCH twice, PUT',
      async (send) => {
        const start = await send(`/v2/p/blobs/uploads/?mount=${digestOf(BYTES)}&from=q`, { method: 'POST' })
        assert.equal(start.status, 202)
        const location = start.headers.get('location') ?? ''
        await send(location, { method: 'PATCH', body: BYTES.subarray(0, 4) })
        const part = await send(location, { method: 'PATCH', body: BYTES.subarray(4) })
        assert.equal(part.headers.get('range'), '0-9')
        return send(`${location}?digest=${digestOf(BYTES)}`, { method: 'PUT' })
      },
    ],
  ]
  for (const [name, push] of cases) {
    test(name, () =>
      withRegistry({}, async (registry) => {
        const response = await push((path, init) => fetch(`${registry.url}${path}`, init))
        assert.equal(response.status, 201)
        assert.deepEqual(registry.blob('p', digestOf(BYTES)), BYTES)
      }),
    )
  }
  test('a manifest with a subject, with and without the API', () =>
    withRegistry({}, async (registry) => {
      const subject = { mediaType: MEDIA_TYPE.ociManifest, digest: digestOf(BYTES), size: 10 }
      const put = (reference: string) =>
        fetch(`${registry.url}/v2/p/manifests/${reference}`, {
          method: 'PUT',
          headers: { 'content-type': MEDIA_TYPE.ociManifest },
          body: JSON.stringify({ ...MANIFEST, subject }),
        })
      assert.equal((await put('v1')).headers.get('oci-subject'), subject.digest)
      registry.setReferrersApi(false)
      assert.equal((await put('v1')).headers.get('oci-subject'), null)
      assert.equal((await put(digestOf(BYTES))).status, 400)
      assert.equal(registry.referrers('p', subject.digest).length, 1)
    }))
})

describe('authentication', () => {
  const bearer = { scheme: 'bearer', username: 'u', password: 'p' } as const
  const basic = `Basic ${Buffer.from('u:p').toString('base64')}`
  test('basic', () =>
    withRegistry({ auth: { ...bearer, scheme: 'basic' } }, async ({ url }) => {
      const refused = await fetch(`${url}/v2/`)
      assert.equal(refused.status, 401)
      assert.match(refused.headers.get('www-authenticate') ?? '', /^Basic /)
      assert.equal((await fetch(`${url}/v2/`, { headers: { authorization: basic } })).status, 200)
    }))
  test('bearer: challenge, token for the scope, expiry', () => {
    const clock = { ms: 0 }
    return withRegistry({ auth: bearer, now: () => clock.ms }, async (registry) => {
      registry.putManifest('a', 'v1', MANIFEST)
      const resource = `${registry.url}/v2/a/manifests/v1`
      const challenge = (await fetch(resource)).headers.get('www-authenticate') ?? ''
      assert.match(challenge, /scope="repository:a:pull"/)
      const realm = /realm="([^"]+)"/.exec(challenge)?.[1] ?? ''
      assert.equal((await fetch(`${realm}?scope=repository:a:pull`)).status, 401)
      const tokenFor = async (scope: string) => {
        const response = await fetch(`${realm}?scope=${scope}`, { headers: { authorization: basic } })
        const { token }: { token: string } = JSON.parse(await response.text())
        return { authorization: `Bearer ${token}` }
      }
      const other = await tokenFor('repository:b:pull')
      assert.equal((await fetch(resource, { headers: other })).status, 401)
      const headers = await tokenFor('repository:a:pull,push')
      assert.equal((await fetch(resource, { headers })).status, 200)
      clock.ms = 301_000
      assert.equal((await fetch(resource, { headers })).status, 401)
    })
  })
})

describe('faults', () => {
  const read = async (registry: TestRegistry, signal?: AbortSignal) => {
    const url = `${registry.url}/v2/a/blobs/${digestOf(BYTES)}`
    const response = await fetch(url, signal === undefined ? {} : { signal })
    return `${response.status} ${await response.text()}`
  }
  const cases: [string, Fault, RegExp | 'rejects'][] = [
    ['an answer of its own', { status: 503, headers: { 'retry-after': '1' }, body: 'no' }, /^503 no$/],
    ['reset', 'reset', 'rejects'],
    ['truncate', 'truncate', 'rejects'],
    ['corrupt', 'corrupt', /^200 01234[^5]6789$/],
  ]
  for (const [name, fault, expected] of cases) {
    test(name, () =>
      withRegistry({}, async (registry) => {
        registry.putBlob(BYTES)
        registry.behave(() => fault)
        if (expected === 'rejects') await assert.rejects(read(registry))
        else assert.match(await read(registry), expected)
        registry.behave(undefined)
        assert.equal(await read(registry), '200 0123456789')
      }),
    )
  }
  test('hang, until the client gives up; stop ends it too', () =>
    withRegistry({}, async (registry) => {
      const abort = new AbortController()
      registry.behave(() => {
        abort.abort()
        return 'hang'
      })
      await assert.rejects(read(registry, abort.signal))
      const { promise: arrived, resolve } = Promise.withResolvers<undefined>()
      registry.behave(() => {
        resolve(undefined)
        return 'hang'
      })
      const waiting = assert.rejects(read(registry))
      await arrived
      await registry.stop()
      await waiting
      await registry.restart()
    }))
  test('stopped and restarted on the same port with the same content', () =>
    withRegistry({}, async (registry) => {
      registry.putBlob(BYTES)
      await registry.stop()
      await assert.rejects(read(registry))
      await registry.restart()
      assert.equal(await read(registry), '200 0123456789')
      assert.equal(registry.requests.length, 1)
    }))
})
