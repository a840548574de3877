import assert from 'node:assert/strict'
import { after, before, beforeEach, test } from 'node:test'
import { digestOf, type Digest } from '../../src/oci/digest.ts'
import { MEDIA_TYPE } from '../../src/oci/manifest-types.ts'
import { signImage } from '../../src/testing/evidence.ts'
import { descriptorOf, type SubjectDescriptor } from '../../src/testing/images.ts'
import { publish, publishSigned, startHarness, uniqueImage, uniqueIndex, type Harness } from './harness.ts'
import { errorOf } from './http.ts'

/** Attempts to get bytes through the gate that no verdict covers: by another route, another moment or another reading. */

let harness: Harness

before(async () => {
  // Every request asks upstream again, so that what upstream does in between is seen.
  harness = await startHarness({ config: { cache: { tagTtl: '0s', violatedTtl: '0s' } } })
})
beforeEach(() => harness.registry.behave(undefined))
after(async () => await harness[Symbol.asyncDispose]())

async function statusOf(target: string): Promise<number> {
  const get = await harness.get(target)
  const head = await harness.head(target)
  assert.equal(head.status, get.status, `HEAD and GET of ${target}`)
  return get.status
}

test('manifest as a blob: refused before and after the gate has seen it, in every mode', async () => {
  for (const repository of ['enforced/as-blob', 'observed/as-blob', 'free/as-blob']) {
    const image = uniqueImage(repository)
    publish(harness, { repository, image })
    // Registries serve a manifest under both routes.
    harness.registry.putBlob(image.manifest, repository)
    // oxlint-disable-next-line no-await-in-loop -- one after another
    assert.equal(await statusOf(`/v2/${repository}/blobs/${image.digest}`), 404)
    // oxlint-disable-next-line no-await-in-loop -- one after another
    await harness.get(`/v2/${repository}/manifests/v1`)
    // oxlint-disable-next-line no-await-in-loop -- one after another
    assert.equal(await statusOf(`/v2/${repository}/blobs/${image.digest}`), 404)
  }
})

test('child of an index: only after the signed index that lists it was let through', async () => {
  const index = uniqueIndex('child')
  const [child] = index.images
  assert.ok(child !== undefined)
  publish(harness, { repository: 'enforced/child', tag: 'loose', image: child })
  assert.equal(await statusOf(`/v2/enforced/child/manifests/${child.digest}`), 403)
  await publishSigned(harness, { repository: 'enforced/child', image: index })
  assert.equal(await statusOf('/v2/enforced/child/manifests/v1'), 200)
  assert.equal(await statusOf(`/v2/enforced/child/manifests/${child.digest}`), 200)
  assert.equal(await statusOf('/v2/enforced/child/manifests/loose'), 200)
})

test('child of an index: one that is refused covers nothing, and neither does one of another repository', async () => {
  const index = uniqueIndex('uncovered')
  const [child] = index.images
  assert.ok(child !== undefined)
  await publishSigned(harness, { repository: 'enforced/covering', image: index })
  publish(harness, { repository: 'enforced/uncovered', image: index })
  assert.equal(await statusOf('/v2/enforced/covering/manifests/v1'), 200)
  assert.equal(await statusOf('/v2/enforced/uncovered/manifests/v1'), 403)
  assert.equal(await statusOf(`/v2/enforced/uncovered/manifests/${child.digest}`), 403)
  assert.equal(await statusOf(`/v2/enforced/uncovered/blobs/${digestOf(child.config)}`), 404)
})

test('child of an index: covered for the policies that refuse, though one that observes is not content', async () => {
  const index = uniqueIndex('mixed')
  await publishSigned(harness, { repository: 'mixed/app', image: index })
  const reply = await harness.get('/v2/mixed/app/manifests/v1')
  assert.equal(reply.status, 200)
  assert.match(reply.headers['warning'] ?? '', /would be blocked by policy attested-soon/)
  for (const child of index.images) {
    // oxlint-disable-next-line no-await-in-loop -- two
    const under = await harness.get(`/v2/mixed/app/manifests/${child.digest}`)
    assert.equal(under.status, 200)
    assert.match(under.headers['warning'] ?? '', /would be blocked by policy attested-soon/)
    // oxlint-disable-next-line no-await-in-loop -- two
    assert.equal(await statusOf(`/v2/mixed/app/blobs/${digestOf(child.config)}`), 200)
  }
})

