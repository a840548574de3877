import assert from 'node:assert/strict'
import { readFile, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { createSigstore } from '../../testing/sigstore.ts'
import { createRepository, initialize, signOffline } from './testing/ceremony.ts'
import { createPublisher, type Publisher } from './testing/publisher.ts'

type Refusal = {
  readonly name: string
  readonly args: (publisher: Publisher) => readonly string[]
  readonly code: number
  readonly says: RegExp
}

suite('targets', () => {
  const refused: readonly Refusal[] = [
    { name: 'a path that climbs', args: () => ['--add', '../x=f'], code: 3, says: /is no target name/ },
    { name: 'an absolute path', args: () => ['--add', '/x=f'], code: 3, says: /is no target name/ },
    { name: 'a hidden file', args: () => ['--add', 'a/.x=f'], code: 3, says: /is no target name/ },
    { name: 'no file', args: () => ['--add', 'x'], code: 3, says: /expected NAME=VALUE/ },
    { name: 'nothing of that name', args: () => ['--remove', 'x'], code: 3, says: /no target has that name/ },
    { name: 'the last one', args: () => ['--remove', 'greeting'], code: 3, says: /no target would be left/ },
    {
      name: 'an unknown usage',
      args: ({ path }) => ['--add', `f=${path('alice.pub')}`, '--usage', 'f=Notary'],
      code: 3,
      says: /expected Fulcio\|Rekor\|CTFE\|TSA/,
    },
    {
      name: 'a usage of nothing that is added',
      args: () => ['--usage', 'g=Rekor'],
      code: 3,
      says: /--usage g: add that target in the same run/,
    },
    {
      name: 'a trusted root that clients could not read',
      args: ({ path }) => ['--add', `trusted_root.json=${path('alice.pub')}`],
      code: 1,
      says: /trust root trusted_root\.json/,
    },
    {
      name: 'a signing config that clients could not read',
      args: ({ path }) => ['--add', `signing_config.v0.2.json=${path('alice.pub')}`],
      code: 1,
      says: /signing_config\.v0\.2\.json is no signing config v0\.2/,
    },
    { name: 'an origin without its root', args: () => ['--from', 'http://x'], code: 3, says: /go together/ },
  ]
  test('what clients must not get: refused, nothing published', async (t) => {
    await using publisher = await createRepository()
    const before = await readFile(join(publisher.published, 'timestamp.json'))
    for (const { name, args, code, says } of refused) {
      await t.test(name, async () => {
        const ran = await publisher.run('targets', ...args(publisher))
        assert.match(ran.err, says)
        assert.equal(ran.code, code)
        assert.deepEqual(await readFile(join(publisher.published, 'timestamp.json')), before)
      })
    }
  })

  test("a Sigstore's trusted root, and keys for older clients by their usage", async () => {
    await using publisher = await createRepository()
    const sigstore = await createSigstore()
    await writeFile(publisher.path('root.json'), sigstore.trustedRootJson())
    const { path } = publisher
    await publisher.must(
      'targets',
      '--add',
      `trusted_root.json=${path('root.json')}`,
      `rekor.pub=${path('bob.pub')}`,
      '--usage',
      'rekor.pub=Rekor,Active,https://rekor.test',
    )
    const { signed } = JSON.parse(await readFile(join(publisher.published, '2.targets.json'), 'utf8'))
    assert.deepEqual(Object.keys(signed.targets), ['greeting', 'trusted_root.json', 'rekor.pub'])
    assert.deepEqual(signed.targets['rekor.pub'].custom, {
      sigstore: { usage: 'Rekor', status: 'Active', uri: 'https://rekor.test' },
    })
    await publisher.must('targets', '--remove', 'greeting')
    const next = JSON.parse(await readFile(join(publisher.published, '3.targets.json'), 'utf8'))
    assert.deepEqual(next.signed.targets['rekor.pub'], signed.targets['rekor.pub'])
  })
})

suite('the daily run', () => {
  const DAY_MS = 24 * 3600 * 1000
  test('a new timestamp each time; a new snapshot only where it would end first', async () => {
    await using publisher = await createPublisher()
    const start = Date.now()
    await initialize(publisher)
    await signOffline(publisher, 1, 'alice', 'bob')
    await publisher.must('targets', '--add', `key=${publisher.path('alice.pub')}`)
    const snapshots: number[] = []
    for (let day = 1; day <= 50; day += 1) {
      publisher.setClock(new Date(start + day * DAY_MS))
      await publisher.must('timestamp')
      const names = await readdir(publisher.published)
      snapshots.push(names.filter((name) => name.endsWith('snapshot.json')).length)
    }
    assert.deepEqual([snapshots[21], snapshots[23], snapshots[49]], [1, 2, 3])
    const { signed } = JSON.parse(await readFile(join(publisher.published, 'timestamp.json'), 'utf8'))
    assert.equal(signed.version, 51)
  })

  test('status says what is due, and answers 1', async () => {
    await using publisher = await createPublisher()
    const start = Date.now()
    await initialize(publisher, '--timestamp-expires', '7d')
    await signOffline(publisher, 1, 'alice', 'bob')
    assert.match((await publisher.run('status')).out, /due: no targets are published/)
    await publisher.must('targets', '--add', `key=${publisher.path('alice.pub')}`)
    assert.equal((await publisher.run('status')).code, 0)
    const cases = [
      [4, /due: timestamp ends on .*trust publish timestamp/],
      [8, /due: timestamp has ended and clients refuse this repository/],
      [151, /due: targets ends on .*trust publish targets/],
      [181, /due: targets has ended/],
      [306, /due: root ends on .*rotate-root/],
      [366, /due: root has ended/],
    ] as const
    for (const [day, says] of cases) {
      publisher.setClock(new Date(start + day * DAY_MS))
      const { code, out } = await publisher.run('status')
      assert.match(out, says)
      assert.equal(code, 1)
    }
  })
})
