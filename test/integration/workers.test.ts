import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { digestOf } from '../../src/oci/digest.ts'
import { publish, publishSigned, RELEASE, uniqueImage, uniqueIndex } from './harness.ts'
import { startProcesses, type Client, type ProcessHarness } from './process-harness.ts'

/** A keeper and two workers as real processes. */

const CONFIG = {
  workers: 2,
  cache: { tagTtl: '1h', violatedTtl: '1h' },
  policies: { directory: 'policies', reloadEvery: 'off', defaultStance: 'open' },
  outages: { openImagesMax: 3, reviewEvery: '1h' },
}

const BOTH = [1, 2] as const

describe('two workers', () => {
  let harness: ProcessHarness
  let clients: ReadonlyMap<number, Client>
  const of = (worker: 1 | 2): Client => clients.get(worker)!

  async function statuses(target: string): Promise<number[]> {
    return await Promise.all(BOTH.map(async (worker) => (await of(worker)('GET', target)).status))
  }

  before(async () => {
    harness = await startProcesses(CONFIG)
    clients = await harness.clients(2)
  })
  after(async () => await harness[Symbol.asyncDispose]())

  test('both serve what is signed and refuse what is not', async () => {
    await publishSigned(harness, { repository: 'enforced/signed', image: uniqueImage('signed') })
    publish(harness, { repository: 'enforced/unsigned', image: uniqueImage('unsigned') })
    assert.deepEqual(await statuses('/v2/enforced/signed/manifests/v1'), [200, 200])
    assert.deepEqual(await statuses('/v2/enforced/unsigned/manifests/v1'), [403, 403])
  })

  test('the document of a refusal that one names, the other has', async () => {
    publish(harness, { repository: 'enforced/stopped', image: uniqueImage('stopped') })
    const headers = { 'user-agent': 'containerd/2.1.0' }
    const target = '/v2/enforced/stopped/manifests'
    const head = await of(1)('HEAD', `${target}/v1`, { headers })
    assert.equal(head.status, 200)
    const document = `${target}/${head.headers['docker-content-digest']}`
    // It is told, not waited for: until it has come, the other has no such manifest.
    let get = await of(2)('GET', document, { headers })
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    while (get.status === 404) get = await of(2)('GET', document, { headers })
    assert.equal(get.status, 403)
    assert.match(get.body.toString(), /blocked by policy signed/)
  })

  test('what one has fetched, the other has', async () => {
    const { image } = await publishSigned(harness, {
      repository: 'enforced/shared',
      image: uniqueImage('shared'),
    })
    const target = `/v2/enforced/shared/manifests/${image.digest}`
    const blob = `/v2/enforced/shared/blobs/${digestOf(image.config)}`
    assert.equal((await of(1)('GET', target)).status, 200)
    assert.equal((await of(1)('GET', blob)).status, 200)
    harness.registry.requests.length = 0
    assert.deepEqual((await of(2)('GET', target)).body, image.manifest)
    assert.deepEqual((await of(2)('GET', blob)).body, image.config)
    assert.deepEqual(harness.registry.requests, [])
  })

  test('an index that one has let through covers its children in the other, whatever was held against them', async () => {
    const repository = 'enforced/index'
    const index = uniqueIndex('covered')
    const place = publish(harness, { repository, image: index })
    const [child] = index.images
    const childTarget = `/v2/${repository}/manifests/${child!.digest}`
    const indexTarget = `/v2/${repository}/manifests/${index.digest}`
    assert.equal((await of(2)('GET', indexTarget)).status, 403)
    assert.equal((await of(2)('GET', childTarget)).status, 403)
    await publishSigned(harness, { ...place, image: index })
    assert.equal((await of(1)('GET', indexTarget)).status, 200)
    assert.equal((await of(2)('GET', childTarget)).status, 200)
    assert.equal((await of(2)('GET', indexTarget)).status, 200)
  })

  test('a tag is asked for once for both', async () => {
    const repository = 'enforced/tagged'
    const { digest } = await publishSigned(harness, { repository, image: uniqueImage('tagged') })
    const target = `/v2/${repository}/manifests/v1`
    assert.equal((await of(1)('HEAD', target)).headers['docker-content-digest'], digest)
    harness.registry.requests.length = 0
    assert.equal((await of(2)('HEAD', target)).headers['docker-content-digest'], digest)
    assert.deepEqual(harness.registry.requests, [])
  })

  test('a reload that is answered is in force in both', async () => {
    publish(harness, { repository: 'observed/app', image: uniqueImage('observed') })
    const target = '/v2/observed/app/manifests/v1'
    assert.deepEqual(await statuses(target), [200, 200])
    await harness.editPolicies((text) => text.replaceAll('"mode":"observe"', '"mode":"enforce"'))
    assert.equal((await harness.admin('POST', '/policies/reload')).status, 200)
    assert.deepEqual(await statuses(target), [403, 403])
  })

  test('a revocation that is answered is in force in both', async () => {
    const { digest } = await publishSigned(harness, {
      repository: 'enforced/revoked',
      image: uniqueImage('revoked'),
    })
    const target = `/v2/enforced/revoked/manifests/${digest}`
    assert.deepEqual(await statuses(target), [200, 200])
    await harness.editPolicies((text) => `${text}\n---\n${JSON.stringify(revocation(digest))}`)
    assert.equal((await harness.admin('POST', '/policies/reload')).status, 200)
    assert.deepEqual(await statuses(target), [403, 403])
  })

  test('a drill that has begun takes the registry from both, and what has ended does not', async () => {
    await publishSigned(harness, { repository: 'enforced/drilled', image: uniqueImage('drilled') })
    const drill = { dependencies: ['registry'], seconds: 60, confirm: ['registry'] }
    assert.equal((await harness.admin('POST', '/drill', drill)).status, 201)
    assert.deepEqual(await statuses('/v2/enforced/drilled/manifests/v1'), [503, 503])
    assert.equal((await harness.admin('DELETE', '/drill')).status, 200)
    assert.deepEqual(await statuses('/v2/enforced/drilled/manifests/v1'), [200, 200])
  })

  test('the budget of stance open is one', async () => {
    const images = Array.from({ length: 8 }, (_, index) => uniqueImage(`open ${index}`))
    for (const [index, image] of images.entries())
      publish(harness, { repository: 'enforced/open', tag: `v${index}`, image })
    harness.registry.behave(({ url }) => (/referrers|sha256-/.test(url) ? { status: 503 } : undefined))
    const answers = await Promise.all(
      images.map((image, index) =>
        of(index % 2 === 0 ? 1 : 2)('GET', `/v2/enforced/open/manifests/${image.digest}`),
      ),
    )
    harness.registry.behave(undefined)
    const count = (status: number): number => answers.filter((answer) => answer.status === status).length
    assert.deepEqual([count(200), count(503)], [3, 5])
    assert.match((await harness.admin('GET', '/metrics')).body.toString(), /^portcullis_open_admissions 3$/m)
  })

  test('figures are those of all, and do not fall when a worker is killed; the other serves meanwhile', async () => {
    const target = '/v2/enforced/signed/manifests/v1'
    const served = async (): Promise<number> => {
      const text = (await harness.admin('GET', '/metrics')).body.toString()
      const lines = text.matchAll(/^portcullis_http_requests_total\{.*status="200".*\} (\d+)$/gm)
      return [...lines].reduce((sum, [, value]) => sum + Number(value), 0)
    }
    const before = await served()
    assert.deepEqual(await statuses(target), [200, 200])
    assert.equal(await served(), before + 2)

    const { pid } = await harness.logged(({ kind, worker }) => kind === 'listening' && worker === 1)
    process.kill(Number(pid), 'SIGKILL')
    await harness.logged(({ kind, pid: ended }) => kind === 'ended' && ended === pid)
    assert.equal((await of(2)('GET', target)).status, 200)
    await harness.logged(
      ({ kind, worker, pid: other }) => kind === 'listening' && worker === 1 && other !== pid,
    )
    assert.equal(await served(), before + 3)
    clients = await harness.clients(2)
    assert.deepEqual(await statuses(target), [200, 200])
    assert.match(
      (await harness.admin('GET', '/metrics')).body.toString(),
      /^portcullis_worker_exits_total\{how="signal"\} 1$/m,
    )
  })

  test('no worker outlives the keeper', async () => {
    const pids = new Set(
      harness.events().flatMap(({ kind, pid }) => (kind === 'listening' ? [Number(pid)] : [])),
    )
    const alive = (): number[] => [...pids].filter(isAlive)
    assert.equal(alive().length, 2)
    harness.signal('SIGKILL')
    assert.equal(await harness.ended, 'SIGKILL')
    while (alive().length > 0) await new Promise((resolve) => setImmediate(resolve))
  })
})

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

function revocation(digest: string): object {
  return {
    apiVersion: 'portcullis.dev/v1alpha1',
    kind: 'Revocation',
    metadata: { name: 'incident' },
    spec: { reason: `taken over: ${RELEASE}`, deny: [{ digest }] },
  }
}
