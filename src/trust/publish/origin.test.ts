import assert from 'node:assert/strict'
import { cp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { createSigstore } from '../../testing/sigstore.ts'
import { createRepository, signOffline } from './testing/ceremony.ts'
import { createClient, serveDirectory } from './testing/client.ts'
import type { Publisher } from './testing/publisher.ts'

async function publishTrustedRoot(origin: Publisher): Promise<string> {
  const json = (await createSigstore()).trustedRootJson()
  await writeFile(origin.path('trusted_root.json'), json)
  await origin.must('targets', '--add', `trusted_root.json=${origin.path('trusted_root.json')}`)
  return json
}

suite('targets of an origin, published again', () => {
  test('verified, only when changed, and through its outage', async () => {
    await using origin = await createRepository()
    await using own = await createRepository()
    const first = await publishTrustedRoot(origin)
    const server = await serveDirectory(origin.published)
    await using ownServer = await serveDirectory(own.published)
    await using client = await createClient(ownServer.url, await readFile(join(own.published, '1.root.json')))
    const from = ['targets', '--from', server.url, '--from-root', join(origin.published, '1.root.json')]
    assert.match(await own.must(...from), /^published\n/)
    assert.equal(await client.get('trusted_root.json'), first)
    assert.match(await own.must(...from), /^no target has changed\n/)
    const second = await publishTrustedRoot(origin)
    assert.match(await own.must(...from), /^published\n/)
    assert.equal(await client.get('trusted_root.json'), second)

    await server[Symbol.asyncDispose]()
    const down = await own.run(...from)
    assert.equal(down.code, 2)
    assert.match(down.err, /the origin http:\/\/127\.0\.0\.1:\d+: /)
    await own.must('timestamp')
    assert.equal(await client.get('trusted_root.json'), second)
  })

  test('an origin that another root signs, or that goes back: refused, nothing published', async () => {
    await using origin = await createRepository()
    await using own = await createRepository()
    await using server = await serveDirectory(origin.published)
    await publishTrustedRoot(origin)
    const backup = await readFile(join(origin.published, 'timestamp.json'))
    await publishTrustedRoot(origin)
    const from = (root: string) => own.run('targets', '--from', server.url, '--from-root', root)
    const stranger = await from(join(own.published, '1.root.json'))
    assert.equal(stranger.code, 2)
    const root = join(origin.published, '1.root.json')
    assert.equal((await from(root)).code, 0)
    await writeFile(join(origin.published, 'timestamp.json'), backup)
    const before = await readdir(own.published)
    const back = await from(root)
    assert.equal(back.code, 2)
    assert.match(back.err, /less than current version/)
    assert.deepEqual(await readdir(own.published), before)
  })
})

/** The origin as it was, again, with nothing of what came since. */
async function restore(origin: Publisher, backup: string): Promise<void> {
  await rm(origin.published, { recursive: true })
  await cp(backup, origin.published, { recursive: true })
}

async function rotateOnlineKeys(origin: Publisher, version: number): Promise<void> {
  const roles = ['targets', 'snapshot', 'timestamp']
  await origin.keys(...roles.map((role) => `${role}-${version}`))
  const keys = roles.flatMap((role) => [`--${role}-key`, origin.path(`${role}-${version}.pem`)])
  await origin.must('rotate-root', ...keys)
  await signOffline(origin, version, 'alice', 'bob')
}

suite('roots of the origin that were seen', () => {
  for (const first of [1, 2]) {
    test(`hidden by somebody on the way, after a run from root ${first}: revoked keys stay revoked`, async () => {
      await using origin = await createRepository()
      await using own = await createRepository()
      await using server = await serveDirectory(origin.published)
      await publishTrustedRoot(origin)
      await cp(origin.published, origin.path('signed-by-revoked-keys'), { recursive: true })
      await rotateOnlineKeys(origin, 2)
      await publishTrustedRoot(origin)
      const from = async (version: number) => {
        const root = origin.path(`from-${version}.json`)
        return await own.run('targets', '--from', server.url, '--from-root', root)
      }
      for (const version of [1, 2]) {
        await cp(join(origin.published, `${version}.root.json`), origin.path(`from-${version}.json`))
      }
      assert.equal((await from(first)).code, 0)
      const before = await readdir(own.published)
      await restore(origin, origin.path('signed-by-revoked-keys'))
      for (const _ of ['once', 'twice']) {
        const hidden = await from(1)
        assert.equal(hidden.code, 2)
        assert.match(hidden.err, /timestamp was signed by 0\/1 keys|root 2 was seen before/)
        assert.deepEqual(await readdir(own.published), before)
      }
    })
  }

  test("another origin's root by mistake: refused, and nothing forgotten", async () => {
    await using origin = await createRepository()
    await using own = await createRepository()
    await using server = await serveDirectory(origin.published)
    await publishTrustedRoot(origin)
    const backup = await readFile(join(origin.published, 'timestamp.json'))
    await rotateOnlineKeys(origin, 2)
    await publishTrustedRoot(origin)
    const from = async (root: string) =>
      await own.run('targets', '--from', server.url, '--from-root', join(root, '1.root.json'))
    assert.equal((await from(origin.published)).code, 0)
    const mistaken = await from(own.published)
    assert.equal(mistaken.code, 1)
    assert.match(mistaken.err, /--from-root does not lead to what was verified from this origin before/)
    await rm(join(origin.published, '2.root.json'))
    await writeFile(join(origin.published, 'timestamp.json'), backup)
    assert.match((await from(origin.published)).err, /timestamp was signed by 0\/1 keys/)
  })
})

suite('what --from takes', () => {
  test('what the origin says a target is for', async () => {
    await using origin = await createRepository()
    await using own = await createRepository()
    await using server = await serveDirectory(origin.published)
    await writeFile(origin.path('rekor.pub'), 'a key')
    const add = ['--add', `rekor.pub=${origin.path('rekor.pub')}`, '--usage', 'rekor.pub=Rekor,Expired']
    await origin.must('targets', ...add)
    const root = join(origin.published, '1.root.json')
    await own.must('targets', '--from', server.url, '--from-root', root, '--name', 'rekor.pub')
    const targets = JSON.parse(await readFile(join(own.published, '2.targets.json'), 'utf8'))
    const custom = { sigstore: { usage: 'Rekor', status: 'Expired' } }
    assert.deepEqual(targets.signed.targets['rekor.pub'].custom, custom)
    const missing = await own.run('targets', '--from', server.url, '--from-root', root)
    assert.equal(missing.code, 3)
    assert.match(missing.err, /the origin has no target trusted_root\.json/)
  })

  test('a redirect is not followed', async () => {
    await using origin = await createRepository()
    await using own = await createRepository()
    const server = createServer((_request, response) => {
      response.writeHead(302, { location: 'http://127.0.0.1:1/elsewhere' }).end()
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const address = server.address()
    assert.ok(typeof address === 'object' && address !== null)
    const url = `http://127.0.0.1:${address.port}`
    const root = join(origin.published, '1.root.json')
    const { code, err } = await own.run('targets', '--from', url, '--from-root', root)
    server.close()
    server.closeAllConnections()
    assert.equal(code, 2)
    assert.match(err, /2\.root\.json answered 302: redirects are not followed/)
  })

  const wrong: readonly (readonly [name: string, url: string, root: string, says: RegExp])[] = [
    ['no URL', 'somewhere', 'root.json', /--from somewhere: expected the URL of a TUF repository/],
    ['a file', 'file:///etc', 'root.json', /--from file:\/\/\/etc: expected the URL/],
    ['no root', 'http://127.0.0.1:1', 'root.json', /initial root of .*: not the root\.json of a TUF/],
  ]
  for (const [name, url, root, says] of wrong) {
    test(`${name}: wrong usage`, async () => {
      await using own = await createRepository()
      await writeFile(own.path(root), '{}')
      const { code, err } = await own.run('targets', '--from', url, '--from-root', own.path(root))
      assert.equal(code, 3)
      assert.match(err, says)
    })
  }
})
