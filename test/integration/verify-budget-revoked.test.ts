import assert from 'node:assert/strict'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { suite, test } from 'node:test'
import { digestOf, type Digest } from '../../src/oci/digest.ts'
import { MEDIA_TYPE } from '../../src/oci/manifest-types.ts'
import { gate, publish, startHarness, uniqueImage, type Harness } from './harness.ts'

/** Policies that only observe, with a budget that is over at once, under a revocation of a digest that is enforced. */

async function startRevoking(digest: Digest): Promise<Harness> {
  const harness = await startHarness()
  const revocation = {
    apiVersion: 'portcullis.dev/v1alpha1',
    kind: 'Revocation',
    metadata: { name: 'incident' },
    spec: {
      reason: 'backdoored',
      images: [{ glob: `${harness.registry.host}/**` }],
      deny: [{ digest }],
    },
  }
  await harness.editPolicies((text) => {
    const hasty = text.replaceAll('"mode":"observe"', '"mode":"observe","verifyBudget":"100ms"')
    return `${hasty}\n---\n${JSON.stringify(revocation)}`
  })
  await harness.restart()
  return harness
}

/** Far more than it takes to verify an image. */
const TRIES_MAX = 1_000

function layerOf({ layers: [layer] }: ReturnType<typeof uniqueImage>): Digest {
  return layer === undefined ? assert.fail('it has a layer') : layer.digest
}

suite('early, under a revocation of digests', () => {
  test('what is revoked does not leave under another digest either', async () => {
    const image = uniqueImage('revoked')
    await using harness = await startRevoking(image.digest)
    publish(harness, { repository: 'observed/app', image })
    const bySha512 = digestOf(image.manifest, 'sha512')
    const slow = gate()
    harness.registry.behave(async ({ url }) => {
      if (!url.includes(bySha512)) return undefined
      await slow.opened
      const headers = { 'content-type': MEDIA_TYPE.ociManifest, 'docker-content-digest': bySha512 }
      return { status: 200, headers, body: image.manifest }
    })
    const target = `/v2/observed/app/manifests/${bySha512}`
    const early = await harness.get(target)
    slow.open()
    assert.equal(early.status, 503)
    assert.match(early.body.toString(), /held by policy incident: no verdict within 100 ms/)
    let { status } = await harness.get(target)
    for (let tries = 0; tries < TRIES_MAX && status === 503; tries++) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      status = (await harness.get(target)).status
    }
    assert.equal(status, 403)
  })

  test('the blobs of what is served leave with it, without the verdict; and it is on record', async () => {
    await using harness = await startRevoking(digestOf(Buffer.from('another')))
    const image = uniqueImage('early')
    publish(harness, { repository: 'observed/app', image })
    const slow = gate()
    harness.registry.behave(async ({ url }) => {
      if (url.includes('/referrers/')) await slow.opened
      return undefined
    })
    const served = await harness.get('/v2/observed/app/manifests/v1')
    assert.equal(served.status, 200)
    const blob = await harness.get(`/v2/observed/app/blobs/${layerOf(image)}`)
    slow.open()
    assert.equal(blob.status, 200)
    const database = new DatabaseSync(join(harness.dataDirectory, 'portcullis.db'), { readOnly: true })
    const row = database
      .prepare('SELECT json FROM decision WHERE id = ?')
      .get(String(served.headers['x-portcullis-decision-id']))
    database.close()
    assert.match(String(row?.['json']), /"policy":"watched","mode":"observe","verdict":"undetermined"/)
  })

  test('no policy is content with it, so it opens nothing of what another repository has cached', async () => {
    await using harness = await startRevoking(digestOf(Buffer.from('another')))
    const image = uniqueImage('private')
    publish(harness, { repository: 'observed/vault', image })
    assert.equal((await harness.get('/v2/observed/vault/manifests/v1')).status, 200)
    assert.equal((await harness.get(`/v2/observed/vault/blobs/${layerOf(image)}`)).status, 200)
    // The same manifest, without the blobs: what a registry that does not check pushes would hold.
    harness.registry.putManifest('observed/thief', 'v1', image.manifest, image.mediaType)
    assert.equal((await harness.get('/v2/observed/thief/manifests/v1')).status, 200)
    for (let reads = 0; reads < 2; reads++) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      assert.equal((await harness.get(`/v2/observed/thief/blobs/${layerOf(image)}`)).status, 404)
    }
  })
})
