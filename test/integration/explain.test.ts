import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { gate, publish, publishSigned, startHarness, uniqueImage, type Harness } from './harness.ts'
import { requestTo, type Reply } from './http.ts'

/** What the admin listener says a pull would get, and that saying so changes nothing. */

async function explain(
  harness: Harness,
  query: string,
  headers: Record<string, string> = {},
): Promise<Reply> {
  const { port } = harness.running().admin.address
  return await requestTo(port, { method: 'GET', target: `/explain${query}`, headers })
}

function imageOf({ registry }: Harness, name: string): string {
  return `?image=${encodeURIComponent(`${registry.host}/${name}`)}`
}

function jsonOf({ body }: Reply): Record<string, unknown> {
  const json: unknown = JSON.parse(body.toString())
  assert.ok(typeof json === 'object' && json !== null)
  return { ...json }
}

async function metricsOf(harness: Harness): Promise<string> {
  return await harness.running().deps.admin.metrics.registry.metrics()
}

test('policy by policy, with the time of each step: cold, then warm', async () => {
  await using harness = await startHarness()
  const image = uniqueImage('explained')
  await publishSigned(harness, { repository: 'enforced/app', image })
  const cold = await explain(harness, imageOf(harness, 'enforced/app:v1'))
  assert.equal(cold.status, 200)
  assert.equal(cold.headers['cache-control'], 'no-store')
  const dur = String.raw`dur=\d+(?:\.\d{1,3})?`
  assert.match(
    cold.headers['server-timing'] ?? '',
    new RegExp(
      `^resolve;${dur}, fetch;${dur}, discover;${dur}, verify;${dur}, decide;${dur}, total;${dur}, cache;desc=cold$`,
    ),
  )
  const { steps: _steps, decision, policies, versions, ...told } = jsonOf(cold)
  assert.deepEqual(told, {
    image: `${harness.registry.host}/enforced/app`,
    digest: image.digest,
    ring: 'default',
    outcome: 'serve',
    messages: [],
    cache: 'cold',
  })
  assert.ok(Array.isArray(policies))
  const [{ because, asks, ...policy }] = policies
  assert.deepEqual(policy, { policy: 'signed', mode: 'enforce', verdict: 'satisfied' })
  assert.match(String(because), /^release: https:\/\/github.com\/acme\/app/)
  assert.match(asks.needs, /^a signature by /)
  assert.equal(asks.stance, 'closed')
  const warm = await explain(harness, imageOf(harness, 'enforced/app:v1'))
  assert.match(warm.headers['server-timing'] ?? '', new RegExp(`^total;${dur}, cache;desc=warm$`))
  const again = jsonOf(warm)
  assert.deepEqual([again['cache'], again['decision'], again['versions']], ['warm', decision, versions])
  assert.deepEqual(Object.keys(again['judgedIn'] ?? {}).toSorted(), ['decide', 'discover', 'fetch', 'verify'])
})

test('what would be refused is told in the words of the refusal, and by its id', async () => {
  await using harness = await startHarness()
  publish(harness, { repository: 'enforced/app', image: uniqueImage('unsigned') })
  const told = jsonOf(await explain(harness, imageOf(harness, 'enforced/app:v1')))
  assert.equal(told['outcome'], 'refuse')
  const refused = await harness.get('/v2/enforced/app/manifests/v1')
  assert.equal(refused.status, 403)
  assert.equal(refused.headers['x-portcullis-decision-id'], told['decision'])
  assert.ok(refused.body.toString().includes(String(told['messages']).slice(0, 40)))
})

test('every step of a pull that takes time has its histogram', async () => {
  await using harness = await startHarness()
  publish(harness, { repository: 'enforced/app', image: uniqueImage('steps') })
  assert.equal((await harness.get('/v2/enforced/app/manifests/v1')).status, 403)
  const text = await metricsOf(harness)
  const counted = [...text.matchAll(/^portcullis_step_duration_seconds_count\{step="([a-z-]+)"\} [1-9]/gm)]
  const steps = ['decide', 'discover', 'fetch', 'look-up', 'record', 'resolve', 'total', 'verify']
  assert.deepEqual(counted.map(([, step = '']) => step).toSorted(), steps)
})

