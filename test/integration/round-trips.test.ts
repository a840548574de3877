import assert from 'node:assert/strict'
import { test } from 'node:test'
import { digestOf, digestParts, type Digest } from '../../src/oci/digest.ts'
import { attachBundle } from '../../src/testing/evidence.ts'
import { gate, publish, publishSigned, startHarness, uniqueImage, type Harness } from './harness.ts'

/** What is asked of the registry about one image, by what stands for its digest. */
function asked({ registry }: Harness, digest: Digest): readonly string[] {
  const { hex } = digestParts(digest)
  return registry.requests.map(({ method, url }) => {
    const path = url.slice(url.search(/\/(?:manifests|referrers|blobs)\//)).replace(hex, 'DIGEST')
    return `${method} ${path.replace(/[0-9a-f]{64}/, 'OTHER')}`
  })
}

const MANIFEST = 'GET /manifests/sha256:DIGEST'
const EVIDENCE = [
  'GET /manifests/sha256-DIGEST',
  'GET /manifests/sha256-DIGEST.att',
  'GET /manifests/sha256-DIGEST.sig',
  'GET /referrers/sha256:DIGEST',
]
const BUNDLE = ['GET /manifests/sha256:OTHER', 'GET /blobs/sha256:OTHER']

test('by digest: manifest and evidence in one round trip, the bundle and its blob in one each', async () => {
  await using harness = await startHarness()
  const { digest } = await publishSigned(harness, { repository: 'enforced/app', image: uniqueImage('ahead') })
  const seen = new Set<string>()
  const all = gate()
  // The first answer comes when everything that can be asked for at once has been asked for.
  harness.registry.behave(async ({ url }) => {
    seen.add(url)
    if (seen.size === 1 + EVIDENCE.length) all.open()
    await all.opened
    return undefined
  })
  const reply = await harness.get(`/v2/enforced/app/manifests/${digest}`)
  assert.equal(reply.status, 200)
  const requests = asked(harness, digest)
  assert.equal(requests[0], MANIFEST, 'what everything depends on comes first')
  assert.deepEqual(requests.slice(1, 5).toSorted(), EVIDENCE)
  assert.deepEqual(requests.slice(5), BUNDLE)
})

test('by tag: the same questions, once it is known what the tag is', async () => {
  await using harness = await startHarness()
  const { digest } = await publishSigned(harness, { repository: 'enforced/app', image: uniqueImage('tag') })
  assert.equal((await harness.get('/v2/enforced/app/manifests/v1')).status, 200)
  const requests = asked(harness, digest)
  assert.equal(requests[0], 'GET /manifests/v1')
  assert.deepEqual(requests.slice(1, 5).toSorted(), EVIDENCE)
  assert.deepEqual(requests.slice(5), BUNDLE)
})

test('where no policy asks, one request', async () => {
  await using harness = await startHarness()
  const { digest } = publish(harness, { repository: 'free/app', image: uniqueImage('free') })
  assert.equal((await harness.get(`/v2/free/app/manifests/${digest}`)).status, 200)
  assert.deepEqual(asked(harness, digest), [MANIFEST])
})

test('what is on disk with all that proves it is not asked for again', async () => {
  await using harness = await startHarness()
  const { digest } = await publishSigned(harness, { repository: 'enforced/app', image: uniqueImage('again') })
  assert.equal((await harness.get(`/v2/enforced/app/manifests/${digest}`)).status, 200)
  await harness.restart()
  harness.registry.requests.length = 0
  assert.equal((await harness.get(`/v2/enforced/app/manifests/${digest}`)).status, 200)
  assert.deepEqual(asked(harness, digest), [])
})

test('digests of nothing: an answer without waiting for evidence, and soon one request each', async () => {
  await using harness = await startHarness()
  harness.registry.behave(({ url }) =>
    url.includes('sha256-') || url.includes('referrers') ? 'hang' : undefined,
  )
  const counts: number[] = []
  for (let n = 0; n < 20; n++) {
    harness.registry.requests.length = 0
    const missing = digestOf(Buffer.from(`nothing ${n}`))
    const reply = await harness.get(`/v2/enforced/app/manifests/${missing}`)
    assert.equal(reply.status, 404)
    counts.push(harness.registry.requests.filter(({ url }) => url.includes(digestParts(missing).hex)).length)
  }
  assert.ok(Math.max(...counts) <= 5)
  assert.deepEqual(counts.slice(16), [1, 1, 1, 1])
})

test('evidence that is pulled itself, while evidence of it hangs, is served', async () => {
  await using harness = await startHarness()
  const place = publish(harness, { repository: 'enforced/app', image: uniqueImage('evidence') })
  const { manifest } = attachBundle(place, Buffer.from('{}'))
  harness.registry.behave(({ url }) =>
    url.includes('sha256-') || url.includes('referrers') ? 'hang' : undefined,
  )
  const reply = await harness.get(`/v2/enforced/app/manifests/${manifest}`)
  assert.equal(reply.status, 200)
})