test('child of an index: what was let through while policies observed covers nothing when they enforce', async () => {
  await using strict = await startHarness()
  const index = uniqueIndex('was observed')
  const [child] = index.images
  assert.ok(child !== undefined)
  publish(strict, { repository: 'observed/app', image: index })
  const paths = ['manifests/v1', `manifests/${child.digest}`, `blobs/${digestOf(child.config)}`]
  const statuses = async () =>
    await Promise.all(paths.map(async (path) => (await strict.get(`/v2/observed/app/${path}`)).status))
  assert.deepEqual(await statuses(), [200, 200, 200])
  await strict.editPolicies((text) => text.replaceAll('"observe"', '"enforce"'))
  await strict.restart()
  assert.deepEqual(await statuses(), [403, 403, 403])
})

test('nested indexes: covered from the root down', async () => {
  const repository = 'enforced/nested'
  const image = uniqueImage('nested')
  publish(harness, { repository, tag: 'leaf', image })
  const chain: SubjectDescriptor[] = [descriptorOf(image)]
  for (let depth = 0; depth < 6; depth++) {
    const [below] = chain
    const bytes = Buffer.from(
      JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: [below] }),
    )
    const digest = harness.registry.putManifest(repository, undefined, bytes, MEDIA_TYPE.ociIndex)
    chain.unshift({ mediaType: MEDIA_TYPE.ociIndex, digest, size: bytes.length })
  }
  const [root] = chain
  assert.ok(root !== undefined)
  await signImage(
    { registry: harness.registry, repository, subject: root },
    harness.sigstore,
    harness.release,
  )
  const statuses: number[] = []
  for (const { digest } of chain) {
    // oxlint-disable-next-line no-await-in-loop -- from the root down, as clients go
    statuses.push((await harness.get(`/v2/${repository}/manifests/${digest}`)).status)
  }
  assert.deepEqual(statuses.slice(0, 4), [200, 200, 200, 200])
})

test('tag that moves: the verdict belongs to the digest, and the bytes are those that were judged', async () => {
  const repository = 'enforced/moving'
  const good = uniqueImage('good')
  const evil = uniqueImage('evil')
  await publishSigned(harness, { repository, image: good })
  assert.equal(
    (await harness.head(`/v2/${repository}/manifests/v1`)).headers['docker-content-digest'],
    good.digest,
  )
  publish(harness, { repository, image: evil })
  assert.equal(await statusOf(`/v2/${repository}/manifests/v1`), 403)
  harness.registry.tag(repository, 'v1', good.digest)
  const back = await harness.get(`/v2/${repository}/manifests/v1`)
  assert.equal(back.status, 200)
  assert.deepEqual(back.body, good.manifest)
})

test('tag that moves within its TTL: HEAD and GET name the same digest', async () => {
  await using patient = await startHarness()
  const good = uniqueImage('good')
  await publishSigned(patient, { repository: 'enforced/moving', image: good })
  const head = await patient.head('/v2/enforced/moving/manifests/v1')
  publish(patient, { repository: 'enforced/moving', image: uniqueImage('evil') })
  const get = await patient.get('/v2/enforced/moving/manifests/v1')
  assert.equal(head.headers['docker-content-digest'], good.digest)
  assert.deepEqual(get.body, good.manifest)
})

test('upstream that answers other bytes than it announces: 502, and nothing of them is kept', async () => {
  const repository = 'enforced/liar'
  const good = uniqueImage('honest')
  const evil = uniqueImage('swapped')
  await publishSigned(harness, { repository, image: good })
  const swapped = {
    status: 200,
    headers: { 'content-type': evil.mediaType, 'docker-content-digest': good.digest },
    body: evil.manifest,
  }
  const image = (url: string) => url.endsWith('/manifests/v1') || url.endsWith(good.digest)
  harness.registry.behave(({ method, url }) =>
    method === 'GET' && url.includes('/manifests/') && image(url) ? swapped : undefined,
  )
  assert.equal(await statusOf(`/v2/${repository}/manifests/v1`), 502)
  assert.equal(await statusOf(`/v2/${repository}/manifests/${good.digest}`), 502)
  harness.registry.behave(undefined)
  assert.equal(await statusOf(`/v2/${repository}/manifests/v1`), 200)
  // From now on upstream may lie again: the bytes that were judged are at hand.
  harness.registry.behave(({ method, url }) => (method === 'GET' && image(url) ? swapped : undefined))
  assert.deepEqual((await harness.get(`/v2/${repository}/manifests/v1`)).body, good.manifest)
})

