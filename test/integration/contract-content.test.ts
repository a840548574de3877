import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { digestOf, type Digest } from '../../src/oci/digest.ts'
import { MEDIA_TYPE } from '../../src/oci/manifest-types.ts'
import { attestImage, fallbackTag } from '../../src/testing/evidence.ts'
import { buildImage } from '../../src/testing/images.ts'
import { slsaStatement } from '../../src/testing/statements.ts'
import { publish, publishSigned, startHarness, uniqueImage, type Harness } from './harness.ts'
import { errorOf, stableHeaders, type Reply } from './http.ts'

/** Blobs, referrers, evidence tags and tag lists: what clients ask for beside manifests. */

const LAYER = Buffer.from('0123456789'.repeat(20_000))

let harness: Harness
let layer: Digest
const image = buildImage({ layers: [{ 'data.txt': LAYER }, { 'other.txt': 'other' }] })
const unsigned = uniqueImage('content unsigned')

before(async () => {
  harness = await startHarness({ registry: { pageSize: 3 } })
  const place = await publishSigned(harness, { repository: 'enforced/app', image })
  await publishSigned(
    harness,
    { repository: 'enforced/app', tag: 'v2', image: uniqueImage('second') },
    { form: 'tag' },
  )
  const statement = slsaStatement({ name: 'app', sha256: image.digest.slice('sha256:'.length) })
  await attestImage(place, harness.sigstore, { statement, signer: harness.release }, { form: 'fallback-tag' })
  await attestImage(place, harness.sigstore, { statement, signer: harness.release }, { form: 'tag' })
  publish(harness, { repository: 'enforced/app', tag: 'unsigned', image: unsigned })
  assert.equal((await harness.get('/v2/enforced/app/manifests/v1')).status, 200)
  assert.equal((await harness.get('/v2/enforced/app/manifests/v2')).status, 200)
  assert.equal((await harness.get('/v2/enforced/app/manifests/unsigned')).status, 403)
  const [first] = image.layers
  assert.ok(first !== undefined)
  layer = first.digest
})

after(async () => await harness[Symbol.asyncDispose]())

async function both(target: string, headers: Record<string, string> = {}): Promise<Reply> {
  const get = await harness.get(target, headers)
  const head = await harness.head(target, headers)
  assert.equal(head.status, get.status, `HEAD and GET of ${target}`)
  assert.deepEqual(stableHeaders(head), stableHeaders(get))
  assert.equal(head.body.length, 0)
  return get
}

function layerBytes(): Buffer {
  const found = image.layers.find(({ digest }) => digest === layer)
  assert.ok(found !== undefined)
  return found.bytes
}

test('blob 200: the bytes, and everything a client needs to resume', async () => {
  const reply = await both(`/v2/enforced/app/blobs/${layer}`)
  const bytes = layerBytes()
  assert.equal(reply.status, 200)
  assert.deepEqual(reply.body, bytes)
  assert.equal(reply.headers['content-length'], String(bytes.length))
  assert.equal(reply.headers['accept-ranges'], 'bytes')
  assert.equal(reply.headers['docker-content-digest'], layer)
  assert.equal(reply.headers['etag'], `"${layer}"`)
  assert.equal(reply.headers['content-encoding'], undefined)
})

for (const [name, range, first, last] of [
  ['from an offset', 'bytes=100-', 100, undefined],
  ['closed', 'bytes=10-19', 10, 19],
  ['past the end', 'bytes=10-99999999', 10, undefined],
  ['suffix', 'bytes=-7', -7, undefined],
] as const) {
  test(`blob 206: ${name}`, async () => {
    const bytes = layerBytes()
    const reply = await harness.get(`/v2/enforced/app/blobs/${layer}`, { range })
    const expected = bytes.subarray(first, last === undefined ? undefined : last + 1)
    const start = first < 0 ? bytes.length + first : first
    assert.equal(reply.status, 206)
    assert.deepEqual(reply.body, expected)
    assert.equal(
      reply.headers['content-range'],
      `bytes ${start}-${start + expected.length - 1}/${bytes.length}`,
    )
    assert.equal(reply.headers['content-length'], String(expected.length))
    assert.equal(reply.headers['docker-content-digest'], layer)
  })
}

