import assert from 'node:assert/strict'
import { test } from 'node:test'
import { digestOf } from '../../src/oci/digest.ts'
import { signImage } from '../../src/testing/evidence.ts'
import type { Fault } from '../../src/testing/registry.ts'
import {
  gate,
  publish,
  publishSigned,
  startHarness,
  uniqueImage,
  uniqueIndex,
  type Harness,
} from './harness.ts'
import { errorOf } from './http.ts'

/** What is still served, and what is not, when the registry is slow, gone, or says something else than before. */

async function statusOf(harness: Harness, target: string): Promise<number> {
  const head = await harness.head(target)
  const get = await harness.get(target)
  assert.equal(head.status, get.status, target)
  return get.status
}

test('registry gone: every verdict stands, the unseen is held; after a restart the verified is still served', async () => {
  await using harness = await startHarness({ config: { cache: { tagTtl: '0s', violatedTtl: '0s' } } })
  const index = uniqueIndex('outage')
  const [child] = index.images
  assert.ok(child !== undefined)
  await publishSigned(harness, { repository: 'enforced/app', image: index })
  publish(harness, { repository: 'enforced/unsigned', image: uniqueImage('outage unsigned') })
  const served = [
    'manifests/v1',
    `manifests/${index.digest}`,
    `manifests/${child.digest}`,
    `blobs/${digestOf(child.config)}`,
    `blobs/${child.layers[0]?.digest}`,
  ]
  for (const path of served) assert.equal(await statusOf(harness, `/v2/enforced/app/${path}`), 200)
  assert.equal(await statusOf(harness, '/v2/enforced/unsigned/manifests/v1'), 403)
  const refused = (await harness.get('/v2/enforced/unsigned/manifests/v1')).body

  await harness.registry.stop()
  for (const path of served) assert.equal(await statusOf(harness, `/v2/enforced/app/${path}`), 200, path)
  assert.equal(await statusOf(harness, '/v2/enforced/unsigned/manifests/v1'), 403)
  assert.deepEqual(
    (await harness.get('/v2/enforced/unsigned/manifests/v1')).body,
    refused,
    'the same decision',
  )
  assert.equal(await statusOf(harness, '/v2/enforced/unseen/manifests/v1'), 503)

  await harness.restart()
  for (const path of served.toReversed())
    assert.equal(await statusOf(harness, `/v2/enforced/app/${path}`), 200, path)
  assert.notEqual(await statusOf(harness, '/v2/enforced/unsigned/manifests/v1'), 200)
})

const ANSWERS: readonly (readonly [string, Fault, number])[] = [
  ['404', { status: 404 }, 404],
  ['401', { status: 401 }, 404],
  ['403', { status: 403 }, 403],
  ['410', { status: 410 }, 502],
  ['500', { status: 500 }, 200],
  ['503', { status: 503 }, 200],
  ['429', { status: 429 }, 200],
  ['a reset', 'reset', 200],
  ['silence', 'hang', 200],
]

for (const [name, fault, status] of ANSWERS) {
  test(`known tag, upstream answers with ${name}: ${status === 200 ? 'an outage, the last digest is used' : 'an answer, the last digest is not used'}`, async () => {
    const timeouts = { connect: '1s', headers: '200ms', body: '1s' }
    await using harness = await startHarness({ upstream: { timeouts }, config: { cache: { tagTtl: '0s' } } })
    const image = uniqueImage('stale')
    await publishSigned(harness, { repository: 'enforced/app', image })
    assert.equal(await statusOf(harness, '/v2/enforced/app/manifests/v1'), 200)
    harness.registry.behave(() => fault)
    assert.equal(await statusOf(harness, '/v2/enforced/app/manifests/v1'), status)
    assert.equal(await statusOf(harness, `/v2/enforced/app/manifests/${image.digest}`), 200)
  })
}

test('known tag, outage longer than stale tags are trusted: held', async () => {
  await using harness = await startHarness({ config: { cache: { tagTtl: '0s', tagStaleIfError: '0s' } } })
  const image = uniqueImage('too stale')
  await publishSigned(harness, { repository: 'enforced/app', image })
  assert.equal(await statusOf(harness, '/v2/enforced/app/manifests/v1'), 200)
  await harness.registry.stop()
  assert.equal(await statusOf(harness, '/v2/enforced/app/manifests/v1'), 503)
  assert.equal(await statusOf(harness, `/v2/enforced/app/manifests/${image.digest}`), 200)
})

