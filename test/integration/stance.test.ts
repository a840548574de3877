import assert from 'node:assert/strict'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { digestOf } from '../../src/oci/digest.ts'
import { publish, publishSigned, startHarness, uniqueImage, uniqueIndex, type Harness } from './harness.ts'
import { errorOf, type Reply } from './http.ts'

/** What leaves while nobody can say whether it should, by the stance of the policy. */

async function start(stance: string, outages: { openImagesMax?: number } = {}): Promise<Harness> {
  const policies = { directory: 'policies', defaultStance: stance }
  const cache = { tagTtl: '1h', violatedTtl: '0s' }
  return await startHarness({
    upstream: { timeouts: { connect: '1s', headers: '300ms', body: '1s' } },
    config: { policies, cache, outages: { reviewEvery: '1s', ...outages } },
  })
}

/** Evidence cannot be had; everything else can. */
function loseEvidence({ registry }: Harness): void {
  registry.behave(({ url }) => (/referrers|sha256-/.test(url) ? { status: 503 } : undefined))
}

/** What the proxy has kept of signatures is gone, as if its cache were full: only that it saw them is still known. */
function forgetEvidence({ dataDirectory }: Harness): void {
  const database = new DatabaseSync(join(dataDirectory, 'portcullis.db'))
  database.exec('DELETE FROM evidence')
  database.close()
}

/** Until the review has come by, which it does every second. */
async function reviewed(harness: Harness, line: RegExp): Promise<void> {
  for (;;) {
    const text = await harness.running().deps.admin.metrics.registry.metrics()
    if (line.test(text)) return
    // oxlint-disable-next-line no-await-in-loop -- a question after the other
    await harness.get('/v2/')
  }
}

function assertAdmitted(reply: Reply, stance: string): void {
  assert.equal(reply.status, 200)
  const text = new RegExp(`^299 - "not verified, served by stance ${stance} of policy signed: .*decision `)
  assert.match(reply.headers['warning'] ?? '', text)
  assert.equal(reply.headers['cache-control'], 'no-store')
}

for (const stance of ['closed', 'last-verified']) {
  test(`stance ${stance}: what was never verified is held`, async () => {
    await using harness = await start(stance)
    publish(harness, { repository: 'enforced/app', image: uniqueImage('never') })
    loseEvidence(harness)
    const reply = await harness.get('/v2/enforced/app/manifests/v1')
    assert.equal(reply.status, 503)
    assert.equal((await harness.head('/v2/enforced/app/manifests/v1')).status, 503)
    assert.match(errorOf(reply).message, /^held by policy signed: .*; retry later; decision /)
  })
}

test('stance open: served, said, recorded; judged again on recovery, and refused from then on', async () => {
  await using harness = await start('open')
  const image = uniqueImage('unsigned')
  publish(harness, { repository: 'enforced/app', image })
  loseEvidence(harness)
  const target = '/v2/enforced/app/manifests/v1'
  const config = `/v2/enforced/app/blobs/${digestOf(image.config)}`
  assert.equal((await harness.get(config)).status, 404, 'no pull has let it in')
  assertAdmitted(await harness.get(target), 'open')
  assertAdmitted(await harness.head(target), 'open')
  assert.deepEqual((await harness.get(config)).body, image.config)

  harness.registry.behave(undefined)
  await reviewed(harness, /portcullis_admissions_judged_total\{verdict="violated"\} 1/)
  await reviewed(harness, /portcullis_open_admissions 0/)
  assert.equal((await harness.get(target)).status, 403)
  assert.equal((await harness.get(config)).status, 403)
  loseEvidence(harness)
  await harness.restart()
  assert.equal((await harness.get(target)).status, 503, 'no later outage lets it in again')
})

test('stance open: what turns out well is served without a word', async () => {
  await using harness = await start('open')
  await publishSigned(harness, { repository: 'enforced/app', image: uniqueImage('signed') })
  loseEvidence(harness)
  assertAdmitted(await harness.get('/v2/enforced/app/manifests/v1'), 'open')
  harness.registry.behave(undefined)
  await reviewed(harness, /portcullis_admissions_judged_total\{verdict="satisfied"\} 1/)
  const reply = await harness.get('/v2/enforced/app/manifests/v1')
  assert.equal(reply.status, 200)
  assert.equal(reply.headers['warning'], undefined)
})

test('stance open: an index spends once, its children and blobs pass with it; a restart gives nothing back', async () => {
  await using harness = await start('open', { openImagesMax: 1 })
  const index = uniqueIndex('index')
  const [child] = index.images
  assert.ok(child !== undefined)
  publish(harness, { repository: 'enforced/app', image: index })
  publish(harness, { repository: 'enforced/other', image: uniqueImage('other') })
  loseEvidence(harness)
  const paths = ['manifests/v1', `manifests/${child.digest}`, `blobs/${digestOf(child.config)}`]
  for (const path of paths) assert.equal((await harness.get(`/v2/enforced/app/${path}`)).status, 200, path)
  assert.equal((await harness.get('/v2/enforced/other/manifests/v1')).status, 503)
  await harness.restart()
  for (const path of paths.toReversed())
    assert.equal((await harness.get(`/v2/enforced/app/${path}`)).status, 200, path)
  assert.equal((await harness.get('/v2/enforced/other/manifests/v1')).status, 503)
})