test('nothing is pulled, recorded, counted or let pass', async () => {
  const config = { policies: { directory: 'policies', defaultStance: 'open' } }
  await using harness = await startHarness({ config })
  publish(harness, { repository: 'enforced/unsigned', image: uniqueImage('unsigned') })
  publish(harness, { repository: 'enforced/unjudged', image: uniqueImage('unjudged') })
  await explain(harness, imageOf(harness, 'enforced/unsigned:v1'))
  harness.registry.behave(({ url }) => (/referrers|sha256-/.test(url) ? { status: 503 } : undefined))
  for (let count = 0; count < 2; count++) {
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    const told = jsonOf(await explain(harness, imageOf(harness, 'enforced/unjudged:v1')))
    assert.equal(told['outcome'], 'admitted')
    assert.match(String(told['messages']), /^not verified, served by stance open of policy signed/)
  }
  const text = await metricsOf(harness)
  assert.match(text, /^portcullis_open_admissions 0$/m)
  assert.match(text, /^portcullis_admitted_total\{stance="open"\} 0$/m)
  for (const name of ['pulls_total', 'decisions_recorded_total', 'pull_duration_seconds_count'])
    assert.doesNotMatch(text, new RegExp(`^portcullis_${name}\\{`, 'm'))
  assert.deepEqual(await harness.running().deps.admin.drill.recent(), [])
})

suite('what is not answered', () => {
  for (const [name, query, status, says] of [
    ['no image', '', 400, /found image ""/],
    ['no image name', '?image=../etc', 400, /expected registry\/repository:tag/],
    ['an unknown ring', '?image=nginx&ring=prod', 400, /found ring "prod", expected one of default/],
    ['an unknown parameter', '?image=nginx&rings=x', 400, /found "rings"/],
    ['an image twice', '?image=nginx&image=redis', 400, /found image twice/],
    ['a registry that is not configured', '?image=ghcr.io/acme/app', 404, /ghcr.io is not configured/],
  ] as const) {
    test(`${name}: ${status}`, async () => {
      await using harness = await startHarness()
      const reply = await explain(harness, query)
      assert.equal(reply.status, status)
      assert.match(String(jsonOf(reply)['error']), says)
    })
  }

  test('a web page, and whoever asks where clients pull', async () => {
    await using harness = await startHarness()
    const page = await explain(harness, '?image=nginx', { origin: 'https://evil.example' })
    assert.equal(page.status, 403)
    assert.equal((await harness.get('/explain?image=nginx')).status, 404)
  })

  test('more cold images at once than are explained at once; a warm one costs nothing', async () => {
    await using harness = await startHarness()
    await publishSigned(harness, { repository: 'enforced/warm', image: uniqueImage('warm') })
    await harness.get('/v2/enforced/warm/manifests/v1')
    const slow = gate()
    let asked = 0
    const all = gate()
    harness.registry.behave(async () => {
      asked += 1
      if (asked === 4) all.open()
      await slow.opened
      return undefined
    })
    const under = Array.from({ length: 4 }, async (_, index) => {
      return await explain(harness, imageOf(harness, `enforced/app-${index}:v1`))
    })
    await all.opened
    const fifth = await explain(harness, imageOf(harness, 'enforced/app-5:v1'))
    assert.deepEqual([fifth.status, fifth.headers['retry-after']], [429, '1'])
    assert.equal((await explain(harness, imageOf(harness, 'enforced/warm:v1'))).status, 200)
    slow.open()
    for (const { status } of await Promise.all(under)) assert.equal(status, 404)
    assert.equal((await explain(harness, imageOf(harness, 'enforced/app-5:v1'))).status, 404)
  })

  test('nor while their work goes on for which nobody waits any more', async () => {
    await using harness = await startHarness()
    await harness.editPolicies((text) =>
      text.replaceAll('"mode":"observe"', '"mode":"observe","verifyBudget":"100ms"'),
    )
    await harness.restart()
    const slow = gate()
    harness.registry.behave(async ({ url }) => {
      if (url.includes('/referrers/')) await slow.opened
      return undefined
    })
    for (let index = 0; index < 4; index++) {
      const name = `observed/app-${index}`
      publish(harness, { repository: name, image: uniqueImage(name) })
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      const told = await explain(harness, imageOf(harness, `${name}:v1`))
      assert.match(String(jsonOf(told)['messages']), /no verdict within 100 ms/)
    }
    const fifth = imageOf(harness, 'observed/app-5:v1')
    assert.equal((await explain(harness, fifth)).status, 429)
    slow.open()
    let { status } = await explain(harness, fifth)
    for (let tries = 0; tries < 1_000 && status === 429; tries++) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      status = (await explain(harness, fifth)).status
    }
    assert.equal(status, 404)
  })
})
