import assert from 'node:assert/strict'
import * as fs from 'node:fs/promises'
import { before, suite, test } from 'node:test'
import { PublishError } from './error.ts'
import { Repository } from './repository.ts'
import { createRepository, signOffline } from './testing/ceremony.ts'
import { verifyRepository, type Files } from './verify-repository.ts'

let whole: Files

before(async () => {
  await using publisher = await createRepository()
  await publisher.must('rotate-root')
  await signOffline(publisher, 2, 'alice', 'bob')
  whole = (await Repository.read(publisher.repository, fs)).files
})

type Edit = (files: Map<string, Buffer>) => void

function replaceIn(name: string, from: string | RegExp, to: string): Edit {
  return (files) => {
    const text = files.get(name)?.toString() ?? assert.fail(`no ${name}`)
    const changed = text.replace(from, to)
    assert.notEqual(changed, text, `${name}: nothing changed`)
    files.set(name, Buffer.from(changed))
  }
}

function remove(pattern: RegExp): Edit {
  return (files) => {
    const name = [...files.keys()].find((path) => pattern.test(path)) ?? assert.fail('nothing to remove')
    files.delete(name)
  }
}

suite('what a strict client refuses', () => {
  test('a whole repository is accepted', () => {
    const { root, roots, release } = verifyRepository(whole)
    assert.deepEqual([root.signed.version, roots.length], [2, 2])
    assert.deepEqual(Object.keys(release?.targets.signed.targets ?? {}), ['greeting'])
  })

  const cases: readonly (readonly [name: string, says: RegExp, edit: Edit])[] = [
    ['no root', /no root is published yet/, remove(/^1\.root/)],
    [
      'a root whose threshold was lowered',
      /1\.root\.json/,
      replaceIn('1.root.json', '"threshold": 2', '"threshold": 1'),
    ],
    [
      'a root of another version',
      /2\.root\.json: says version 3/,
      replaceIn('2.root.json', '"version": 2', '"version": 3'),
    ],
    [
      'a key under another ID',
      /which is not its hash/,
      replaceIn('2.root.json', /"(\w{62})\w\w": \{/, '"$1zz": {'),
    ],
    [
      'a root without consistent snapshots',
      /2\.root\.json/,
      replaceIn('2.root.json', 'snapshot": true', 'snapshot": false'),
    ],
    [
      'a root signed by one key',
      /2\.root\.json/,
      replaceIn('2.root.json', /"sig": "\w{8}/, '"sig": "00000000'),
    ],
    [
      'a timestamp of another date',
      /timestamp\.json/,
      replaceIn('timestamp.json', /"expires": "20/, '"expires": "21'),
    ],
    [
      'a timestamp without signature',
      /timestamp\.json/,
      replaceIn('timestamp.json', /"sig": "\w{8}/, '"sig": "00000000'),
    ],
    [
      'a snapshot of another length',
      /1\.snapshot\.json: Expected length/,
      replaceIn('1.snapshot.json', '{', '{ '),
    ],
    [
      'a snapshot that is another',
      /1\.snapshot\.json: Expected hash/,
      replaceIn('1.snapshot.json', '"version": 1', '"version": 2'),
    ],
    ['no snapshot', /1\.snapshot\.json: is missing/, remove(/snapshot/)],
    [
      'targets that are others',
      /1\.targets\.json: Expected/,
      replaceIn('1.targets.json', '"length": 5', '"length": 6'),
    ],
    ['no targets', /1\.targets\.json: is missing/, remove(/^1\.targets/)],
    [
      'a target of other content',
      /greeting: is not what/,
      (files) => {
        const name = [...files.keys()].find((path) => path.endsWith('.greeting')) ?? assert.fail('no target')
        files.set(name, Buffer.from('hellO'))
      },
    ],
    ['no target', /greeting: is missing/, remove(/\.greeting$/)],
    [
      'no JSON',
      /timestamp\.json is no TUF metadata/,
      (files) => files.set('timestamp.json', Buffer.from('{')),
    ],
    [
      'another kind',
      /timestamp\.json is no TUF metadata/,
      replaceIn('timestamp.json', '"_type": "timestamp"', '"_type": "snapshot"'),
    ],
  ]
  for (const [name, says, edit] of cases) {
    test(name, () => {
      const files = new Map(whole)
      edit(files)
      assert.throws(
        () => verifyRepository(files),
        (error) => error instanceof PublishError && says.test(error.message),
      )
    })
  }
})

test('a published file whose name carries its version never changes', async () => {
  await using publisher = await createRepository()
  const repository = await Repository.read(publisher.repository, fs)
  const write = { path: '1.targets.json', bytes: Buffer.from('{}') }
  await assert.rejects(repository.publish([write], { now: new Date() }), { code: 'conflict' })
})

test('a damaged repository.json stops every command with its name', async () => {
  await using publisher = await createRepository()
  await fs.writeFile(`${publisher.repository}/repository.json`, '{"format": 1}')
  const { code, err } = await publisher.run('timestamp')
  assert.equal(code, 1)
  assert.match(err, /repository\.json is damaged/)
})
