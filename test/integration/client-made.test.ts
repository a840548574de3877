import assert from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import { join } from 'node:path'
import { test } from 'node:test'
import { digestOf } from '../../src/oci/digest.ts'
import { MEDIA_TYPE } from '../../src/oci/manifest-types.ts'
import { gate, publish, publishSigned, startHarness, uniqueImage, type Harness } from './harness.ts'

/** What a client can bring about is no outage, whatever it looks like. */

const OPEN = { policies: { directory: 'policies', defaultStance: 'open' } }

/** More claims of evidence than anybody reads: whoever may push can keep an image from being judged. */
function publishUnreadable(harness: Harness): string {
  const { digest } = publish(harness, { repository: 'enforced/app', image: uniqueImage('unreadable') })
  const manifests = Array.from({ length: 65 }, (_, entry) => ({
    mediaType: MEDIA_TYPE.ociManifest,
    artifactType: 'application/vnd.dev.sigstore.bundle.v0.3+json',
    digest: digestOf(Buffer.from(String(entry))),
    size: 10,
  }))
  const index = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests }))
  harness.registry.putManifest('enforced/app', digest.replace(':', '-'), index, MEDIA_TYPE.ociIndex)
  return `/v2/enforced/app/manifests/${digest}`
}

test('requests that wait for a registry that is well', async () => {
  await using harness = await startHarness({ upstream: { concurrency: 4 }, config: OPEN })
  const target = publishUnreadable(harness)
  assert.equal((await harness.get(target)).status, 503)
  const slow = gate()
  harness.registry.behave(async () => {
    await slow.opened
    return undefined
  })
  // 4 are on their way, 1024 wait, the others are refused: so there are refusals as long as the gate is closed.
  const flood = Array.from({ length: 1_100 }, (_, name) => harness.get(`/v2/x/n${name}/tags/list`))
  assert.equal((await Promise.race(flood)).status, 503)
  assert.equal((await harness.get(target)).status, 503, 'not let pass')
  slow.open()
  await Promise.all(flood)
})

test('things that fail on a registry that is well', async () => {
  await using harness = await startHarness({ config: { ...OPEN, cache: { tagTtl: '0s' } } })
  const target = publishUnreadable(harness)
  await publishSigned(harness, { repository: 'enforced/good', image: uniqueImage('good') })
  harness.registry.behave(({ url }) => (url.includes('/broken/') ? { status: 500 } : undefined))
  for (let round = 0; round < 4; round += 1) {
    const names = Array.from({ length: 8 }, (_, name) => `/v2/broken/r${round}-${name}/tags/list`)
    // oxlint-disable-next-line no-await-in-loop -- round after round
    await Promise.all(names.map((name) => harness.get(name)))
    // oxlint-disable-next-line no-await-in-loop -- after each round
    assert.equal((await harness.get('/v2/enforced/good/manifests/v1')).status, 200)
    // oxlint-disable-next-line no-await-in-loop -- after each round
    assert.equal((await harness.get(target)).status, 503, 'not let pass')
  }
})

test('a rate limit', async () => {
  await using harness = await startHarness({ config: OPEN })
  publish(harness, { repository: 'enforced/app', image: uniqueImage('unsigned') })
  harness.registry.behave(({ url }) => (/referrers|sha256-/.test(url) ? { status: 429 } : undefined))
  assert.equal((await harness.get('/v2/enforced/app/manifests/v1')).status, 503)
})

test('an answer that is another one each time makes one decision', async () => {
  await using harness = await startHarness({ config: { cache: { violatedTtl: '0s' } } })
  publish(harness, { repository: 'enforced/app', image: uniqueImage('one decision') })
  for (const status of [429, 503, 401]) {
    harness.registry.behave(({ url }) =>
      /referrers|sha256-/.test(url) ? { status, body: `request id ${crypto.randomUUID()}` } : undefined,
    )
    for (let pull = 0; pull < 5; pull += 1) {
      // oxlint-disable-next-line no-await-in-loop -- one after another
      assert.equal((await harness.get('/v2/enforced/app/manifests/v1')).status, 503)
    }
  }
  await harness.restart()
  const database = new DatabaseSync(join(harness.dataDirectory, 'portcullis.db'))
  const rows = database.prepare('SELECT json FROM decision').all()
  database.close()
  assert.doesNotMatch(JSON.stringify(rows), /request id/)
  // One for each status, and one where the breakers of the paths answer in place of the registry.
  assert.ok(rows.length <= 4, `${rows.length} decisions`)
})
