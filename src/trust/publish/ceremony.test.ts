import assert from 'node:assert/strict'
import { chmod, copyFile, readFile, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { createRepository, initialize, signOffline } from './testing/ceremony.ts'
import { createPublisher, type Publisher } from './testing/publisher.ts'

type Refusal = {
  readonly name: string
  readonly args: (publisher: Publisher) => readonly string[]
  readonly code: number
  readonly says: RegExp
}

function initArgs({ path }: Publisher, changes: Readonly<Record<string, readonly string[]>> = {}): string[] {
  const options = {
    '--root-key': ['alice', 'bob'].map((name) => path(`${name}.pub`)),
    '--threshold': ['2'],
    '--targets-key': [path('targets.pem')],
    '--snapshot-key': [path('snapshot.pem')],
    '--timestamp-key': [path('timestamp.pem')],
    ...changes,
  }
  return ['init', ...Object.entries(options).flatMap(([name, values]) => [name, ...values])]
}

async function emptyPublisher(): Promise<Publisher> {
  const publisher = await createPublisher()
  await publisher.keys('alice', 'bob', 'carol', 'targets', 'snapshot', 'timestamp', 'open')
  await chmod(publisher.path('open.pem'), 0o644)
  return publisher
}

suite('init', () => {
  const refused: readonly Refusal[] = [
    {
      name: 'a root key twice',
      args: (publisher) =>
        initArgs(publisher, {
          '--root-key': ['alice', 'alice'].map((name) => publisher.path(`${name}.pub`)),
        }),
      code: 3,
      says: /key \w{8} is given twice for root/,
    },
    {
      name: 'a threshold above the number of keys',
      args: (publisher) => initArgs(publisher, { '--threshold': ['3'] }),
      code: 3,
      says: /a threshold of 3 does not fit 2 root keys; give 1 to 2/,
    },
    {
      name: 'a threshold of nothing',
      args: (publisher) => initArgs(publisher, { '--threshold': ['0'] }),
      code: 3,
      says: /--threshold 0: expected a whole number from 1/,
    },
    {
      name: 'a private key where the public one belongs',
      args: (publisher) => initArgs(publisher, { '--root-key': [publisher.path('alice.pem')] }),
      code: 3,
      says: /alice\.pem is a private key; give the public half: openssl pkey/,
    },
    {
      name: 'a root key that is online, too',
      args: (publisher) => initArgs(publisher, { '--timestamp-key': [publisher.path('alice.pem')] }),
      code: 3,
      says: /is a root key and an online key at once; root keys stay offline/,
    },
    {
      name: 'a key that others can read',
      args: (publisher) => initArgs(publisher, { '--snapshot-key': [publisher.path('open.pem')] }),
      code: 3,
      says: /open\.pem can be read by others \(mode 0644\): chmod 600/,
    },
    {
      name: 'a key that is not there',
      args: (publisher) => initArgs(publisher, { '--snapshot-key': [publisher.path('none.pem')] }),
      code: 3,
      says: /there is no file .*none\.pem/,
    },
    {
      name: 'a lifetime without a unit',
      args: (publisher) => initArgs(publisher, { '--root-expires': ['365'] }),
      code: 3,
      says: /--root-expires 365: expected a duration such as 7d/,
    },
  ]
  for (const { name, args, code, says } of refused) {
    test(`${name}: refused, nothing staged`, async () => {
      await using publisher = await emptyPublisher()
      const ran = await publisher.run(...args(publisher))
      assert.equal(ran.code, code)
      assert.match(ran.err, says)
      assert.deepEqual(await readdir(join(publisher.repository, 'staged')).catch(() => []), [])
    })
  }

  test('twice: refused', async () => {
    await using publisher = await emptyPublisher()
    await publisher.must(...initArgs(publisher))
    const { code, err } = await publisher.run(...initArgs(publisher))
    assert.equal(code, 1)
    assert.match(err, /has a root already; changes to it are made by rotate-root/)
  })

  test('any other command where there is no repository: refused, and no directory made', async () => {
    await using publisher = await createPublisher()
    for (const args of [
      ['status'],
      ['timestamp'],
      ['targets', '--remove', 'x'],
      ['sign-root'],
      ['rotate-root'],
    ]) {
      const { code, err } = await publisher.run(...args)
      assert.equal(code, 3, args.join(' '))
      assert.match(err, /is no trust repository; portcullis trust publish init makes one/)
    }
    assert.deepEqual(await readdir(publisher.directory), [])
  })
})

suite('the threshold', () => {
  test('one signature too few is no root; the second one publishes it', async () => {
    await using publisher = await createPublisher()
    await initialize(publisher)
    const one = await publisher.must('sign-root', '--key', publisher.path('alice.pem'))
    assert.match(one, /version 1: 1 of 2; 1 more needed, of \w{8}, \w{8}\nthe root does not count yet/)
    await assert.rejects(readdir(publisher.published))
    const early = await publisher.run('targets', '--add', `x=${publisher.path('alice.pub')}`)
    assert.equal(early.code, 1)
    assert.match(early.err, /no root is published yet/)
    assert.match((await publisher.run('status')).out, /due: root 1 needs 1 more of the keys of version 1/)
    const two = await publisher.must('sign-root', '--key', publisher.path('carol.pem'))
    assert.match(two, /version 1: 2 of 2; enough\npublished .*public\/1\.root\.json/)
    assert.deepEqual(await readdir(publisher.published), ['1.root.json'])
  })

  test('a key that signs twice counts once', async () => {
    await using publisher = await createPublisher()
    await initialize(publisher)
    await publisher.must('sign-root', '--key', publisher.path('alice.pem'))
    const { code, err } = await publisher.run('sign-root', '--key', publisher.path('alice.pem'))
    assert.equal(code, 1)
    assert.match(err, /key \w{8} has signed already; a key counts once/)
    const copy = publisher.path('copy.json')
    await copyFile(join(publisher.repository, 'staged', '1.root.json'), copy)
    assert.match(await publisher.must('sign-root', '--from', copy), /1 of 2; 1 more needed/)
  })

  test('a key of another role, or of nobody, does not sign', async () => {
    await using publisher = await createPublisher()
    await initialize(publisher)
    await publisher.keys('mallory')
    for (const name of ['mallory', 'timestamp']) {
      const { code, err } = await publisher.run('sign-root', '--key', publisher.path(`${name}.pem`))
      assert.equal(code, 3)
      assert.match(err, /is no root key; \w{8}, \w{8}, \w{8} may sign/)
    }
  })

  test('a copy that was changed on the way is not merged', async () => {
    await using publisher = await createPublisher()
    await initialize(publisher)
    const copy = publisher.path('copy.json')
    const text = await readFile(join(publisher.repository, 'staged', '1.root.json'), 'utf8')
    await writeFile(copy, text.replace('"threshold": 2', '"threshold": 1'))
    await publisher.must('sign-root', '--root', copy, '--key', publisher.path('alice.pem'))
    const { code, err } = await publisher.run('sign-root', '--from', copy)
    assert.equal(code, 1)
    assert.match(err, /copy\.json is not the root that is staged/)
  })

  test('a forged signature in a copy is left out', async () => {
    await using publisher = await createPublisher()
    await initialize(publisher)
    const copy = publisher.path('copy.json')
    await copyFile(join(publisher.repository, 'staged', '1.root.json'), copy)
    await publisher.must('sign-root', '--root', copy, '--key', publisher.path('alice.pem'))
    const text = await readFile(copy, 'utf8')
    await writeFile(
      copy,
      text.replace(/"sig": "(..)/, (_, byte: string) => `"sig": "${byte === '00' ? '01' : '00'}`),
    )
    assert.match(await publisher.must('sign-root', '--from', copy), /0 of 2; 2 more needed/)
  })

  test('a rotation needs the threshold of the old keys as well as that of the new', async () => {
    await using publisher = await createRepository()
    await publisher.keys('dave', 'erin')
    const { out } = await publisher.run('status')
    const ids = (/root .* of (.*)$/m.exec(out)?.[1] ?? '').split(', ')
    const added = ['dave.pub', 'erin.pub'].map((name) => publisher.path(name))
    await publisher.must('rotate-root', '--remove-root-key', ...ids, '--add-root-key', ...added)
    const half = await signOffline(publisher, 2, 'dave', 'erin')
    assert.match(half, /version 2: 2 of 2; enough\n.*version 1: 0 of 2; 2 more needed/)
    assert.deepEqual((await readdir(publisher.published)).includes('2.root.json'), false)
    await signOffline(publisher, 2, 'bob', 'carol')
    assert.ok((await readdir(publisher.published)).includes('2.root.json'))
  })

  test('offline, a rotation is not signed without the root before it', async () => {
    await using publisher = await createRepository()
    await publisher.must('rotate-root')
    const copy = publisher.path('copy.json')
    await copyFile(join(publisher.repository, 'staged', '2.root.json'), copy)
    const { code, err } = await publisher.run(
      'sign-root',
      '--root',
      copy,
      '--key',
      publisher.path('alice.pem'),
    )
    assert.equal(code, 3)
    assert.match(
      err,
      /1\.root\.json is missing: the keys of version 1 must sign version 2, too; put it there/,
    )
  })
})
