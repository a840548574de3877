import assert from 'node:assert/strict'
import { request } from 'node:http'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { attestImage } from '../../src/testing/evidence.ts'
import { slsaStatement } from '../../src/testing/statements.ts'
import { publish, publishSigned, startHarness, uniqueImage, uniqueIndex, type Harness } from './harness.ts'

/** What clients pull from the whole proxy is what its rollout report is made of. */

type Row = Record<string, unknown> & { policy: string; ring: string; since: string }

async function ask(harness: Harness, method: string, path: string, body?: object) {
  const said = body === undefined ? '' : JSON.stringify(body)
  const headers = { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(said)) }
  const { port } = harness.running().admin.address
  return await new Promise<{ status: number | undefined; json: { rows: Row[]; unmet: string[] } }>(
    (resolve, reject) => {
      const outgoing = request({ host: '127.0.0.1', port, method, path, headers }, (incoming) => {
        text(incoming)
          .then((answer) => resolve({ status: incoming.statusCode, json: JSON.parse(answer) }))
          .catch(reject)
      })
      outgoing.on('error', reject)
      outgoing.end(said)
    },
  )
}

async function rowOf(harness: Harness, policy: string): Promise<Row> {
  const { json } = await ask(harness, 'GET', `/rollout?policy=${policy}&ring=default`)
  return json.rows[0] ?? assert.fail(JSON.stringify(json))
}

test('pulls are counted by image, with what is proven of it and what would be refused', async () => {
  await using harness = await startHarness()
  const signed = await publishSigned(harness, { repository: 'observed/signed', image: uniqueImage('signed') })
  const provenance = slsaStatement({ name: 'app', sha256: signed.digest.slice('sha256:'.length) })
  await attestImage(signed, harness.sigstore, { statement: provenance, signer: harness.release })
  publish(harness, { repository: 'observed/unsigned', image: uniqueImage('unsigned') })
  const index = uniqueIndex('index')
  await publishSigned(harness, { repository: 'observed/index', image: index })

  for (const name of ['signed', 'unsigned', 'index']) {
    const target = `/v2/observed/${name}/manifests/v1`
    // oxlint-disable no-await-in-loop -- as a client does it
    const digest = (await harness.head(target)).headers['docker-content-digest'] ?? ''
    assert.equal((await harness.get(`/v2/observed/${name}/manifests/${digest}`)).status, 200)
    // oxlint-enable no-await-in-loop
  }
  const [child] = index.images
  assert.ok(child !== undefined)
  assert.equal((await harness.get(`/v2/observed/index/manifests/${child.digest}`)).status, 200)

  const {
    mode,
    pulls,
    images,
    signed: isSigned,
    withProvenance,
    gapImages,
    gaps,
  } = await rowOf(harness, 'watched')
  assert.deepEqual(
    { mode, pulls, images, isSigned, withProvenance, gapImages },
    { mode: 'observe', pulls: 3, images: 3, isSigned: 2, withProvenance: 1, gapImages: 1 },
  )
  assert.match(
    JSON.stringify(gaps),
    /observed\/unsigned@sha256:[0-9a-f]{64}","tags":\["v1"\],"kind":"block","because":"unsigned: /,
  )
})

test('what an enforced policy refuses is counted, though no client asks for more than its HEAD', async () => {
  await using harness = await startHarness()
  publish(harness, { repository: 'enforced/app', image: uniqueImage('refused') })
  await harness.head('/v2/enforced/app/manifests/v1')
  const { mode, pulls, gapImages } = await rowOf(harness, 'signed')
  assert.deepEqual({ mode, pulls, gapImages }, { mode: 'enforce', pulls: 1, gapImages: 1 })
})

test('counts, stages and promotions outlive a restart', async () => {
  await using harness = await startHarness()
  await publishSigned(harness, { repository: 'observed/app', image: uniqueImage('kept') })
  await harness.get('/v2/observed/app/manifests/v1')
  const promotion = { policy: 'watched', ring: 'default', to: 'enforce', by: 'ada' }
  const refused = await ask(harness, 'POST', '/rollout/promotions', promotion)
  assert.deepEqual(
    [refused.status, refused.json.unmet],
    [409, ['criteria: the policy declares none (spec.rollout)']],
  )
  const body = { ...promotion, override: 'a test' }
  assert.equal((await ask(harness, 'POST', '/rollout/promotions', body)).status, 201)
  const before = await rowOf(harness, 'watched')
  await harness.restart()
  const after = await rowOf(harness, 'watched')
  assert.deepEqual([after.since, after['pulls']], [before.since, 1])
  const { json } = await ask(harness, 'GET', '/rollout/promotions')
  assert.match(JSON.stringify(json), /"override":"a test"/)
})
