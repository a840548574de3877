import assert from 'node:assert/strict'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, before, describe, test } from 'node:test'
import { digestOf } from '../../src/oci/digest.ts'
import { signImage } from '../../src/testing/evidence.ts'
import { errorOf, stableHeaders } from './http.ts'
import { gate, publish, publishSigned, uniqueImage, uniqueIndex } from './harness.ts'
import { startProcesses, type Client, type LogEvent, type ProcessHarness } from './process-harness.ts'

/** A keeper, one worker that serves, and one that pulls for it what nobody has judged yet, as real processes. */

const [SERVING, COLD] = [1, 2]

const CONFIG = {
  workers: 1,
  coldWorkers: 1,
  cache: { tagTtl: '1h', violatedTtl: '1h' },
  outages: { openImagesMax: 3, reviewEvery: '1h' },
  policies: { directory: 'policies', reloadEvery: 'off', defaultStance: 'open' },
  rings: [
    {
      name: 'canary',
      stanceLimit: 'closed',
      when: [{ header: { name: 'x-ring', value: 'canary', from: ['127.0.0.0/8'] } }],
    },
  ],
}

describe('a cold worker', () => {
  let harness: ProcessHarness
  let get: (target: string, headers?: Record<string, string>) => ReturnType<Client>
  let head: typeof get

  before(async () => {
    harness = await startProcesses(CONFIG)
    const client = (await harness.clients(1)).get(SERVING)!
    get = async (target, headers = {}) => await client('GET', target, { headers })
    head = async (target, headers = {}) => await client('HEAD', target, { headers })
  })
  after(async () => await harness[Symbol.asyncDispose]())

  /** What of a figure there is more after the work than before it. */
  async function more(figure: RegExp, work: () => Promise<unknown>): Promise<number> {
    const value = async (): Promise<number> => {
      const text = (await harness.admin('GET', '/metrics')).body.toString()
      return [...text.matchAll(figure)].reduce((sum, [, number]) => sum + Number(number), 0)
    }
    const first = await value()
    await work()
    return (await value()) - first
  }
  const HANDED_OVER = /^portcullis_pulls_handed_over_total\{result="answered"\} (\d+)$/gm
  const PULLS = /^portcullis_pull_duration_seconds_count\{.*\} (\d+)$/gm
  const REQUESTS = /^portcullis_http_requests_total\{.*route="manifest".*\} (\d+)$/gm
  const FIRST_DECISIONS = /^portcullis_decisions_recorded_total\{kind="first"\} (\d+)$/gm
  const CONTAINERD = { 'user-agent': 'containerd/2.1.0' }
  const requests = (target: string): readonly LogEvent[] =>
    harness.events().filter((event) => event['target'] === target)

  test('pulls what is asked for first; the next time it is not asked', async () => {
    const { image, digest } = await publishSigned(harness, {
      repository: 'enforced/signed',
      image: uniqueImage('signed'),
    })
    const target = '/v2/enforced/signed/manifests/v1'
    const handedOver = await more(HANDED_OVER, async () => {
      const { status, headers, body } = await get(target)
      assert.deepEqual([status, body, headers['docker-content-digest']], [200, image.manifest, digest])
    })
    assert.equal(handedOver, 1)
    harness.registry.requests.length = 0
    const again = await more(HANDED_OVER, async () => {
      for (const reference of ['v1', digest]) {
        const { status, body } = await get(`/v2/enforced/signed/manifests/${reference}`)
        assert.deepEqual([status, body], [200, image.manifest])
      }
      assert.deepEqual((await get(`/v2/enforced/signed/blobs/${digestOf(image.config)}`)).body, image.config)
    })
    assert.equal(again, 0)
    // Of the manifest nothing was asked again, and nothing that vouches for it.
    assert.deepEqual(
      harness.registry.requests.filter(({ url }) => !url.includes('/blobs/')),
      [],
    )
  })

  test('answers as the one that serves would have: the same head, with and without body', async () => {
    await publishSigned(harness, { repository: 'enforced/alike', image: uniqueImage('alike') })
    const target = '/v2/enforced/alike/manifests/v1?ns=hub'
    const [first, second, third] = [await head(target), await head(target), await get(target)]
    assert.deepEqual(stableHeaders(first), stableHeaders(second))
    assert.deepEqual(stableHeaders(first), stableHeaders(third))
    assert.equal(first.headers['oci-namespace'], 'hub')
  })

  test('a pull is one line of the log, one request and one pull, by whoever it was', async () => {
    await publishSigned(harness, { repository: 'enforced/once', image: uniqueImage('once') })
    const target = '/v2/enforced/once/manifests/v1'
    let asked = 0
    const pulls = await more(PULLS, async () => {
      asked = await more(REQUESTS, async () => await get(target))
    })
    assert.deepEqual([pulls, asked], [1, 1])
    await harness.logged((event) => event['target'] === target)
    const [line, ...others] = requests(target)
    assert.deepEqual(others, [])
    const { worker, client, status, cache, outcome } = line!
    assert.deepEqual(
      { worker, client, status, cache, outcome },
      {
        worker: SERVING,
        client: '127.0.0.1',
        status: 200,
        cache: 'cold',
        outcome: 'serve',
      },
    )
    const isDecided = ({ event, image }: LogEvent): boolean =>
      event === 'decision' && String(image).endsWith('/enforced/once')
    await harness.logged(isDecided)
    const decided = harness.events().filter(isDecided)
    assert.deepEqual(
      decided.map(({ worker: by }) => by),
      [COLD],
    )
  })

  test('a refusal is recorded once, and told again by the one that serves', async () => {
    const { digest } = publish(harness, { repository: 'enforced/unsigned', image: uniqueImage('unsigned') })
    const target = '/v2/enforced/unsigned/manifests/v1'
    const recorded = await more(FIRST_DECISIONS, async () => {
      const refused = await get(target)
      assert.equal(refused.status, 403)
      assert.match(refused.reasonPhrase, /blocked by policy signed/)
      assert.match(errorOf(refused).message, /blocked by policy signed/)
    })
    assert.equal(recorded, 1)
    harness.registry.requests.length = 0
    const again = await more(HANDED_OVER, async () => {
      assert.equal(await more(FIRST_DECISIONS, async () => await get(target)), 0)
      const byDigest = await head(`/v2/enforced/unsigned/manifests/${digest}`, CONTAINERD)
      assert.equal(byDigest.status, 300)
      assert.equal((await get(target)).status, 403)
    })
    assert.equal(again, 0)
    assert.deepEqual(harness.registry.requests, [])
  })

  test('a client that falls back is stopped by tag and by digest, with the document that says why', async () => {
    const { digest } = publish(harness, { repository: 'enforced/stopped', image: uniqueImage('stopped') })
    const byTag = await head('/v2/enforced/stopped/manifests/v1', CONTAINERD)
    const document = byTag.headers['docker-content-digest']
    assert.deepEqual([byTag.status, document === digest], [200, false])
    const refused = await get(`/v2/enforced/stopped/manifests/${document}`, CONTAINERD)
    assert.equal(refused.status, 403)
    assert.match(errorOf(refused).message, /blocked by policy signed/)

    const other = publish(harness, { repository: 'enforced/stopped2', image: uniqueImage('stopped 2') })
    const byDigest = await head(`/v2/enforced/stopped2/manifests/${other.digest}`, CONTAINERD)
    assert.equal(byDigest.status, 300)
    assert.match(byDigest.reasonPhrase, /blocked by policy signed/)
  })

  test('what it lets through has its layers from the one that serves, also where the disk takes nothing', async () => {
    const { image } = await publishSigned(harness, {
      repository: 'enforced/full',
      image: uniqueImage('full'),
    })
    using database = new DatabaseSync(join(harness.dataDirectory, 'portcullis.db'))
    database.exec(
      "CREATE TRIGGER full BEFORE INSERT ON closure BEGIN SELECT RAISE(ABORT, 'disk is full'); END",
    )
    try {
      assert.equal((await get('/v2/enforced/full/manifests/v1')).status, 200)
      const { status, body } = await get(`/v2/enforced/full/blobs/${digestOf(image.config)}`)
      assert.deepEqual([status, body], [200, image.config])
    } finally {
      database.exec('DROP TRIGGER full')
    }
  })

  test('an index covers its children, whoever was asked for it', async () => {
    const index = uniqueIndex('covered')
    const place = publish(harness, { repository: 'enforced/index', image: index })
    await signImage({ ...place }, harness.sigstore, harness.release)
    assert.equal((await get('/v2/enforced/index/manifests/v1')).status, 200)
    for (const child of index.images)
      assert.equal((await get(`/v2/enforced/index/manifests/${child.digest}`)).status, 200)
  })

  test('goes by the ring of who asks: held in one, admitted in another while nobody can judge', async () => {
    publish(harness, { repository: 'enforced/open', image: uniqueImage('open') })
    publish(harness, { repository: 'enforced/open2', image: uniqueImage('open 2') })
    harness.registry.behave(({ url }) => (/referrers|sha256-/.test(url) ? { status: 503 } : undefined))
    const handedOver = await more(HANDED_OVER, async () => {
      const held = await get('/v2/enforced/open/manifests/v1', { 'x-ring': 'canary' })
      assert.deepEqual([held.status, held.headers['retry-after']], [503, '5'])
      const admitted = await get('/v2/enforced/open2/manifests/v1')
      assert.equal(admitted.status, 200)
      assert.match(admitted.headers['warning'] ?? '', /^299 - /)
    })
    // What was admitted there is not judged here again for each layer.
    harness.registry.requests.length = 0
    const config = digestOf(uniqueImage('open 2').config)
    assert.equal((await get(`/v2/enforced/open2/blobs/${config}`)).status, 200)
    assert.deepEqual(
      harness.registry.requests.filter(({ url }) => !url.includes('/blobs/')),
      [],
    )
    harness.registry.behave(undefined)
    assert.equal(handedOver, 2)
    const line = await harness.logged(({ target }) => target === '/v2/enforced/open/manifests/v1')
    assert.equal(line['ring'], 'canary')
  })

  test('a reload that is answered counts for the very next pull, handed over or not', async () => {
    publish(harness, { repository: 'observed/known', image: uniqueImage('known') })
    publish(harness, { repository: 'observed/new', image: uniqueImage('new') })
    assert.equal((await get('/v2/observed/known/manifests/v1')).status, 200)
    await harness.editPolicies((text) => text.replaceAll('"mode":"observe"', '"mode":"enforce"'))
    assert.equal((await harness.admin('POST', '/policies/reload')).status, 200)
    const handedOver = await more(HANDED_OVER, async () => {
      assert.equal((await get('/v2/observed/known/manifests/v1')).status, 403)
      assert.equal((await get('/v2/observed/new/manifests/v1')).status, 403)
    })
    assert.equal(handedOver, 2)
  })

  test('one that is killed in the middle of a pull leaves no client without its answer', async () => {
    const { image } = await publishSigned(harness, {
      repository: 'enforced/killed',
      image: uniqueImage('killed'),
    })
    const asked = Promise.withResolvers<void>()
    const slow = gate()
    harness.registry.behave(async ({ url }) => {
      if (!url.includes('enforced/killed')) return undefined
      asked.resolve()
      await slow.opened
      return undefined
    })
    const pulling = get('/v2/enforced/killed/manifests/v1')
    await asked.promise
    const { pid } = await harness.logged(({ kind, role }) => kind === 'listening' && role === 'cold')
    process.kill(Number(pid), 'SIGKILL')
    await harness.logged(({ kind, pid: ended }) => kind === 'ended' && ended === pid)
    slow.open()
    const { status, body } = await pulling
    harness.registry.behave(undefined)
    assert.deepEqual([status, body], [200, image.manifest])

    await harness.logged(
      ({ kind, role, pid: other }) => kind === 'listening' && role === 'cold' && other !== pid,
    )
    publish(harness, { repository: 'enforced/after', image: uniqueImage('after') })
    const handedOver = await more(HANDED_OVER, async () => {
      assert.equal((await get('/v2/enforced/after/manifests/v1')).status, 403)
    })
    assert.equal(handedOver, 1)
  })

  test('is counted apart, has a directory of its own, and nothing of it stays', async () => {
    assert.equal((await harness.admin('GET', '/readyz')).body.toString(), 'ready\n')
    const text = (await harness.admin('GET', '/metrics')).body.toString()
    assert.match(text, /^portcullis_workers\{role="serving"\} 1$/m)
    assert.match(text, /^portcullis_workers\{role="cold"\} 1$/m)
    const directory = join(harness.dataDirectory, 'cold')
    assert.equal((await stat(directory)).mode & 0o777, 0o700)
    harness.signal('SIGTERM')
    assert.equal(await harness.ended, 0)
    await assert.rejects(stat(directory), { code: 'ENOENT' })
  })
})
