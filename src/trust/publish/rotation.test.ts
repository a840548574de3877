import assert from 'node:assert/strict'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { createRepository, publishGreeting, signOffline } from './testing/ceremony.ts'
import { createClient, serveDirectory } from './testing/client.ts'
import type { Publisher } from './testing/publisher.ts'

const DAY_MS = 24 * 3600 * 1000

function daysFromNow(days: number): Date {
  return new Date(Date.now() + days * DAY_MS)
}

async function rootOf(publisher: Publisher, version: number): Promise<Buffer> {
  return readFile(join(publisher.published, `${version}.root.json`))
}

/** The first characters of the ID of the role's keys, newest first. */
async function keyIds(publisher: Publisher, role: string): Promise<readonly string[]> {
  const { out } = await publisher.run('status')
  const row = out.split('\n').find((line) => line.startsWith(role)) ?? ''
  return (/ of (.*)$/.exec(row)?.[1] ?? '').split(', ')
}

suite('rotation, seen by tuf-js', () => {
  test('keys change one role after another; clients of every age follow from version 1', async () => {
    await using publisher = await createRepository({}, daysFromNow(-40))
    await using server = await serveDirectory(publisher.published)
    const first = await rootOf(publisher, 1)
    await using old = await createClient(server.url, first)
    const seen = async (expected: string) => {
      assert.equal(await old.get('greeting'), expected)
      await using fresh = await createClient(server.url, first)
      assert.equal(await fresh.get('greeting'), expected)
    }
    await seen('hello')

    publisher.setClock(daysFromNow(-39))
    await publisher.keys('timestamp2', 'dave')
    await publisher.must(
      'rotate-root',
      '--timestamp-key',
      publisher.path('timestamp2.pem'),
      '--overlap',
      '14d',
    )
    await signOffline(publisher, 2, 'alice', 'carol')
    await seen('hello')
    const both = await keyIds(publisher, 'timestamp')
    assert.equal(both.length, 2)

    publisher.setClock(daysFromNow(-38))
    await publishGreeting(publisher, 'both keys sign')
    await seen('both keys sign')
    const retiring = both[1] ?? ''
    const early = await publisher.run('rotate-root', '--retire', retiring)
    assert.equal(early.code, 1)
    assert.match(early.err, new RegExp(`key ${retiring} stays until .*--lost`))

    publisher.setClock(daysFromNow(-20))
    assert.match(
      (await publisher.run('status')).out,
      new RegExp(`window of timestamp key ${retiring}\\w* has ended`),
    )
    await publisher.must('rotate-root', '--retire', retiring)
    await signOffline(publisher, 3, 'bob', 'alice')
    await seen('both keys sign')
    assert.deepEqual(await keyIds(publisher, 'timestamp'), both.slice(0, 1))

    publisher.setClock(daysFromNow(-19))
    const carol = (await keyIds(publisher, 'root'))[2] ?? ''
    const rootKeys = ['--remove-root-key', carol, '--add-root-key', publisher.path('dave.pub')]
    await publisher.must('rotate-root', ...rootKeys, '--threshold', '3')
    const { out } = await publisher.run('sign-root', '--key', publisher.path('dave.pem'))
    assert.match(out, /by the keys of version 4: 1 of 3; 2 more needed/)
    assert.match(out, /by the keys of version 3: 0 of 2; 2 more needed/)
    await signOffline(publisher, 4, 'alice', 'bob')
    await publishGreeting(publisher, 'goodbye')
    await seen('goodbye')
  })

  test('a key replaced without overlap: what both roots accept goes out before the root', async () => {
    await using publisher = await createRepository({}, daysFromNow(-2))
    await using server = await serveDirectory(publisher.published)
    const first = await rootOf(publisher, 1)
    await publisher.keys('targets2', 'snapshot2', 'timestamp2')
    publisher.setClock(daysFromNow(-1))
    const roles = ['targets', 'snapshot', 'timestamp']
    await publisher.must(
      'rotate-root',
      ...roles.flatMap((role) => [`--${role}-key`, publisher.path(`${role}2.pem`)]),
    )
    await signOffline(publisher, 2, 'alice', 'bob')
    await using client = await createClient(server.url, first)
    assert.equal(await client.get('greeting'), 'hello')
    await publishGreeting(publisher, 'signed by the new keys alone')
    assert.equal(await client.get('greeting'), 'signed by the new keys alone')
    const timestamp = await readFile(join(publisher.published, 'timestamp.json'), 'utf8')
    assert.equal(timestamp.match(/"keyid"/g)?.length, 1)
  })

  test('a key of two roles, followed in one of them, stays in the other', async () => {
    await using publisher = await createRepository({}, daysFromNow(-40))
    await publisher.keys('both', 'next')
    const both = publisher.path('both.pem')
    await publisher.must('rotate-root', '--snapshot-key', both, '--timestamp-key', both)
    await signOffline(publisher, 2, 'alice', 'bob')
    await publisher.must('rotate-root', '--timestamp-key', publisher.path('next.pem'), '--overlap', '1d')
    await signOffline(publisher, 3, 'alice', 'bob')
    const [id = ''] = await keyIds(publisher, 'snapshot')
    publisher.setClock(daysFromNow(-38))
    assert.match((await publisher.run('status')).out, new RegExp(`window of timestamp key ${id}`))
    await publisher.must('rotate-root', '--retire', id)
    await signOffline(publisher, 4, 'alice', 'bob')
    assert.deepEqual(await keyIds(publisher, 'snapshot'), [id])
    assert.equal((await keyIds(publisher, 'timestamp')).includes(id), false)
    await publisher.must('timestamp')
    assert.equal((await publisher.run('status')).code, 0)
    const again = await publisher.run('rotate-root', '--retire', id)
    assert.match(again.err, /has no successor/)
  })

  test('a lost key goes at once and is not asked to sign', async () => {
    await using publisher = await createRepository({}, daysFromNow(-2))
    await using server = await serveDirectory(publisher.published)
    await using client = await createClient(server.url, await rootOf(publisher, 1))
    assert.equal(await client.get('greeting'), 'hello')
    const [lost = ''] = await keyIds(publisher, 'timestamp')
    await publisher.keys('timestamp', 'timestamp2') // the first one's file now holds another key
    publisher.setClock(daysFromNow(-1))
    const refused = await publisher.run('timestamp')
    assert.equal(refused.code, 3)
    assert.match(
      refused.err,
      /timestamp\.pem now holds key \w{8}, but the root lists \w{8}; put that one back/,
    )
    await publisher.must('rotate-root', '--lost', lost, '--timestamp-key', publisher.path('timestamp2.pem'))
    await signOffline(publisher, 2, 'alice', 'bob')
    assert.equal(await client.get('greeting'), 'hello')
    assert.equal((await publisher.run('status')).code, 0)
  })

  test('the wrong key called lost, and given up: it signs as before', async () => {
    await using publisher = await createRepository({}, daysFromNow(-2))
    await using server = await serveDirectory(publisher.published)
    await using client = await createClient(server.url, await rootOf(publisher, 1))
    const [id = ''] = await keyIds(publisher, 'timestamp')
    await publisher.keys('timestamp2')
    const next = ['--timestamp-key', publisher.path('timestamp2.pem')]
    await publisher.must('rotate-root', '--lost', id, ...next)
    const waiting = await publisher.run('timestamp')
    assert.match(waiting.err, new RegExp(`cannot sign timestamp: key ${id} is lost`))
    await rm(join(publisher.repository, 'staged'), { recursive: true })
    await publisher.must('timestamp')
    assert.match((await publisher.run('status')).out, /nothing is due/)
    // An ordinary exchange of the same key later: both sign, and no client meets a gap.
    await publisher.must('rotate-root', ...next)
    await publisher.must('timestamp')
    await signOffline(publisher, 2, 'alice', 'bob')
    assert.equal(
      (await readFile(join(publisher.published, 'timestamp.json'), 'utf8')).match(/"keyid"/g)?.length,
      2,
    )
    assert.equal(await client.get('greeting'), 'hello')
  })

  test('everything has ended while nobody looked: one new root brings it back', async () => {
    await using publisher = await createRepository({}, daysFromNow(-400))
    publisher.setClock(daysFromNow(-1))
    const stuck = await publisher.run('timestamp')
    assert.equal(stuck.code, 1)
    assert.match(stuck.err, /root version 1 ended on .*rotate-root/)
    assert.match((await publisher.run('status')).out, /root has ended and clients refuse this repository/)
    await publisher.must('rotate-root')
    await signOffline(publisher, 2, 'alice', 'bob')
    await using server = await serveDirectory(publisher.published)
    await using client = await createClient(server.url, await rootOf(publisher, 1))
    assert.equal(await client.get('greeting'), 'hello')
  })
})

suite('going backwards', () => {
  test('a clock that went back: refused, nothing written', async () => {
    await using publisher = await createRepository()
    const before = await readFile(join(publisher.published, 'timestamp.json'))
    publisher.setClock(daysFromNow(-3))
    const { code, err } = await publisher.run('timestamp')
    assert.equal(code, 1)
    assert.match(err, /the clock says .* but this repository was written at .*: set the clock/)
    assert.deepEqual(await readFile(join(publisher.published, 'timestamp.json')), before)
  })

  test('restored from a backup: clients refuse it until versions are above what they have seen', async () => {
    await using publisher = await createRepository()
    const backup = await readFile(join(publisher.published, 'timestamp.json'))
    await using server = await serveDirectory(publisher.published)
    await using client = await createClient(server.url, await rootOf(publisher, 1))
    await publishGreeting(publisher, 'newer')
    assert.equal(await client.get('greeting'), 'newer')
    await writeFile(join(publisher.published, 'timestamp.json'), backup)
    await assert.rejects(client.get('greeting'), /less than current version/)
    await publisher.must('targets', '--version-at-least', '10')
    assert.equal(await client.get('greeting'), 'hello')
  })
})
