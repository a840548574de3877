import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { errorOf, requestTo, stableHeaders, type Reply } from './http.ts'
import { publish, publishSigned, startHarness, uniqueImage, uniqueIndex, type Harness } from './harness.ts'
import { digestOf } from '../../src/oci/digest.ts'
import { MEDIA_TYPE } from '../../src/oci/manifest-types.ts'

/** The pull half of the distribution-spec as clients rely on it, each row for GET and for HEAD. */

let harness: Harness
let image: ReturnType<typeof uniqueImage>
let index: ReturnType<typeof uniqueIndex>

before(async () => {
  harness = await startHarness()
  image = uniqueImage('contract')
  index = uniqueIndex('contract')
  await publishSigned(harness, { repository: 'enforced/app', image })
  await publishSigned(harness, { repository: 'enforced/multi', image: index })
  publish(harness, { repository: 'enforced/unsigned', image: uniqueImage('unsigned') })
  publish(harness, { repository: 'observed/unsigned', image: uniqueImage('observed') })
  publish(harness, { repository: 'free/app', image: uniqueImage('free') })
  // What is named by a manifest that was let through may leave.
  assert.equal((await harness.get('/v2/enforced/app/manifests/v1')).status, 200)
})

after(async () => await harness[Symbol.asyncDispose]())

/** Asks both ways and asserts that the heads agree. */
async function both(target: string, headers: Record<string, string> = {}): Promise<Reply> {
  const get = await harness.get(target, headers)
  const head = await harness.head(target, headers)
  assert.equal(head.status, get.status, `HEAD and GET of ${target}`)
  assert.equal(head.reasonPhrase, get.reasonPhrase)
  assert.deepEqual(stableHeaders(head), stableHeaders(get))
  assert.equal(head.body.length, 0)
  assert.equal(get.headers['content-length'], String(get.body.length))
  return get
}

for (const target of ['/v2/', '/v2', '/v2/?ns=hub', '/hub/v2/']) {
  test(`ping: ${target}`, async () => {
    const reply = await both(target)
    assert.equal(reply.status, 200)
    assert.equal(reply.body.toString(), '{}')
    assert.equal(reply.headers['docker-distribution-api-version'], 'registry/2.0')
  })
}

for (const by of ['tag', 'digest'] as const) {
  for (const what of ['image', 'index'] as const) {
    test(`manifest let through: ${what} by ${by}`, async () => {
      const published = what === 'image' ? image : index
      const repository = what === 'image' ? 'enforced/app' : 'enforced/multi'
      const reply = await both(`/v2/${repository}/manifests/${by === 'tag' ? 'v1' : published.digest}`)
      assert.equal(reply.status, 200)
      assert.deepEqual(reply.body, published.manifest)
      assert.equal(reply.headers['content-type'], published.mediaType)
      assert.equal(reply.headers['docker-content-digest'], published.digest)
      assert.equal(reply.headers['etag'], `"${published.digest}"`)
      assert.equal(reply.headers['vary'], undefined)
      assert.equal(reply.headers['warning'], undefined)
      assert.equal(reply.headers['oci-namespace'], undefined)
      if (by === 'digest') assert.match(reply.headers['cache-control'] ?? '', /^private, max-age=\d+$/)
    })
  }
}

test('manifest let through: the namespace that was asked for is echoed', async () => {
  const reply = await both('/v2/enforced/app/manifests/v1?ns=hub')
  assert.equal(reply.headers['oci-namespace'], 'hub')
})

test('manifest refused: 403 DENIED, one sentence in body and status line', async () => {
  const reply = await both('/v2/enforced/unsigned/manifests/v1')
  const { code, message } = errorOf(reply)
  assert.equal(reply.status, 403)
  assert.equal(code, 'DENIED')
  assert.match(
    message,
    /^blocked by policy signed: no signature at all, expected .*; https:\/\/runbooks\.example\/image; decision [0-9a-f]{12}$/,
  )
  assert.match(reply.reasonPhrase, /^blocked by policy signed: no signature at all, .*decision [0-9a-f]{12}$/)
  assert.ok(reply.reasonPhrase.length <= 500)
  assert.ok(message.endsWith(`decision ${reply.headers['x-portcullis-decision-id']}`))
  assert.equal(reply.headers['cache-control'], 'no-store')
  assert.equal(reply.headers['www-authenticate'], undefined)
})

test('manifest refused: by digest as by tag', async () => {
  const byTag = await both('/v2/enforced/unsigned/manifests/v1')
  const byDigest = await both(`/v2/enforced/unsigned/manifests/${uniqueImage('unsigned').digest}`)
  assert.equal(byDigest.status, 403)
  assert.deepEqual(byDigest.body, byTag.body)
})

test('manifest in observe mode: served with one warning', async () => {
  const reply = await both('/v2/observed/unsigned/manifests/v1')
  assert.equal(reply.status, 200)
  assert.deepEqual(reply.body, uniqueImage('observed').manifest)
  assert.match(
    reply.headers['warning'] ?? '',
    /^299 - "would be blocked by policy watched: [^"\\]*decision [0-9a-f]{12}"$/,
  )
})