test('blob 416: no byte of it in the range', async () => {
  const size = layerBytes().length
  const reply = await harness.get(`/v2/enforced/app/blobs/${layer}`, { range: `bytes=${size}-` })
  assert.equal(reply.status, 416)
  assert.equal(reply.headers['content-range'], `bytes */${size}`)
})

for (const [name, range] of [
  ['several ranges', 'bytes=0-1,5-6'],
  ['another unit', 'lines=0-1'],
  ['backwards', 'bytes=9-3'],
  ['not a range', 'bytes=a-b'],
] as const) {
  test(`blob 200 whole: ${name}`, async () => {
    const reply = await harness.get(`/v2/enforced/app/blobs/${layer}`, { range })
    assert.equal(reply.status, 200)
    assert.deepEqual(reply.body, layerBytes())
  })
}

test('blob: If-Range of another entity gives the whole', async () => {
  const other = { range: 'bytes=1-2', 'if-range': '"other"' }
  assert.equal((await harness.get(`/v2/enforced/app/blobs/${layer}`, other)).status, 200)
  const same = { range: 'bytes=1-2', 'if-range': `"${layer}"` }
  assert.equal((await harness.get(`/v2/enforced/app/blobs/${layer}`, same)).status, 206)
})

function listed(reply: Reply): { digest: string; artifactType?: string }[] {
  assert.equal(reply.status, 200)
  assert.equal(reply.headers['content-type'], MEDIA_TYPE.ociIndex)
  assert.equal(reply.headers['content-length'], String(reply.body.length))
  const index: {
    schemaVersion: number
    mediaType: string
    manifests: { digest: string; artifactType?: string }[]
  } = JSON.parse(reply.body.toString())
  assert.equal(index.schemaVersion, 2)
  assert.equal(index.mediaType, MEDIA_TYPE.ociIndex)
  return index.manifests
}

test('referrers: API and fallback tag merged, each once', async () => {
  const found = listed(await both(`/v2/enforced/app/referrers/${image.digest}`))
  assert.equal(found.length, 2)
  assert.equal(new Set(found.map(({ digest }) => digest)).size, 2)
})

test('referrers: filtered, and says so', async () => {
  const bundle = 'application/vnd.dev.sigstore.bundle.v0.3+json'
  const some = await both(
    `/v2/enforced/app/referrers/${image.digest}?artifactType=${encodeURIComponent(bundle)}`,
  )
  assert.equal(some.headers['oci-filters-applied'], 'artifactType')
  assert.equal(listed(some).length, 2)
  const none = await both(`/v2/enforced/app/referrers/${image.digest}?artifactType=application/none`)
  assert.equal(none.headers['oci-filters-applied'], 'artifactType')
  assert.deepEqual(listed(none), [])
})

test('referrers: of an unknown digest and in an unknown repository the list is empty', async () => {
  const digest = digestOf(Buffer.from('no such image'))
  assert.deepEqual(listed(await both(`/v2/enforced/app/referrers/${digest}`)), [])
  assert.deepEqual(listed(await both(`/v2/enforced/none/referrers/${digest}`)), [])
})

test('referrers: what is listed can be fetched, blobs too, as cosign does', async () => {
  for (const { digest } of listed(await harness.get(`/v2/enforced/app/referrers/${image.digest}`))) {
    const manifest = await both(`/v2/enforced/app/manifests/${digest}`)
    assert.equal(manifest.status, 200)
    const { layers }: { layers: { digest: string }[] } = JSON.parse(manifest.body.toString())
    const blobs = await Promise.all(
      layers.map(async (entry) => await both(`/v2/enforced/app/blobs/${entry.digest}`)),
    )
    for (const blob of blobs) assert.equal(blob.status, 200)
  }
})