test('upstream that converts by Accept: it always gets the same Accept, whatever the client sends', async () => {
  const repository = 'enforced/accept'
  await publishSigned(harness, { repository, image: uniqueIndex('accept') })
  harness.registry.requests.length = 0
  for (const accept of [
    'application/vnd.docker.distribution.manifest.v1+prettyjws',
    MEDIA_TYPE.dockerManifest,
    '*/*',
  ]) {
    // oxlint-disable-next-line no-await-in-loop -- one after another
    const reply = await harness.get(`/v2/${repository}/manifests/v1`, {
      accept,
      'accept-encoding': 'gzip',
      cookie: 'a=b',
    })
    assert.equal(reply.headers['content-type'], MEDIA_TYPE.ociIndex)
  }
  const asked = harness.registry.requests.filter(({ url }) => url.includes('/manifests/'))
  assert.equal(new Set(asked.map(({ headers }) => headers.accept)).size, 1)
  for (const { headers } of asked) {
    assert.equal(headers.cookie, undefined)
    assert.ok(headers['accept-encoding'] === undefined || headers['accept-encoding'] === 'identity')
  }
})

test('evil twin in another repository: what one repository holds is not readable through another', async () => {
  const image = uniqueImage('private')
  const layer = image.layers[0]?.digest
  await publishSigned(harness, { repository: 'enforced/private', image })
  assert.equal(await statusOf('/v2/enforced/private/manifests/v1'), 200)
  assert.equal(await statusOf(`/v2/enforced/private/blobs/${layer}`), 200)
  for (const repository of ['enforced/other', 'observed/other', 'free/other']) {
    publish(harness, { repository, image: uniqueImage('public') })
    const statuses: number[] = []
    for (const path of [`manifests/${image.digest}`, `blobs/${layer}`, `blobs/${digestOf(image.config)}`]) {
      // oxlint-disable-next-line no-await-in-loop -- one after another
      statuses.push(await statusOf(`/v2/${repository}/${path}`))
    }
    assert.deepEqual(statuses, [404, 404, 404], repository)
  }
})

test('a manifest that names what its repository does not hold opens nothing of what another one has cached', async () => {
  const image = uniqueImage('private layers')
  const [layer] = image.layers
  assert.ok(layer !== undefined)
  await publishSigned(harness, { repository: 'enforced/vault', image })
  assert.equal(await statusOf('/v2/enforced/vault/manifests/v1'), 200)
  assert.deepEqual((await harness.get(`/v2/enforced/vault/blobs/${layer.digest}`)).body, layer.bytes)
  for (const repository of ['observed/thief', 'free/thief']) {
    // The same manifest, without the blobs: what a registry that does not check pushes would hold.
    harness.registry.putManifest(repository, 'v1', image.manifest, image.mediaType)
    // oxlint-disable-next-line no-await-in-loop -- one after another
    assert.equal(await statusOf(`/v2/${repository}/manifests/v1`), 200)
    // oxlint-disable-next-line no-await-in-loop -- one after another
    assert.equal(await statusOf(`/v2/${repository}/blobs/${layer.digest}`), 404)
  }
})

