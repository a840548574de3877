import assert from 'node:assert/strict'
import { request } from 'node:http'
import { text } from 'node:stream/consumers'
import { describe, it } from 'node:test'
import { Drills } from '../drill.ts'
import { parseImageReference } from '../oci/reference.ts'
import { RecentPulls, type JudgeFresh } from '../replay.ts'
import { refusePages } from './cross-site.ts'
import { createDrillRoutes } from './drill.ts'
import { serveRoutes } from './testing/serve-routes.ts'

/** Every field of every answer. */
type Told = {
  drill: { dependencies: string[] }
  stopped: unknown
  report: unknown
  error: string
}

async function setUp(judgeFresh: JudgeFresh = () => Promise.resolve({ outcome: 'hold', why: 'registry' })) {
  const clock = { ms: Date.UTC(2026, 0, 1) }
  const drills = new Drills({ now: () => new Date(clock.ms) })
  const recent = new RecentPulls(() => clock.ms)
  const replayLimit = () => new AbortController().signal
  const routes = createDrillRoutes(
    { drills, recent: async () => await Promise.resolve(recent.list()), judgeFresh, replayLimit },
    refusePages(new Set(['edge.internal'])),
  )
  const server = await serveRoutes(routes)
  const ask = async (method: string, path: string, init: { body?: unknown; headers?: Headers } = {}) => {
    const body = typeof init.body === 'string' ? init.body : JSON.stringify(init.body)
    const headers: Headers = { 'content-type': 'application/json', ...init.headers }
    const length: Headers =
      'transfer-encoding' in headers ? {} : { 'content-length': String(Buffer.byteLength(body ?? '')) }
    return await new Promise<{ status: number | undefined; json: Told }>((resolve, reject) => {
      const outgoing = request(`${server.url}${path}`, { method, headers: { ...length, ...headers } })
      outgoing.on('error', reject)
      outgoing.on('response', (incoming) => {
        text(incoming)
          .then((said) => resolve({ status: incoming.statusCode, json: JSON.parse(said) as Told }))
          .catch(reject)
      })
      outgoing.end(body)
    })
  }
  return { drills, recent, routes, ask, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() }
}

type Headers = Record<string, string>

const good = { dependencies: ['registry', 'kms'], seconds: 300, confirm: ['kms', 'registry'], by: 'ada' }

it('starts, tells of, and ends a drill', async () => {
  await using setting = await setUp()
  const { drills, ask } = setting
  assert.deepEqual((await ask('GET', '/drill')).json, { drill: null })
  const started = await ask('POST', '/drill', { body: good })
  assert.equal(started.status, 201)
  assert.deepEqual(started.json.drill, {
    dependencies: ['registry', 'kms'],
    by: 'ada at 127.0.0.1',
    startedAt: '2026-01-01T00:00:00.000Z',
    endsAt: '2026-01-01T00:05:00.000Z',
  })
  assert.equal(drills.isDown('kms'), true)
  assert.deepEqual((await ask('GET', '/drill')).json, { drill: started.json.drill })
  assert.deepEqual((await ask('DELETE', '/drill')).json, { stopped: started.json.drill })
  assert.equal(drills.isDown('kms'), false)
  assert.deepEqual((await ask('DELETE', '/drill')).json, { stopped: null })
})

it('one at a time', async () => {
  await using setting = await setUp()
  const { ask } = setting
  await ask('POST', '/drill', { body: good })
  const { status, json } = await ask('POST', '/drill', { body: good })
  assert.equal(status, 409)
  assert.match(json.error, /^a drill is running already: registry, kms until .*, started by ada at /)
})