test('referrers: an entry that cannot be read hides no other, and none sends clients elsewhere', async () => {
  const good = { mediaType: MEDIA_TYPE.ociManifest, digest: digestOf(Buffer.from('good')), size: 4 }
  const manifests = [
    { ...good, digest: 'sha256:../../../etc/passwd' },
    { ...good, urls: ['https://evil.example/'] },
    'no descriptor',
  ]
  const subject = digestOf(Buffer.from('a subject'))
  harness.registry.putManifest('enforced/app', fallbackTag(subject), {
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.ociIndex,
    manifests,
  })
  const reply = await both(`/v2/enforced/app/referrers/${subject}`)
  assert.deepEqual(
    listed(reply).map(({ digest }) => digest),
    [good.digest],
  )
  assert.ok(!reply.body.includes('evil.example'))
})

for (const suffix of ['.sig', '.att'] as const) {
  test(`evidence tag ${suffix} passes with its blobs`, async () => {
    const subject = suffix === '.sig' ? uniqueImage('second').digest : image.digest
    const reply = await both(`/v2/enforced/app/manifests/${fallbackTag(subject)}${suffix}`)
    assert.equal(reply.status, 200)
    const { layers, config }: { config: { digest: string }; layers: { digest: string }[] } = JSON.parse(
      reply.body.toString(),
    )
    for (const entry of [config, ...layers]) {
      // oxlint-disable-next-line no-await-in-loop -- two or three
      assert.equal((await both(`/v2/enforced/app/blobs/${entry.digest}`)).status, 200)
    }
  })

  test(`evidence tag ${suffix} that does not exist: 404, which clients read as "none"`, async () => {
    const reply = await both(`/v2/enforced/app/manifests/${fallbackTag(unsigned.digest)}${suffix}`)
    assert.equal(reply.status, 404)
    assert.equal(errorOf(reply).code, 'MANIFEST_UNKNOWN')
  })
}

test('the fallback tag is judged like any index, because its entries could be images; the referrers API lists the same', async () => {
  assert.equal((await both(`/v2/enforced/app/manifests/${fallbackTag(image.digest)}`)).status, 403)
  assert.equal((await both(`/v2/enforced/app/manifests/${fallbackTag(unsigned.digest)}`)).status, 404)
})

test('tags: all of them by relative links, with the namespace kept', async () => {
  for (const tag of ['a1', 'a2', 'a3', 'a4', 'a5'])
    publish(harness, { repository: 'observed/tags', tag, image })
  const found: string[] = []
  let next: string | undefined = '/hub/v2/observed/tags/tags/list?n=2&ns=hub'
  while (next !== undefined) {
    // oxlint-disable-next-line no-await-in-loop -- each page names the next
    const reply: Reply = await both(next)
    assert.equal(reply.status, 200)
    const { name, tags }: { name: string; tags: string[] } = JSON.parse(reply.body.toString())
    assert.equal(name, 'observed/tags')
    assert.ok(tags.length <= 2)
    found.push(...tags)
    next = /^<(\/hub\/v2\/observed\/tags\/tags\/list\?[^>]*ns=hub[^>]*)>; rel="next"$/.exec(
      reply.headers['link'] ?? '',
    )?.[1]
    assert.equal(next === undefined, reply.headers['link'] === undefined)
  }
  assert.deepEqual(found, ['a1', 'a2', 'a3', 'a4', 'a5'])
})

test('tags: after a given one', async () => {
  const reply = await both('/v2/observed/tags/tags/list?last=a3')
  assert.deepEqual(JSON.parse(reply.body.toString()), { name: 'observed/tags', tags: ['a4', 'a5'] })
  assert.equal(reply.headers['link'], undefined)
})

test('upstream limits us: 429 with its own patience, as long as nothing was judged', async () => {
  const fresh = publish(harness, { repository: 'enforced/limited', image: uniqueImage('limited') })
  harness.registry.behave(() => ({ status: 429, headers: { 'retry-after': '60' } }))
  const reply = await both('/v2/enforced/limited/manifests/v1')
  const known = await both('/v2/enforced/app/manifests/v1')
  harness.registry.behave(undefined)
  assert.equal(reply.status, 429)
  assert.equal(reply.headers['retry-after'], '60')
  assert.equal(errorOf(reply).code, 'TOOMANYREQUESTS')
  assert.equal(known.status, 200)
  const waiting = await both(`/v2/enforced/limited/manifests/${fresh.digest}`)
  assert.equal(waiting.status, 429, 'nobody asks before the time that upstream named')
})
