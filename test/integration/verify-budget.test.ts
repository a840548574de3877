import assert from 'node:assert/strict'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { gate, publishSigned, startHarness, uniqueImage, type Harness } from './harness.ts'
import { errorOf, type Reply } from './http.ts'

/** What a pull gets that would wait longer for the verdict than its policy allows, and who gets the verdict then. */

/** The policies of the harness, with a budget that is over long before the test lets the registry answer. */
async function startWithBudget(mode: 'enforce' | 'observe'): Promise<Harness> {
  const harness = await startHarness()
  await harness.editPolicies((text) =>
    text.replaceAll(`"mode":"${mode}"`, `"mode":"${mode}","verifyBudget":"100ms"`),
  )
  await harness.restart()
  return harness
}

/** A registry that takes as long to answer what the test names as the test likes. */
function slowFor({ registry }: Harness, isSlow: (url: string) => boolean): { asked(): number; open(): void } {
  const slow = gate()
  let asked = 0
  registry.behave(async ({ url }) => {
    if (!isSlow(url)) return undefined
    asked += 1
    return await slow.opened.then(() => undefined)
  })
  return { asked: () => asked, open: () => slow.open() }
}

/** Far more than it takes to verify an image. */
const TRIES_MAX = 1_000

/** Asks until there is a verdict. */
async function settled(harness: Harness, target: string): Promise<Reply> {
  let reply = await harness.get(target)
  for (let tries = 1; tries < TRIES_MAX && !isVerdict(reply); tries++) {
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    reply = await harness.get(target)
  }
  return reply
}

function isVerdict({ status, headers }: Reply): boolean {
  return status !== 503 && headers['warning'] === undefined
}

test('held at the budget, in one sentence; the work goes on, once, and who asks next has the verdict', async () => {
  await using harness = await startWithBudget('enforce')
  await publishSigned(harness, { repository: 'enforced/app', image: uniqueImage('budget') })
  const slow = slowFor(harness, (url) => url.includes('/referrers/'))
  const target = '/v2/enforced/app/manifests/v1'
  for (let pulls = 0; pulls < 3; pulls++) {
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    const held = await harness.get(target)
    assert.equal(held.status, 503)
    assert.equal(held.headers['retry-after'], '5')
    assert.match(
      errorOf(held).message,
      /^held by policy signed: no verdict within 100 ms, the verifyBudget of policy signed; verification goes on; slow step: (?:resolve|fetch|discover); retry later; decision [0-9a-f]{12}$/,
    )
  }
  slow.open()
  assert.equal((await settled(harness, target)).status, 200)
  assert.equal(slow.asked(), 1, 'three pulls that were late, one verification')
})

test('stance last-verified: at the budget what was satisfied before is served, and then its verdict', async () => {
  await using harness = await startHarness()
  await publishSigned(harness, { repository: 'enforced/app', image: uniqueImage('budget before') })
  const target = '/v2/enforced/app/manifests/v1'
  assert.equal((await harness.get(target)).headers['warning'], undefined)
  await harness.editPolicies((text) =>
    text.replaceAll('"mode":"enforce"', '"mode":"enforce","stance":"last-verified","verifyBudget":"100ms"'),
  )
  await harness.restart()
  // Evidence that is at hand would need nobody.
  const database = new DatabaseSync(join(harness.dataDirectory, 'portcullis.db'))
  database.exec('DELETE FROM evidence')
  database.close()
  const slow = slowFor(harness, (url) => url.includes('/referrers/'))
  const late = await harness.get(target)
  assert.equal(late.status, 200)
  assert.match(
    String(late.headers['warning']),
    /not verified, served by stance last-verified of policy signed: no verdict within 100 ms/,
  )
  slow.open()
  const { status, headers } = await settled(harness, target)
  assert.deepEqual([status, headers['warning']], [200, undefined])
  assert.equal(slow.asked(), 1)
})

test('mode observe: the bytes are served at the budget, with a warning', async () => {
  await using harness = await startWithBudget('observe')
  const image = uniqueImage('budget observed')
  await publishSigned(harness, { repository: 'observed/app', image })
  const slow = slowFor(harness, (url) => url.includes('/referrers/'))
  const served = await harness.get('/v2/observed/app/manifests/v1')
  slow.open()
  assert.equal(served.status, 200)
  assert.deepEqual(served.body, image.manifest)
  assert.match(String(served.headers['warning']), /would be held by policy watched: no verdict within 100 ms/)
})

test('mode observe: bytes that are late themselves have as long as the pull', async () => {
  await using harness = await startWithBudget('observe')
  const image = uniqueImage('budget bytes')
  await publishSigned(harness, { repository: 'observed/app', image })
  const isManifest = (url: string) => url.endsWith(`/manifests/${image.digest}`)
  const [bytes, evidence] = [gate(), gate()]
  const asked = gate()
  harness.registry.behave(async ({ url }) => {
    if (isManifest(url)) asked.open()
    await (isManifest(url) ? bytes.opened : evidence.opened)
    return undefined
  })
  const pulling = harness.get(`/v2/observed/app/manifests/${image.digest}`)
  await asked.opened
  bytes.open()
  // Nobody has told yet who signed it, so it is the budget that ends the wait.
  const served = await pulling
  evidence.open()
  assert.equal(served.status, 200)
  assert.deepEqual(served.body, image.manifest)
})