describe('what starts nothing', () => {
  const cases: [string, unknown, number, RegExp][] = [
    ['no confirmation', { ...good, confirm: undefined }, 400, /^confirm: /],
    [
      'half a confirmation',
      { ...good, confirm: ['kms'] },
      400,
      /^confirm: .*\["registry","kms"\]; nothing was/,
    ],
    ['another confirmation', { ...good, confirm: ['registry', 'rekor'] }, 400, /^confirm: /],
    ['nothing to take away', { ...good, dependencies: [], confirm: [] }, 400, /^dependencies: /],
    [
      'an unknown dependency',
      { ...good, dependencies: ['dns'], confirm: ['dns'] },
      400,
      /^dependencies\.0: /,
    ],
    [
      'the same twice',
      { ...good, dependencies: ['kms', 'kms'], confirm: ['kms', 'kms'] },
      400,
      /each name once/,
    ],
    ['more than an hour', { ...good, seconds: 3_601 }, 400, /^seconds: /],
    ['no time', { ...good, seconds: 0 }, 400, /^seconds: /],
    ['half a second', { ...good, seconds: 0.5 }, 400, /^seconds: /],
    ['a line break in a name', { ...good, by: 'a\nb' }, 400, /^by: /],
    ['an unknown field', { ...good, force: true }, 400, /force/],
    ['no object', [], 400, /./],
    ['no JSON', '{', 400, /not JSON/],
    ['a large body', { ...good, by: 'x'.repeat(5_000) }, 413, /4096 bytes/],
  ]

  it('a body of unknown length', async () => {
    await using setting = await setUp()
    const headers = { 'transfer-encoding': 'chunked' }
    assert.equal((await setting.ask('POST', '/drill', { body: good, headers })).status, 411)
    assert.equal(setting.drills.status(), undefined)
  })

  for (const [name, body, status, says] of cases) {
    it(name, async () => {
      await using setting = await setUp()
      const { drills, ask } = setting
      const answer = await ask('POST', '/drill', { body })
      assert.equal(answer.status, status)
      assert.match(answer.json.error, says)
      assert.equal(drills.status(), undefined)
    })
  }

  for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data']) {
    it(`as "${type}"`, async () => {
      await using setting = await setUp()
      const { drills, ask } = setting
      assert.equal(
        (await ask('POST', '/drill', { body: good, headers: { 'content-type': type } })).status,
        415,
      )
      assert.equal(drills.status(), undefined)
    })
  }
})

describe('requests of web pages', () => {
  const marks: Record<string, string>[] = [
    { origin: 'https://evil.example' },
    { origin: 'null' },
    { origin: 'http://127.0.0.1:5001' },
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-origin' },
    { host: 'evil.example' },
    { host: 'evil.example:5001' },
    { host: '127.0.0.1.evil.example' },
    { host: 'x' },
  ]
  for (const host of ['127.0.0.1', '[::1]:5001', 'localhost:5001', 'edge.internal:5001']) {
    it(`asked as ${host}: no page`, async () => {
      await using setting = await setUp()
      assert.equal((await setting.ask('GET', '/drill', { headers: { host } })).status, 200)
    })
  }
  for (const headers of marks) {
    it(`${JSON.stringify(headers)} does nothing`, async () => {
      await using setting = await setUp()
      const { drills, ask } = setting
      assert.equal((await ask('POST', '/drill', { body: good, headers })).status, 403)
      assert.equal(drills.status(), undefined)
      await ask('POST', '/drill', { body: good })
      assert.equal((await ask('DELETE', '/drill', { headers })).status, 403)
      assert.equal((await ask('POST', '/drill/replay', { headers })).status, 403)
      assert.notEqual(drills.status(), undefined)
    })
  }
})

describe('replay', () => {
  const image = parseImageReference('r.test/app:v1') ?? assert.fail()
  const ring = { name: 'default', stanceLimit: undefined }

  it('reports what recent pulls would come to', async () => {
    await using setting = await setUp()
    const { recent, ask } = setting
    recent.note({ ...image, client: '10.0.0.1', ring, isServed: true })
    await ask('POST', '/drill', { body: good })
    const { status, json } = await ask('POST', '/drill/replay')
    assert.equal(status, 200)
    assert.deepEqual(json.drill.dependencies, ['registry', 'kms'])
    assert.deepEqual(json.report, {
      counts: { serve: 0, admitted: 0, hold: 1, refuse: 0 },
      left: 0,
      findings: [
        {
          kind: 'lost',
          image: 'r.test/app:v1',
          ring: 'default',
          clients: 1,
          lastAt: '2026-01-01T00:00:00.000Z',
          outcome: 'hold',
          why: 'registry',
        },
      ],
    })
  })

  it('many at once are one', async () => {
    const judged = { count: 0 }
    const first = Promise.withResolvers<void>()
    await using setting = await setUp(async () => {
      judged.count += 1
      await first.promise
      return { outcome: 'serve', why: '' }
    })
    const { recent, routes } = setting
    recent.note({ ...image, client: '10.0.0.1', ring, isServed: true })
    const ask = async () =>
      await routes.request('/drill/replay', { method: 'POST', headers: { host: 'localhost' } })
    const replays = [ask(), ask(), ask()]
    first.resolve()
    await Promise.all(replays)
    assert.equal(judged.count, 1)
    await ask()
    assert.equal(judged.count, 2)
  })
})