test('a signature that comes later counts; one that goes away was still made', async () => {
  await using harness = await startHarness({ config: { cache: { violatedTtl: '0s' } } })
  const place = publish(harness, { repository: 'enforced/app', image: uniqueImage('late') })
  assert.equal(await statusOf(harness, '/v2/enforced/app/manifests/v1'), 403)
  await signImage(place, harness.sigstore, harness.release)
  assert.equal(await statusOf(harness, '/v2/enforced/app/manifests/v1'), 200)
  harness.registry.behave(({ url }) => (/referrers|sha256-/.test(url) ? { status: 404 } : undefined))
  await harness.restart()
  assert.equal(await statusOf(harness, '/v2/enforced/app/manifests/v1'), 200)
})

test('deadline: a verdict that is late is held where a policy enforces, and the work goes on', async () => {
  await using harness = await startHarness({ config: { deadlines: { pull: '150ms' } } })
  await publishSigned(harness, { repository: 'enforced/slow', image: uniqueImage('slow') })
  const slow = gate()
  harness.registry.behave(async ({ url }) =>
    url.includes('/referrers/') ? await slow.opened.then(() => undefined) : undefined,
  )
  const held = await harness.get('/v2/enforced/slow/manifests/v1')
  assert.equal(held.status, 503)
  assert.match(errorOf(held).message, /^held by policy signed: not verified in time/)
  slow.open()
  // The same flight: whoever asks next waits for its rest only.
  assert.equal(
    (
      await eventually(
        async () => await harness.get('/v2/enforced/slow/manifests/v1'),
        ({ status }) => status === 200,
      )
    ).status,
    200,
  )
})

test('deadline: where policies only observe, the bytes are served in time, with a warning', async () => {
  await using harness = await startHarness({ config: { deadlines: { pull: '150ms' } } })
  await publishSigned(harness, { repository: 'observed/slow', image: uniqueImage('slow') })
  const slow = gate()
  harness.registry.behave(async ({ url }) =>
    url.includes('/referrers/') ? await slow.opened.then(() => undefined) : undefined,
  )
  const served = await harness.get('/v2/observed/slow/manifests/v1')
  slow.open()
  assert.equal(served.status, 200)
  assert.deepEqual(served.body, uniqueImage('slow').manifest)
  assert.match(
    served.headers['warning'] ?? '',
    /^299 - "would be held by policy watched: not verified in time/,
  )
})

/** Asks again until the answer is as expected; each question waits for the work that is under way, so few are needed. */
async function eventually<T>(ask: () => Promise<T>, isExpected: (answer: T) => boolean): Promise<T> {
  let answer = await ask()
  for (let attempt = 0; attempt < 20 && !isExpected(answer); attempt++) {
    // oxlint-disable-next-line no-await-in-loop -- one after another
    answer = await ask()
  }
  return answer
}

test('many clients at once: upstream is asked once for each thing', async () => {
  await using harness = await startHarness()
  const image = uniqueImage('crowd')
  await publishSigned(harness, { repository: 'enforced/app', image })
  const slow = gate()
  harness.registry.behave(async () => await slow.opened.then(() => undefined))
  harness.registry.requests.length = 0
  const crowd = Array.from({ length: 25 }, async () => await harness.get('/v2/enforced/app/manifests/v1'))
  slow.open()
  for (const reply of await Promise.all(crowd)) assert.equal(reply.status, 200)
  const urls = harness.registry.requests.map(({ method, url }) => `${method} ${url}`)
  assert.equal(new Set(urls).size, urls.length, urls.join('\n'))
})

test('a client that leaves does not take the others with it', async () => {
  await using harness = await startHarness()
  const image = uniqueImage('leaver')
  await publishSigned(harness, { repository: 'enforced/app', image })
  const slow = gate()
  const asked = gate()
  harness.registry.behave(async () => {
    asked.open()
    return await slow.opened.then(() => undefined)
  })
  const leaving = new AbortController()
  const left = fetch(`http://127.0.0.1:${harness.port()}/v2/enforced/app/manifests/v1`, {
    signal: leaving.signal,
  }).catch(() => 'left')
  await asked.opened
  const stays = harness.get('/v2/enforced/app/manifests/v1')
  leaving.abort()
  assert.equal(await left, 'left')
  slow.open()
  assert.deepEqual((await stays).body, image.manifest)
})