test('stance open: what was refused before the outage is not let in by it', async () => {
  await using harness = await start('open')
  publish(harness, { repository: 'enforced/app', image: uniqueImage('refused') })
  assert.equal((await harness.get('/v2/enforced/app/manifests/v1')).status, 403)
  loseEvidence(harness)
  assert.equal((await harness.get('/v2/enforced/app/manifests/v1')).status, 403)
})

test('stance open: nor is it after a restart in the middle of the outage', async () => {
  await using harness = await start('open')
  publish(harness, { repository: 'enforced/app', image: uniqueImage('refused') })
  assert.equal((await harness.get('/v2/enforced/app/manifests/v1')).status, 403)
  loseEvidence(harness)
  await harness.restart()
  forgetEvidence(harness)
  assert.equal((await harness.get('/v2/enforced/app/manifests/v1')).status, 503)
  // Another image passes meanwhile, so it is not for want of an outage.
  publish(harness, { repository: 'enforced/other', image: uniqueImage('not refused') })
  assertAdmitted(await harness.get('/v2/enforced/other/manifests/v1'), 'open')
})

test('stance open: evidence that somebody may have made unreadable is no outage', async () => {
  await using harness = await start('open')
  await publishSigned(harness, { repository: 'enforced/app', image: uniqueImage('unreadable') })
  harness.registry.behave(({ url }) => (url.includes('/blobs/') ? { status: 404 } : undefined))
  assert.equal((await harness.get('/v2/enforced/app/manifests/v1')).status, 503)
  harness.registry.behave(({ url }) => (url.includes('/referrers/') ? { status: 401 } : undefined))
  assert.equal((await harness.get('/v2/enforced/app/manifests/v1')).status, 503)
})

test('stance open: nothing to serve is held, and says so', async () => {
  await using harness = await start('open')
  await harness.registry.stop()
  const reply = await harness.get('/v2/enforced/app/manifests/v1')
  assert.equal(reply.status, 503)
  assert.match(errorOf(reply).message, /^held by policy signed: the manifest cannot be had: /)
})

test('stance open: a manifest with a fault of its own is refused, whatever is missing', async () => {
  await using harness = await start('open')
  const image = uniqueImage('malformed')
  const manifest = Buffer.from(`${image.manifest.toString('utf8').slice(0, -1)},"layers":[]}`)
  const digest = digestOf(manifest)
  harness.registry.behave(({ url }) => {
    if (/referrers|sha256-/.test(url)) return { status: 503 }
    const headers = {
      'content-type': 'application/vnd.oci.image.manifest.v1+json',
      'docker-content-digest': digest,
    }
    return url.includes('/manifests/') ? { status: 200, headers, body: manifest } : undefined
  })
  assert.equal((await harness.get(`/v2/enforced/app/manifests/${digest}`)).status, 403)
})

for (const stance of ['last-verified', 'open']) {
  test(`stance ${stance}: what was verified before is served without its evidence, also after a restart`, async () => {
    await using harness = await start(stance)
    const index = uniqueIndex('before')
    const [child] = index.images
    assert.ok(child !== undefined)
    await publishSigned(harness, { repository: 'enforced/app', image: index })
    assert.equal((await harness.get('/v2/enforced/app/manifests/v1')).status, 200)
    forgetEvidence(harness)
    loseEvidence(harness)
    await harness.restart()
    assertAdmitted(await harness.get('/v2/enforced/app/manifests/v1'), 'last-verified')
    const served = await harness.get(`/v2/enforced/app/manifests/${child.digest}`)
    assertAdmitted(served, 'last-verified')
    assert.equal((await harness.get(`/v2/enforced/app/blobs/${digestOf(child.config)}`)).status, 200)
  })
}

test('stance last-verified: a policy that demands something else was not satisfied before', async () => {
  await using harness = await start('last-verified')
  await publishSigned(harness, { repository: 'enforced/app', image: uniqueImage('changed') })
  assert.equal((await harness.get('/v2/enforced/app/manifests/v1')).status, 200)
  forgetEvidence(harness)
  loseEvidence(harness)
  await harness.editPolicies((text) => text.replaceAll('release.yml', 'publish.yml'))
  await harness.restart()
  assert.equal((await harness.get('/v2/enforced/app/manifests/v1')).status, 503)
})

test('stance closed: what was verified before is held without its evidence', async () => {
  await using harness = await start('closed')
  await publishSigned(harness, { repository: 'enforced/app', image: uniqueImage('closed') })
  assert.equal((await harness.get('/v2/enforced/app/manifests/v1')).status, 200)
  forgetEvidence(harness)
  loseEvidence(harness)
  await harness.restart()
  assert.equal((await harness.get('/v2/enforced/app/manifests/v1')).status, 503)
})

test('a disk that refuses the record of an admission holds the image', async () => {
  await using harness = await start('open')
  publish(harness, { repository: 'enforced/app', image: uniqueImage('full disk') })
  loseEvidence(harness)
  const database = new DatabaseSync(join(harness.dataDirectory, 'portcullis.db'))
  database.exec("CREATE TRIGGER full BEFORE INSERT ON admission BEGIN SELECT RAISE(FAIL, 'disk full'); END")
  assert.equal((await harness.get('/v2/enforced/app/manifests/v1')).status, 503)
  database.exec('DROP TRIGGER full')
  database.close()
  assertAdmitted(await harness.get('/v2/enforced/app/manifests/v1'), 'open')
})
