import assert from 'node:assert/strict'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { publishSigned, startHarness, uniqueIndex } from './harness.ts'

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
