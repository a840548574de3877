import assert from 'node:assert/strict'
import { cp, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { lockDirectory } from '../../store/lock.ts'
import { createRepository, signOffline } from './testing/ceremony.ts'
import { createClient, serveDirectory } from './testing/client.ts'
import type { Publisher } from './testing/publisher.ts'

/** No run writes more files than this. */
const RENAMES_MAX = 20

type Case = {
  readonly name: string
  readonly prepare?: (publisher: Publisher) => Promise<void>
  readonly command: (publisher: Publisher) => readonly string[]
  readonly before: string
  readonly after: string
}

/** Has the next root signed by everybody it needs, in copies that are only to be brought in. */
async function signedCopies(publisher: Publisher, ...rotation: string[]): Promise<void> {
  await publisher.must('rotate-root', ...rotation)
  await publisher.must('sign-root', '--key', publisher.path('alice.pem'))
}

const CASES: readonly Case[] = [
  {
    name: 'targets',
    prepare: ({ path }) => writeFile(path('greeting.txt'), 'new'),
    command: ({ path }) => ['targets', '--add', `greeting=${path('greeting.txt')}`],
    before: 'hello',
    after: 'new',
  },
  { name: 'timestamp', command: () => ['timestamp'], before: 'hello', after: 'hello' },
  {
    name: 'a root that only ends later',
    prepare: (publisher) => signedCopies(publisher, '--root-expires', '400d'),
    command: ({ path }) => ['sign-root', '--key', path('bob.pem')],
    before: 'hello',
    after: 'hello',
  },
  {
    name: 'a root that replaces every online key',
    prepare: async (publisher) => {
      await publisher.keys('t2', 's2', 'ts2')
      const { path } = publisher
      const online = ['--targets-key', path('t2.pem'), '--snapshot-key', path('s2.pem')]
      await signedCopies(publisher, ...online, '--timestamp-key', path('ts2.pem'))
    },
    command: ({ path }) => ['sign-root', '--key', path('bob.pem')],
    before: 'hello',
    after: 'hello',
  },
]

suite('killed between any two writes', () => {
  for (const { name, prepare, command, before, after } of CASES) {
    test(`${name}: clients old and new get a whole state, and the next run finishes`, async () => {
      await using publisher = await createRepository()
      const { repository, published } = publisher
      await using server = await serveDirectory(published)
      const root = await readFile(join(published, '1.root.json'))
      await prepare?.(publisher)
      const saved = publisher.path('saved')
      await cp(repository, saved, { recursive: true })

      let ended: number | undefined
      let renames = 0
      for (; ended !== 0 && renames < RENAMES_MAX; renames += 1) {
        await rm(repository, { recursive: true })
        await cp(saved, repository, { recursive: true })
        await using old = await createClient(server.url, root)
        await old.get('greeting')
        ended = (await publisher.killedAfter(renames, ...command(publisher))).code
        assert.equal(ended === 0 || ended === 2, true, `after ${renames}: ${ended}`)
        await using client = await createClient(server.url, root)
        assert.ok([before, after].includes(await client.get('greeting')), `after ${renames}`)
        assert.ok([before, after].includes(await old.get('greeting')), `old client after ${renames}`)
        await finish(publisher, command(publisher))
        assert.equal(await client.get('greeting'), after, `after ${renames}, finished`)
        assert.equal(await old.get('greeting'), after, `old client after ${renames}, finished`)
      }
      assert.equal(ended, 0)
      assert.ok(renames > 2, 'nothing was interrupted')
    })
  }

  /** The same command again, or, where it had got as far as it needed to, the daily one. */
  async function finish(publisher: Publisher, command: readonly string[]): Promise<void> {
    const again = await publisher.run(...command)
    if (again.code !== 0) await publisher.run('sign-root')
    await publisher.must('timestamp')
    assert.equal((await publisher.run('status')).code, 0)
  }

  test('a lost key leaves one gap: the daily run closes it', async () => {
    await using publisher = await createRepository()
    const { repository, published } = publisher
    await using server = await serveDirectory(published)
    const root = await readFile(join(published, '1.root.json'))
    const [, lost = ''] = /timestamp .* of (\w{8})/.exec((await publisher.run('status')).out) ?? []
    await publisher.keys('new')
    await publisher.must('rotate-root', '--lost', lost, '--timestamp-key', publisher.path('new.pem'))
    await publisher.must('sign-root', '--key', publisher.path('alice.pem'))
    const saved = publisher.path('saved')
    await cp(repository, saved, { recursive: true })
    let gaps = 0
    for (let renames = 0; ; renames += 1) {
      await rm(repository, { recursive: true })
      await cp(saved, repository, { recursive: true })
      const { code } = await publisher.killedAfter(renames, 'sign-root', '--key', publisher.path('bob.pem'))
      await using client = await createClient(server.url, root)
      const isRefused = await client.get('greeting').then(
        () => false,
        () => true,
      )
      if (isRefused) {
        gaps += 1
        assert.match((await publisher.run('status')).out, /clients refuse this repository .*timestamp/)
        await publisher.must('timestamp')
        assert.equal(await client.get('greeting'), 'hello')
      }
      if (code === 0) break
      assert.ok(renames < RENAMES_MAX)
    }
    assert.equal(gaps, 1)
  })

  test('two runs at once: the second one is told', async () => {
    await using publisher = await createRepository()
    const unlock = lockDirectory(publisher.repository)
    const { code, err } = await publisher.run('timestamp')
    unlock()
    assert.equal(code, 2)
    assert.match(err, /another run is at work in .*; wait for it to end/)
    assert.equal((await publisher.run('timestamp')).code, 0)
  })

  test('nothing staged is left after a root is out', async () => {
    await using publisher = await createRepository()
    await publisher.must('rotate-root')
    await signOffline(publisher, 2, 'alice', 'bob')
    const { code, err } = await publisher.run('sign-root')
    assert.equal(code, 1)
    assert.match(err, /no root is staged/)
  })
})
