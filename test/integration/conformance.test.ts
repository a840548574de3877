import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { digestOf } from '../../src/oci/digest.ts'
import { MEDIA_TYPE } from '../../src/oci/manifest-types.ts'
import { buildIndex, type BuiltImage, type BuiltIndex } from '../../src/testing/images.ts'
import { publishSigned, startHarness, uniqueImage, type Harness } from './harness.ts'

/**
 * What the OCI distribution-spec conformance suite asks of a read-only registry (`OCI_API_PUSH=false`): the categories
 * Pull and Content Discovery, over a prefix-routed repository and with a plain client. test/conformance runs the suite
 * itself.
 */

let harness: Harness
let base: string
let image: BuiltImage
let index: BuiltIndex

before(async () => {
  harness = await startHarness({ registry: { pageSize: 2 } })
  base = `http://127.0.0.1:${harness.port()}/v2/hub/enforced/conformance`
  image = uniqueImage('conformance')
  index = buildIndex([uniqueImage('conformance index'), uniqueImage('conformance index', 'arm64')])
  await publishSigned(harness, { repository: 'enforced/conformance', tag: 'signed', image })
  await publishSigned(harness, { repository: 'enforced/conformance', tag: 'multi', image: index })
  await publishSigned(harness, {
    repository: 'enforced/conformance',
    tag: 'zz-last',
    image: uniqueImage('last'),
  })
})

after(async () => await harness[Symbol.asyncDispose]())

async function headAndGet(path: string): Promise<{ status: number; headers: Headers; bytes: Buffer }> {
  const head = await fetch(`${base}/${path}`, { method: 'HEAD' })
  const get = await fetch(`${base}/${path}`)
  const bytes = Buffer.from(await get.arrayBuffer())
  assert.equal(head.status, get.status)
  assert.equal(head.headers.get('content-length'), String(bytes.length))
  assert.equal(head.headers.get('docker-content-digest'), get.headers.get('docker-content-digest'))
  return { status: get.status, headers: get.headers, bytes }
}

test('ping', async () => {
  assert.equal((await fetch(`http://127.0.0.1:${harness.port()}/v2/`)).status, 200)
})

for (const by of ['tag', 'digest']) {
  test(`manifest: HEAD and GET by ${by}, digest header`, async () => {
    for (const [tag, expected] of [
      ['signed', image],
      ['multi', index],
    ] as const) {
      // oxlint-disable-next-line no-await-in-loop -- two
      const reply = await headAndGet(`manifests/${by === 'tag' ? tag : expected.digest}`)
      assert.equal(reply.status, 200)
      assert.equal(reply.headers.get('docker-content-digest'), expected.digest)
      assert.equal(reply.headers.get('content-type'), expected.mediaType)
      assert.equal(digestOf(reply.bytes), expected.digest)
    }
  })
}

test('index: every child by digest', async () => {
  for (const child of index.images) {
    // oxlint-disable-next-line no-await-in-loop -- two
    const reply = await headAndGet(`manifests/${child.digest}`)
    assert.equal(reply.status, 200)
    assert.deepEqual(reply.bytes, child.manifest)
  }
})

test('blobs: HEAD and GET of config and layers', async () => {
  await headAndGet('manifests/signed')
  for (const digest of [digestOf(image.config), ...image.layers.map((layer) => layer.digest)]) {
    // oxlint-disable-next-line no-await-in-loop -- two
    const reply = await headAndGet(`blobs/${digest}`)
    assert.equal(reply.status, 200)
    assert.equal(digestOf(reply.bytes), digest)
    assert.equal(reply.headers.get('docker-content-digest'), digest)
  }
})

test('errors: unknown manifest and blob 404, bad digest 400', async () => {
  const unknown = digestOf(Buffer.from('unknown'))
  assert.equal((await headAndGet(`manifests/${unknown}`)).status, 404)
  assert.equal((await headAndGet('manifests/unknown')).status, 404)
  assert.equal((await headAndGet(`blobs/${unknown}`)).status, 404)
  assert.equal((await headAndGet('manifests/sha256:baddigeststring')).status, 400)
})

test('tags: sorted, paged, after `last`', async () => {
  const list = async (query: string) => {
    const reply = await fetch(`${base}/tags/list${query}`)
    assert.equal(reply.status, 200)
    const { tags }: { tags: string[] } = JSON.parse(await reply.text())
    assert.deepEqual(tags, tags.toSorted())
    return { tags, link: reply.headers.get('link') }
  }
  const first = await list('')
  assert.deepEqual(first.tags, ['multi', 'signed'])
  const next = /^<([^>]+)>; rel="next"$/.exec(first.link ?? '')?.[1]
  assert.ok(next !== undefined)
  const { tags }: { tags: string[] } = JSON.parse(await (await fetch(new URL(next, base))).text())
  assert.deepEqual(tags, ['zz-last'])
  assert.deepEqual((await list('?n=1')).tags, ['multi'])
  assert.deepEqual((await list('?n=0')).tags, [])
  assert.deepEqual((await list('?last=multi')).tags, ['signed', 'zz-last'])
})

test('referrers: an index for every digest, with and without filter', async () => {
  const list = async (digest: string, query = '') => {
    const reply = await fetch(`${base}/referrers/${digest}${query}`)
    assert.equal(reply.status, 200)
    assert.equal(reply.headers.get('content-type'), MEDIA_TYPE.ociIndex)
    const { manifests }: { manifests: { artifactType?: string }[] } = JSON.parse(await reply.text())
    return { manifests, filtered: reply.headers.get('oci-filters-applied') }
  }
  const all = await list(image.digest)
  assert.equal(all.manifests.length, 1)
  assert.equal(all.filtered, null)
  const some = await list(
    image.digest,
    `?artifactType=${encodeURIComponent(all.manifests[0]?.artifactType ?? '')}`,
  )
  assert.deepEqual(some, { manifests: all.manifests, filtered: 'artifactType' })
  assert.deepEqual(await list(image.digest, '?artifactType=a/b'), { manifests: [], filtered: 'artifactType' })
  assert.deepEqual((await list(digestOf(Buffer.from('random')))).manifests, [])
})
