import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite, test, type TestContext } from 'node:test'
import { initTUF } from '@sigstore/tuf'
import { createSigstore } from '../../src/testing/sigstore.ts'
import { createTufRepository, type TufRepository } from '../../src/testing/tuf-repository.ts'
import { publishSigned, startHarness, uniqueImage, type Harness } from './harness.ts'
import { errorOf, requestTo } from './http.ts'

/** A trust root that comes by TUF, renewed, rotated and served again while the proxy runs. */

const TARGET = 'trusted_root.json'
const never = new AbortController().signal

type Fixture = { readonly repository: TufRepository; readonly harness: Harness; readonly directory: string }

async function start(context: TestContext): Promise<Fixture> {
  const directory = await mkdtemp(join(tmpdir(), 'trust-'))
  const stranger = await createSigstore()
  const repository = await createTufRepository({ targets: { [TARGET]: stranger.trustedRootJson() } })
  const root = join(directory, 'root.json')
  await writeFile(root, repository.root())
  const roots = { test: { kind: 'tuf', url: repository.url, root } }
  const harness = await startHarness({ config: { trust: { roots, refresh: 'off' } } })
  context.after(async () => {
    await harness[Symbol.asyncDispose]()
    await repository.close()
    await rm(directory, { recursive: true })
  })
  const fixture = { repository, harness, directory }
  await renew(fixture)
  return fixture
}

async function renew({ harness }: Fixture): Promise<ReadonlyMap<string, string>> {
  return await harness.running().deps.trust.refresh('all', never)
}

function trustHarness({ repository, harness }: Fixture): void {
  repository.publish({ [TARGET]: harness.sigstore.trustedRootJson() })
}

suite('trust by TUF', () => {
  test('a new root counts from the next request on, an old one no more, and an outage changes nothing', async (context) => {
    const fixture = await start(context)
    const { harness, repository } = fixture
    await publishSigned(harness, { repository: 'enforced/app', image: uniqueImage('rotated') })
    const refused = await harness.get('/v2/enforced/app/manifests/v1')
    assert.equal(refused.status, 403)

    trustHarness(fixture)
    assert.deepEqual([...(await renew(fixture))], [])
    assert.equal((await harness.get('/v2/enforced/app/manifests/v1')).status, 200)

    await repository.fault('refused')
    assert.match((await renew(fixture)).get('test') ?? '', /ECONNREFUSED/)
    assert.equal((await harness.get('/v2/enforced/app/manifests/v1')).status, 200)
    await harness.registry.stop()
    await harness.restart()
    assert.equal((await harness.get('/v2/enforced/app/manifests/v1')).status, 200)

    await repository.fault(undefined)
    repository.publish({ [TARGET]: (await createSigstore()).trustedRootJson() })
    await renew(fixture)
    // From evidence on disk, with the registry still gone: what the new root does not vouch for cannot be determined.
    const held = await harness.get('/v2/enforced/app/manifests/v1')
    assert.equal(held.status, 503)
    assert.match(errorOf(held).message, /^held by policy signed: /)
  })

  test('the repository is served again, and a TUF client lives off it while its origin is gone', async (context) => {
    const fixture = await start(context)
    const { harness, repository, directory } = fixture
    trustHarness(fixture)
    repository.rotate('timestamp')
    repository.rotate('root')
    await renew(fixture)
    await repository.fault('refused')
    for (const [path, bytes] of repository.files) {
      if (/targets|snapshot/.test(path) && !path.startsWith('targets/')) continue
      // oxlint-disable-next-line no-await-in-loop -- one after the other reads better when one fails
      const reply = await harness.get(`/tuf/test/${path}`)
      if (reply.status === 200) assert.deepEqual(reply.body, bytes, path)
      else assert.ok(path.startsWith('targets/'), path)
    }
    const client = await initTUF({
      cachePath: join(directory, 'client'),
      rootPath: join(directory, 'root.json'),
      mirrorURL: `http://127.0.0.1:${harness.port()}/tuf/test`,
      retry: false,
      timeout: 2000,
    })
    assert.equal(await client.getTarget(TARGET), harness.sigstore.trustedRootJson())
    assert.equal((await harness.get('/tuf/test/99.root.json')).status, 404)
    assert.equal((await harness.get('/tuf/other/timestamp.json')).status, 404)
    assert.equal((await harness.request('POST', '/tuf/test/timestamp.json')).status, 405)
  })

  test('a document that is no trust root is refused as a whole', async (context) => {
    const fixture = await start(context)
    const { harness, repository } = fixture
    trustHarness(fixture)
    await renew(fixture)
    repository.publish({ [TARGET]: '{"mediaType":"nonsense"}' })
    assert.match((await renew(fixture)).get('test') ?? '', /trust root test: malformed/)
    await publishSigned(harness, { repository: 'enforced/app', image: uniqueImage('kept') })
    assert.equal((await harness.get('/v2/enforced/app/manifests/v1')).status, 200)
    const served = await harness.get(`/tuf/test/timestamp.json`)
    assert.notDeepEqual(served.body, repository.files.get('timestamp.json'))
  })

  test('the admin listener shows it, renews it on request, and takes nothing from a web page', async (context) => {
    const fixture = await start(context)
    const { harness } = fixture
    trustHarness(fixture)
    const { port } = harness.running().admin.address
    const headers = { 'content-type': 'application/json', 'content-length': '2' }
    const ask = async (method: string, target: string, more: Record<string, string> = {}) =>
      await requestTo(port, {
        method,
        target,
        headers: { ...headers, ...more },
        ...(method === 'POST' ? { body: '{}' } : {}),
      })
    assert.equal((await ask('POST', '/trust/refresh', { origin: 'https://evil.example' })).status, 403)
    assert.equal((await ask('GET', '/trust', { host: 'evil.example' })).status, 403)
    const before = await ask('GET', '/trust/test/document')
    const renewed = await ask('POST', '/trust/refresh')
    assert.deepEqual([renewed.status, JSON.parse(renewed.body.toString()).failed], [200, {}])
    const after = await ask('GET', '/trust/test/document')
    assert.notDeepEqual(before.body, after.body)
    assert.equal(after.body.toString(), harness.sigstore.trustedRootJson())
    const { sources } = JSON.parse((await ask('GET', '/trust')).body.toString())
    assert.deepEqual([sources[0].name, sources[0].state], ['test', 'fresh'])
  })
})
