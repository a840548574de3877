import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { initTUF } from '@sigstore/tuf'
import { createMirrorUnderTest, never } from '../../testing/tuf-mirror.ts'
import { createTufRepository } from '../../testing/tuf-repository.ts'
import type { TufMirror } from './mirror.ts'

const TARGETS = { 'trusted_root.json': '{"v":1}' }
const DELEGATION = { name: 'npm', paths: ['npm/*'], targets: { 'npm/keys.json': '{"keys":[]}' } }

type Downstream = AsyncDisposable & {
  readonly asked: string[]
  /** A new client, with that root and an empty cache. */
  get(target: string, root: Buffer): Promise<string>
}

/** What lives off our mirror, over HTTP: the TUF client that every Sigstore tool in JavaScript has. */
async function startDownstream(mirror: TufMirror): Promise<Downstream> {
  const asked: string[] = []
  const directory = await mkdtemp(join(tmpdir(), 'tuf-downstream-'))
  const server = createServer((request, response) => {
    const path = decodeURIComponent((request.url ?? '/').slice(1))
    asked.push(path)
    const found = mirror.file(path)
    response.writeHead(found === undefined ? 404 : 200).end(found?.bytes)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  return {
    asked,
    async get(target, root) {
      const cachePath = await mkdtemp(join(directory, 'cache-'))
      const rootPath = join(cachePath, 'initial.json')
      await writeFile(rootPath, root)
      const client = await initTUF({
        cachePath,
        rootPath,
        mirrorURL: `http://127.0.0.1:${port}`,
        retry: false,
        timeout: 5_000,
      })
      return await client.getTarget(target)
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
      await rm(directory, { recursive: true, force: true })
    },
  }
}

suite('file', () => {
  test('is the repository, byte for byte, and nothing else', async () => {
    await using repository = await createTufRepository({ targets: TARGETS, delegation: DELEGATION })
    await using under = await createMirrorUnderTest(repository)
    repository.rotate('timestamp')
    const mirror = await under.open()
    assert.equal(mirror.file('1.root.json'), undefined)
    await mirror.refresh(never())
    const mutable = new Set(['timestamp.json'])
    for (const [path, bytes] of repository.files) {
      assert.deepEqual(mirror.file(path), { bytes, isImmutable: !mutable.has(path) }, path)
    }
    assert.deepEqual(mirror.file('root.json'), { bytes: repository.root(2), isImmutable: false })
    for (const path of [
      '',
      'index',
      '0.root.json',
      '3.root.json',
      '../index',
      'targets',
      'snapshot.json',
      'constructor',
    ]) {
      assert.equal(mirror.file(path), undefined, path)
    }
  })

  test('still has what a client asks for that began before a new version', async () => {
    await using repository = await createTufRepository({ targets: TARGETS })
    await using under = await createMirrorUnderTest(repository)
    const mirror = await under.open()
    await mirror.refresh(never())
    repository.publish({ 'trusted_root.json': '{"v":2}' })
    await mirror.refresh(never())
    assert.deepEqual(mirror.file('1.snapshot.json')?.bytes, repository.files.get('1.snapshot.json'))
    repository.renew()
    await mirror.refresh(never())
    await mirror.refresh(never())
    assert.equal(mirror.file('1.snapshot.json'), undefined)
  })
})

suite('a TUF client that knows our mirror alone', () => {
  test('gets targets and delegated targets, from any root since our first', async () => {
    await using repository = await createTufRepository({ targets: TARGETS, delegation: DELEGATION })
    await using under = await createMirrorUnderTest(repository)
    repository.rotate('root')
    repository.rotate('timestamp')
    repository.renewRoot()
    const mirror = await under.open({ initialRoot: repository.root(2) })
    await mirror.refresh(never())
    await repository.close()
    await using downstream = await startDownstream(mirror)
    for (const version of [2, 3, 4]) {
      assert.equal(await downstream.get('trusted_root.json', repository.root(version)), '{"v":1}')
    }
    assert.equal(await downstream.get('npm/keys.json', repository.root(2)), '{"keys":[]}')
    assert.deepEqual(downstream.asked.slice(0, 3), ['3.root.json', '4.root.json', '5.root.json'])
    const again = await under.open({ initialRoot: repository.root(2) })
    assert.deepEqual(again.file('3.root.json')?.bytes, repository.root(3))
  })

  test('lives off a mirror of the mirror', async () => {
    await using repository = await createTufRepository({ targets: TARGETS, delegation: DELEGATION })
    await using first = await createMirrorUnderTest(repository)
    const mirror = await first.open()
    await mirror.refresh(never())
    await repository.close()
    const server = createServer((request, response) => {
      const found = mirror.file(decodeURIComponent((request.url ?? '/').slice(1)))
      response.writeHead(found === undefined ? 404 : 200).end(found?.bytes)
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const address = server.address()
    assert.ok(typeof address === 'object' && address !== null)
    await using second = await createMirrorUnderTest({
      url: `http://127.0.0.1:${address.port}`,
      root: (version) => repository.root(version),
    })
    const edge = await second.open()
    await edge.refresh(never())
    server.close()
    server.closeAllConnections()
    assert.equal(edge.state()?.version, mirror.state()?.version)
    assert.equal(edge.target('npm/keys.json')?.toString(), '{"keys":[]}')
  })

  test('refuses what has expired, as our state says it will', async () => {
    await using repository = await createTufRepository({ targets: TARGETS })
    await using under = await createMirrorUnderTest(repository)
    const ends = new Date(Date.now() - 3_600_000)
    repository.renew({ expires: { timestamp: ends } })
    under.setNow(new Date(ends.getTime() - 1_000))
    const mirror = await under.open()
    await mirror.refresh(never())
    assert.equal(mirror.state()?.expiresAt.getTime(), Math.floor(ends.getTime() / 1_000) * 1_000)
    assert.equal(mirror.target('trusted_root.json')?.toString(), '{"v":1}')
    await using downstream = await startDownstream(mirror)
    await assert.rejects(downstream.get('trusted_root.json', repository.root()), /expired/)
  })
})