test('a policy that lets everything through vouches for no blob: upstream is asked whether the repository holds it', async () => {
  await using own = await startHarness()
  const policy = {
    apiVersion: 'portcullis.dev/v1alpha1',
    kind: 'ImagePolicy',
    metadata: { name: 'closed-place' },
    spec: {
      mode: 'enforce',
      images: [{ glob: `${own.registry.host}/static/**` }],
      authorities: [{ name: 'all', static: { action: 'pass' } }],
    },
  }
  await own.editPolicies((text) => `${text}\n---\n${JSON.stringify(policy)}`)
  await own.restart()
  const image = uniqueImage('private layers, static')
  const [layer] = image.layers
  assert.ok(layer !== undefined)
  await publishSigned(own, { repository: 'enforced/vault', image })
  publish(own, { repository: 'static/app', image })
  for (const repository of ['enforced/vault', 'static/app']) {
    // oxlint-disable-next-line no-await-in-loop -- one after another
    assert.equal((await own.get(`/v2/${repository}/manifests/v1`)).status, 200)
    // oxlint-disable-next-line no-await-in-loop -- one after another
    assert.deepEqual((await own.get(`/v2/${repository}/blobs/${layer.digest}`)).body, layer.bytes)
  }
  own.registry.putManifest('static/thief', 'v1', image.manifest, image.mediaType)
  assert.equal((await own.get('/v2/static/thief/manifests/v1')).status, 200)
  assert.equal((await own.get(`/v2/static/thief/blobs/${layer.digest}`)).status, 404)
})

test('manifest that is larger than any client reads: 502 in every mode', async () => {
  for (const repository of ['enforced/huge', 'free/huge']) {
    const bytes = Buffer.from(
      JSON.stringify({ schemaVersion: 2, annotations: { a: 'x'.repeat(4 * 1024 * 1024) } }),
    )
    harness.registry.putManifest(repository, 'v1', bytes, MEDIA_TYPE.ociManifest)
    // oxlint-disable-next-line no-await-in-loop -- two
    const reply = await harness.get(`/v2/${repository}/manifests/v1`)
    assert.equal(reply.status, 502)
    assert.equal(errorOf(reply).code, 'UNKNOWN')
  }
})

test('encoded manifest: never unpacked, never served', async () => {
  const image = uniqueImage('encoded')
  await publishSigned(harness, { repository: 'enforced/encoded', image })
  const headers = { 'content-type': image.mediaType, 'content-encoding': 'gzip' }
  harness.registry.behave(({ url }) =>
    url.endsWith('/manifests/v1') ? { status: 200, headers, body: image.manifest } : undefined,
  )
  assert.equal(await statusOf('/v2/enforced/encoded/manifests/v1'), 502)
})

function layerOf(image: ReturnType<typeof uniqueImage>): { digest: Digest; bytes: Buffer } {
  const [layer] = image.layers
  assert.ok(layer !== undefined)
  return layer
}

for (const fault of ['corrupt', 'truncate', 'reset'] as const) {
  test(`blob that upstream does not deliver (${fault}): never a whole answer, nothing kept, right the next time`, async () => {
    const repository = `enforced/blob-${fault}`
    const image = uniqueImage(repository)
    const { digest, bytes } = layerOf(image)
    await publishSigned(harness, { repository, image })
    assert.equal(await statusOf(`/v2/${repository}/manifests/v1`), 200)
    harness.registry.behave(({ method, url }) =>
      method === 'GET' && url.includes(`/blobs/${digest}`) ? fault : undefined,
    )
    const bad = await harness
      .get(`/v2/${repository}/blobs/${digest}`)
      .catch(() => ({ status: 0, broken: true, body: Buffer.alloc(0) }))
    assert.ok(bad.broken || bad.status >= 500, `${bad.status}`)
    assert.notDeepEqual(bad.body, bytes)
    harness.registry.behave(undefined)
    const good = await harness.get(`/v2/${repository}/blobs/${digest}`)
    assert.equal(good.status, 200)
    assert.deepEqual(good.body, bytes)
  })
}

test('encoded blob: passed as it came, never decoded, and only if it has its digest', async () => {
  const repository = 'enforced/blob-encoded'
  const image = uniqueImage(repository)
  const { digest, bytes } = layerOf(image)
  await publishSigned(harness, { repository, image })
  assert.equal(await statusOf(`/v2/${repository}/manifests/v1`), 200)
  const headers = { 'content-encoding': 'gzip', 'content-type': 'text/html' }
  harness.registry.behave(({ url }) =>
    url.includes(`/blobs/${digest}`) ? { status: 200, headers, body: bytes } : undefined,
  )
  const reply = await harness.get(`/v2/${repository}/blobs/${digest}`)
  assert.equal(reply.headers['content-encoding'], undefined)
  assert.equal(reply.headers['content-type'], 'application/octet-stream')
  assert.deepEqual(reply.body, bytes)
})
