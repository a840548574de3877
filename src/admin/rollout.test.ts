import assert from 'node:assert/strict'
import { request } from 'node:http'
import { text } from 'node:stream/consumers'
import { describe, it } from 'node:test'
import { DAY_MS } from '../rollout/criteria.ts'
import { noteStages } from '../rollout/stages.ts'
import { policyOf, RINGS, setOf, sightingOf, UNSIGNED } from '../rollout/testing/rollout.ts'
import { openState, refuseWrites } from '../store/testing/state.ts'
import { refusePages } from './cross-site.ts'
import { createRolloutRoutes } from './rollout.ts'
import { serveRoutes } from './testing/serve-routes.ts'

type Headers = Record<string, string>

/** Every field of every answer. */
type Told = {
  error: string
  unmet: string[]
  at: string
  rings: string[]
  rows: { policy: string; ring: string; pulls: number; isNext: boolean }[]
  promotion: { id: number | null; by: string; override?: string; isMet: boolean }
  promotions: { id: number; by: string }[]
  isRepeat?: boolean
  write: object
}

async function setUp() {
  const { state, database, clock } = openState()
  const now = () => new Date(clock.ms)
  const set = setOf(policyOf('signed'), policyOf('attested', { byRing: { beta: 'enforce' } }))
  noteStages(set, now(), { rings: RINGS, state })
  const settled = { times: 0 }
  const routes = createRolloutRoutes(
    {
      policies: () => set,
      rings: RINGS,
      state,
      async settle() {
        settled.times += 1
        await Promise.resolve()
      },
      now,
      pause: () => Promise.resolve(),
    },
    refusePages(new Set(['edge.internal'])),
  )
  const server = await serveRoutes(routes)
  const ask = async (method: string, path: string, init: { body?: unknown; headers?: Headers } = {}) => {
    const body = typeof init.body === 'string' ? init.body : JSON.stringify(init.body)
    const length = String(Buffer.byteLength(body ?? ''))
    const headers = { 'content-type': 'application/json', 'content-length': length, ...init.headers }
    return await new Promise<{ status: number | undefined; json: Told }>((resolve, reject) => {
      const outgoing = request(`${server.url}${path}`, { method, headers })
      outgoing.on('error', reject)
      outgoing.on('response', (incoming) => {
        text(incoming)
          .then((said) => resolve({ status: incoming.statusCode, json: JSON.parse(said) as Told }))
          .catch(reject)
      })
      outgoing.end(body)
    })
  }
  /** Two images that satisfy the policy, and a week. */
  const earn = () => {
    clock.ms += 8 * DAY_MS
    const at = new Date(clock.ms - DAY_MS)
    state.noteSightings(['a', 'b'].map((name) => sightingOf(name, 'signed', { at, pulls: 2 })))
  }
  return {
    state,
    database,
    clock,
    settled,
    ask,
    earn,
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  }
}

const good = { policy: 'signed', ring: 'beta', to: 'enforce', by: 'ada' }

describe('GET /rollout', () => {
  it('tells how far everything is, with what was only in memory', async () => {
    await using setting = await setUp()
    setting.earn()
    const { status, json } = await setting.ask('GET', '/rollout')
    assert.equal(status, 200)
    assert.equal(setting.settled.times, 1)
    assert.deepEqual(json.rings, RINGS)
    assert.equal(json.rows.length, 9)
    assert.deepEqual(
      json.rows.filter(({ isNext }) => isNext).map(({ policy, ring }) => `${policy} ${ring}`),
      ['signed beta', 'attested prod'],
    )
  })

  it('of one policy, of one ring, and of none that there is', async () => {
    await using setting = await setUp()
    const { ask } = setting
    assert.equal((await ask('GET', '/rollout?policy=signed')).json.rows.length, 3)
    assert.equal((await ask('GET', '/rollout?ring=beta')).json.rows.length, 3)
    assert.equal((await ask('GET', '/rollout?policy=signed&ring=beta')).json.rows.length, 1)
    assert.equal((await ask('GET', '/rollout?policy=sined')).status, 404)
  })
})

