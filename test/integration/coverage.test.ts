import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { digestOf } from '../../src/oci/digest.ts'
import { MEDIA_TYPE } from '../../src/oci/manifest-types.ts'
import { createSigstore } from '../../src/testing/sigstore.ts'
import { publishSigned, startHarness, uniqueImage, uniqueIndex } from './harness.ts'

test('a child asked for before its index is refused, and served as soon as the index has been let in', async () => {
  await using harness = await startHarness({ config: { cache: { violatedTtl: '1h' } } })
  const index = uniqueIndex('child first')
  await publishSigned(harness, { repository: 'enforced/app', image: index })
  const [child] = index.images
  const target = `/v2/enforced/app/manifests/${child?.digest}`
  assert.equal((await harness.get(target)).status, 403)
  assert.equal((await harness.get('/v2/enforced/app/manifests/v1')).status, 200)
  assert.equal((await harness.get(target)).status, 200)
})

test('a child whose index cannot be judged now is held, not called unsigned', async () => {
  await using harness = await startHarness()
  const index = uniqueIndex('index unknown')
  await publishSigned(harness, { repository: 'enforced/app', image: index })
  const [child] = index.images
  const target = `/v2/enforced/app/manifests/${child?.digest}`
  assert.equal((await harness.get('/v2/enforced/app/manifests/v1')).status, 200)
  assert.equal((await harness.get(target)).status, 200)
  // As if it had been evicted.
  const database = new DatabaseSync(join(harness.dataDirectory, 'portcullis.db'))
  database.exec('DELETE FROM evidence')
  database.close()
  await harness.restart()
  // Only what would prove the index is out of reach; what there is about the child can be asked for.
  const hex = index.digest.slice('sha256:'.length)
  harness.registry.behave(({ url }) =>
    url.includes(`/referrers/${index.digest}`) || url.includes(`/manifests/sha256-${hex}`)
      ? { status: 500 }
      : undefined,
  )
  assert.equal((await harness.get(target)).status, 503)
  harness.registry.behave(undefined)
  assert.equal((await harness.get(target)).status, 200)
})

test('what an index vouched for under a trust root that is gone is not served by that when evidence is out of reach', async () => {
  const policies = { directory: 'policies', defaultStance: 'last-verified' }
  await using harness = await startHarness({
    config: { policies, cache: { tagTtl: '1h', violatedTtl: '0s' } },
  })
  const index = uniqueIndex('index of before')
  const [refused, unasked] = index.images
  assert.ok(refused !== undefined && unasked !== undefined)
  await publishSigned(harness, { repository: 'enforced/app', image: index })
  const path = (image: { digest: string }) => `/v2/enforced/app/manifests/${image.digest}`
  for (const image of [index, unasked]) assert.equal((await harness.get(path(image))).status, 200)

  const other = await createSigstore()
  await writeFile(join(dirname(harness.dataDirectory), 'trusted_root.json'), other.trustedRootJson())
  await harness.restart()
  assert.equal((await harness.get(path(refused))).status, 403)

  harness.registry.behave(({ url }) => (/referrers|sha256-/.test(url) ? { status: 503 } : undefined))
  await harness.restart()
  assert.equal((await harness.get(path(refused))).status, 503)
  assert.equal(
    (await harness.get(path(unasked))).status,
    503,
    'its index was refused on the way to the other one',
  )
  const config = `/v2/enforced/app/blobs/${digestOf(unasked.config)}`
  assert.equal((await harness.get(config)).status, 503)
})

test('a tower of indexes that nobody can judge costs one pull so much for each of them, and no more', async () => {
  await using harness = await startHarness({ config: { cache: { tagTtl: '1h' } } })
  const { registry } = harness
  const repository = 'observed/app'
  const image = uniqueImage('under a tower')
  registry.putManifest(repository, 'v1', image.manifest, image.mediaType)
  const levels = [[{ mediaType: image.mediaType, digest: image.digest, size: image.manifest.length }]]
  for (const level of [1, 2, 3]) {
    const manifests = levels.at(-1) ?? []
    const next = [1, 2, 3, 4].map((index) => {
      const annotations = { place: `${level} ${index}` }
      const body = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests, annotations }
      const bytes = Buffer.from(JSON.stringify(body))
      const digest = registry.putManifest(repository, undefined, bytes, MEDIA_TYPE.ociIndex)
      return { mediaType: MEDIA_TYPE.ociIndex, digest, size: bytes.length }
    })
    levels.push(next)
  }
  const all = levels.flat()
  for (const { digest } of all)
    assert.equal((await harness.get(`/v2/${repository}/manifests/${digest}`)).status, 200)
  registry.behave(({ url }) => (url.includes('/referrers/') ? { status: 500 } : undefined))
  await harness.restart()
  registry.requests.length = 0
  await harness.get(`/v2/${repository}/manifests/${image.digest}`)
  const asked = registry.requests.filter(({ url }) => url.includes('/referrers/'))
  assert.ok(asked.length <= all.length, `${asked.length} questions for ${all.length} manifests`)
})