test('manifest without a policy: served with a warning', async () => {
  const reply = await both('/v2/free/app/manifests/v1')
  assert.equal(reply.status, 200)
  assert.match(
    reply.headers['warning'] ?? '',
    /^299 - "would be blocked by policy unmatched: no policy matches this image/,
  )
})

for (const [name, target, code] of [
  ['unknown tag', '/v2/enforced/app/manifests/none', 'MANIFEST_UNKNOWN'],
  ['unknown digest', `/v2/enforced/app/manifests/${digestOf(Buffer.from('none'))}`, 'MANIFEST_UNKNOWN'],
  ['unknown repository', '/v2/enforced/none/manifests/v1', 'MANIFEST_UNKNOWN'],
  ['unknown ns', '/v2/enforced/app/manifests/v1?ns=registry.example', 'NAME_UNKNOWN'],
  ['unknown registry in the path', '/v2/registry.example/enforced/app/manifests/v1', 'NAME_UNKNOWN'],
  ['unknown registry before /v2/', '/registry.example/v2/enforced/app/manifests/v1', 'NAME_UNKNOWN'],
  ['unknown blob', `/v2/enforced/app/blobs/${digestOf(Buffer.from('none'))}`, 'BLOB_UNKNOWN'],
  ['unknown blob where no policy is', `/v2/free/app/blobs/${digestOf(Buffer.from('none'))}`, 'BLOB_UNKNOWN'],
  ['tags of an unknown repository', '/v2/enforced/none/tags/list', 'NAME_UNKNOWN'],
] as const) {
  test(`not found: ${name}`, async () => {
    const reply = await both(target)
    assert.equal(reply.status, 404)
    assert.equal(errorOf(reply).code, code)
    assert.equal(reply.headers['cache-control'], 'no-store')
  })
}

test('bad digest: 400', async () => {
  for (const target of [
    '/v2/enforced/app/manifests/sha256:baddigeststring',
    '/v2/enforced/app/blobs/sha256:baddigeststring',
  ]) {
    const reply = await both(target)
    assert.equal(reply.status, 400)
    assert.equal(errorOf(reply).code, 'DIGEST_INVALID')
  }
})

test('route shapes: all lead to the same bytes', async () => {
  const paths = [
    '/v2/enforced/app/manifests/v1',
    '/v2/enforced/app/manifests/v1?ns=hub',
    `/v2/enforced/app/manifests/v1?ns=${harness.registry.host}`,
    '/v2/hub/enforced/app/manifests/v1',
    `/v2/${harness.registry.host}/enforced/app/manifests/v1`,
    '/hub/v2/enforced/app/manifests/v1',
    `/${harness.registry.host}/v2/enforced/app/manifests/v1`,
  ]
  const answers = await Promise.all(paths.map(async (path) => await harness.get(path)))
  const atVirtualHost = await harness.get('/v2/enforced/app/manifests/v1', { host: 'mirror.test' })
  for (const reply of [...answers, atVirtualHost]) {
    assert.equal(reply.status, 200)
    assert.deepEqual(reply.body, image.manifest)
  }
})

for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND']) {
  test(`read-only: ${method}`, async () => {
    for (const target of [
      '/v2/enforced/app/manifests/v1',
      '/v2/enforced/app/blobs/uploads/',
      '/v2/',
      '/anything',
    ]) {
      const reply = await harness.request(method, target)
      assert.equal(reply.status, 405)
      assert.equal(reply.headers['allow'], 'GET, HEAD')
      assert.equal(errorOf(reply).code, 'UNSUPPORTED')
    }
  })
}

for (const target of [
  '/v2/_catalog',
  '/v1/_ping',
  '/v1/repositories/app/images',
  '/v2/_oci/ext/discover',
  '/v2/a/blobs/uploads/1',
]) {
  test(`not served by a mirror: ${target}`, async () => {
    const reply = await both(target)
    assert.equal(reply.status, 405)
    assert.equal(reply.headers['allow'], '')
    assert.equal(errorOf(reply).code, 'UNSUPPORTED')
  })
}

test('nothing of the registry API on the admin listener, nothing of admin on the data listener', async () => {
  const admin = harness.running().admin.address.port
  const api = await requestTo(admin, { method: 'GET', target: '/v2/' })
  assert.equal(api.status, 404)
  for (const target of ['/healthz', '/readyz', '/metrics']) assert.equal((await both(target)).status, 404)
})

test('an index type is what clients get where the body names none', async () => {
  const manifests = index.images.map((child) => ({
    mediaType: child.mediaType,
    digest: child.digest,
    size: child.manifest.length,
  }))
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, manifests }))
  harness.registry.putManifest('free/untyped', 'v1', bytes, MEDIA_TYPE.ociIndex)
  const reply = await both('/v2/free/untyped/manifests/v1')
  assert.equal(reply.headers['content-type'], MEDIA_TYPE.ociIndex)
})