describe('POST /rollout/promotions', () => {
  it('refuses with what is not met, and records nothing', async () => {
    await using setting = await setUp()
    const { status, json } = await setting.ask('POST', '/rollout/promotions', { body: good })
    assert.equal(status, 409)
    assert.deepEqual(json.unmet, [
      'days: 0 of at least 7',
      'pulls: 0 of at least 3',
      'images: 0 of at least 2',
    ])
    assert.deepEqual(setting.state.promotions(10), [])
  })

  it('records what is earned, and says what to write', async () => {
    await using setting = await setUp()
    setting.earn()
    const { status, json } = await setting.ask('POST', '/rollout/promotions', { body: good })
    assert.equal(status, 201, JSON.stringify(json))
    assert.deepEqual(json.write, { path: 'spec.rings.beta', value: 'enforce', origin: 'signed.yaml:4' })
    assert.deepEqual(json.unmet, [])
    const [stored] = setting.state.promotions(10)
    assert.deepEqual([stored?.id, stored?.by, stored?.isMet], [json.promotion.id, 'ada at 127.0.0.1', true])
    const { json: history } = await setting.ask('GET', '/rollout/promotions')
    assert.deepEqual(
      history.promotions.map(({ id, by }) => [id, by]),
      [[1, 'ada at 127.0.0.1']],
    )
  })

  it('records a step once, however often it is asked for before it is in force', async () => {
    await using setting = await setUp()
    setting.earn()
    const first = await setting.ask('POST', '/rollout/promotions', { body: good })
    setting.clock.ms += 1_000
    const body = { ...good, by: 'grace', override: 'to be sure' }
    const again = await setting.ask('POST', '/rollout/promotions', { body })
    assert.deepEqual([first.status, again.status], [201, 200])
    assert.deepEqual(again.json.promotion, first.json.promotion)
    assert.deepEqual([again.json.isRepeat, again.json.write], [true, first.json.write])
    assert.equal(setting.state.promotions(10).length, 1)
  })

  it('goes by what was pulled until now: one image that nobody has signed is enough', async () => {
    await using setting = await setUp()
    setting.earn()
    const at = new Date(setting.clock.ms)
    setting.state.noteSightings([sightingOf('c', 'signed', { at, result: UNSIGNED })])
    const { status, json } = await setting.ask('POST', '/rollout/promotions', { body: good })
    assert.deepEqual([status, json.unmet], [409, ['would-blocks: 1 of at most 0']])
  })

  it('records an override with its reason', async () => {
    await using setting = await setUp()
    const body = { ...good, override: 'the fair opens tomorrow' }
    const { status, json } = await setting.ask('POST', '/rollout/promotions', { body })
    assert.deepEqual([status, json.unmet.length], [201, 3])
    const [stored] = setting.state.promotions(10)
    assert.deepEqual([stored?.isMet, stored?.override], [false, 'the fair opens tomorrow'])
  })

  it('a dry run answers the same and records nothing', async () => {
    await using setting = await setUp()
    const body = { ...good, dryRun: true }
    assert.equal((await setting.ask('POST', '/rollout/promotions', { body })).status, 409)
    setting.earn()
    const { status, json } = await setting.ask('POST', '/rollout/promotions', { body })
    assert.deepEqual([status, json.promotion.id], [200, null])
    assert.deepEqual(setting.state.promotions(10), [])
  })

  it('says so where the disk refuses the record: then nothing was promoted', async () => {
    await using setting = await setUp()
    setting.earn()
    refuseWrites(setting.database)
    const { status, json } = await setting.ask('POST', '/rollout/promotions', { body: good })
    assert.equal(status, 503)
    assert.match(json.error, /^cannot record a promotion: /)
  })

  const slips = [
    { name: 'an unknown policy', body: { ...good, policy: 'sined' }, status: 404 },
    { name: 'an unknown ring', body: { ...good, ring: 'gamma' }, status: 404 },
    { name: 'the mode that it has', body: { ...good, policy: 'attested' }, status: 409 },
    { name: 'mode off', body: { ...good, to: 'off' }, status: 400 },
    { name: 'an override without a reason', body: { ...good, override: '  ' }, status: 400 },
    { name: 'a reason of several lines', body: { ...good, override: 'a\nb' }, status: 400 },
    { name: 'a field that does not exist', body: { ...good, force: true }, status: 400 },
    { name: 'no JSON', body: 'policy=signed', status: 400 },
    { name: 'too much', body: { ...good, override: 'x'.repeat(9_000) }, status: 413 },
  ]
  for (const { name, body, status } of slips) {
    it(`${status}: ${name}`, async () => {
      await using setting = await setUp()
      const answer = await setting.ask('POST', '/rollout/promotions', { body })
      assert.equal(answer.status, status, JSON.stringify(answer.json))
      assert.notEqual(answer.json.error, '')
      assert.deepEqual(setting.state.promotions(10), [])
    })
  }
})

it('nothing of it is for a web page', async () => {
  await using setting = await setUp()
  setting.earn()
  const pages: Headers[] = [
    { origin: 'https://evil.test' },
    { 'sec-fetch-site': 'same-origin' },
    { host: 'rebound.test' },
  ]
  for (const headers of pages) {
    for (const [method, path] of [
      ['GET', '/rollout'],
      ['GET', '/rollout/promotions'],
      ['POST', '/rollout/promotions'],
    ] as const) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      const { status } = await setting.ask(method, path, {
        headers,
        ...(method === 'POST' ? { body: good } : {}),
      })
      assert.equal(status, 403, `${method} ${path} ${JSON.stringify(headers)}`)
    }
  }
  assert.deepEqual(setting.state.promotions(10), [])
  const plain = { ...good, override: 'why' }
  const form = await setting.ask('POST', '/rollout/promotions', {
    body: plain,
    headers: { 'content-type': 'text/plain' },
  })
  assert.equal(form.status, 415)
})
