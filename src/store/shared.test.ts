import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import * as nodeFiles from 'node:fs/promises'
import { rm, truncate } from 'node:fs/promises'
import { describe, test, type TestContext } from 'node:test'
import type { Digest } from '../oci/digest.ts'
import { failingFiles, newDirectory } from '../testing/content-store.ts'
import { contentPath, type Files } from './content-files.ts'
import { createContentIndex } from './content-index.ts'
import { openContentStore } from './content.ts'
import { openDatabase } from './database.ts'
import type { StoreError } from './error.ts'
import { openTwice, type SharedStore } from './testing/shared.ts'
import { digest, repository, rowCount } from './testing/state.ts'
import { shareTotals } from './total.ts'

/** One database, two processes: what one does is true for the other. */

const APP = repository('acme/app')
const IMAGE = digest('image')
const NOTHING = { children: [], blobs: [], isEvidence: false }

async function setUp(
  context: TestContext,
  options: Parameters<typeof openTwice>[1] = {},
): Promise<readonly [SharedStore, SharedStore]> {
  const directory = await newDirectory(context)
  const stores = openTwice(directory, options)
  // Before the directory goes.
  context.after(() => stores.forEach(({ state }) => state.close()))
  return stores
}

describe('a budget that two processes spend', () => {
  test('is one, whoever wrote what', async (context) => {
    const [one, two] = await setUp(context, { memberRowsMax: 10 })
    for (let index = 0; index < 30; index++) {
      const { state } = index % 2 === 0 ? one : two
      state.addBlob(APP, digest(`blob ${index}`))
      assert.ok(rowCount(one.database, 'member') <= 10)
    }
    assert.equal(rowCount(one.database, 'member'), 10)
  })

  test('is that of bytes, too', async (context) => {
    const [one, two] = await setUp(context, { findingBytesMax: 20_000 })
    for (let index = 0; index < 40; index++) {
      const { state } = index % 2 === 0 ? one : two
      state.setFindings(APP, digest(`image ${index}`), { trusted: 't', json: 'x'.repeat(1_000) })
    }
    assert.equal(rowCount(two.database, 'finding'), 13)
  })

  test('is counted anew when the first process starts, and by nobody once it is alone', async (context) => {
    const directory = await newDirectory(context)
    const [one, two] = openTwice(directory)
    two.state.addBlob(APP, IMAGE)
    two.state.close()
    one.state.close()
    const again = openTwice(directory)
    const total = again[0].database.prepare("SELECT total FROM total WHERE name = 'member'").get()?.['total']
    assert.equal(total, 1)
    for (const { state } of again) state.close()
    const alone = openDatabase(`${directory}/shared.db`)
    context.after(() => alone.close())
    shareTotals(alone, false)
    assert.equal(rowCount(alone, "sqlite_schema WHERE name = 'total'"), 0)
  })

  test('of content is one', async (context) => {
    const [one, two] = await setUp(context)
    const indexes = [one, two].map(({ database }) => createContentIndex(database, () => new Date(1_000)))
    indexes[0]!.add(digest('a'), 100)
    indexes[1]!.add(digest('b'), 50)
    indexes[1]!.remove(digest('a'), () => false)
    assert.equal(indexes[0]!.files(), 2, 'its file is there again')
    indexes[1]!.remove(digest('a'), () => true)
    for (const index of indexes) assert.deepEqual([index.totalBytes(), index.files()], [50, 1])
  })
})

describe('a record that two processes write', () => {
  const decision = { key: '{"a":1}', id: 'd1', at: new Date(5), json: '{"a":1}' }

  test('is one decision, counted', async (context) => {
    const [one, two] = await setUp(context)
    assert.equal(one.state.recordDecision(decision), true)
    assert.equal(two.state.recordDecision(decision), false)
    assert.deepEqual(
      two.state.decisions(9).map(({ count }) => count),
      [2],
    )
  })

  test('has an id of its own for each admission, and names all who pulled', async (context) => {
    const [one, two] = await setUp(context)
    const admit = ({ state }: SharedStore, name: string, client: string): void =>
      state.admitOpen({
        repository: APP,
        digest: digest(name),
        policies: ['p'],
        decision: 'd',
        client,
        at: new Date(9),
      })
    admit(one, 'a', '10.0.0.1')
    admit(two, 'b', '10.0.0.2')
    admit(one, 'c', '10.0.0.3')
    admit(two, 'a', '10.0.0.4')
    admit(one, 'a', '10.0.0.4')
    const stored = two.state.openAdmissions()
    assert.deepEqual(
      stored.map(({ id, clients, count }) => [id, clients.length, count]),
      [
        [1, 2, 3],
        [2, 1, 1],
        [3, 1, 1],
      ],
    )
  })

  test('is whole where one is in the middle of it', async (context) => {
    const [one, two] = await setUp(context)
    const image = { repository: APP, digest: IMAGE, policy: 'p', policyVersion: 'v' }
    one.shared.exclusively(() => {
      one.state.noteSatisfied({ ...image, at: new Date(7) })
      assert.equal(two.state.lastSatisfied(image), undefined)
    })
    assert.deepEqual(two.state.lastSatisfied(image), new Date(7))
    assert.throws(() =>
      one.shared.exclusively(() => {
        one.state.noteSatisfied({ ...image, at: new Date(8) })
        throw new TypeError('no')
      }),
    )
    assert.deepEqual(two.state.lastSatisfied(image), new Date(7))
  })
})

describe('what speaks for an image', () => {
  test('is another text once the other process has let it in, or what names it', async (context) => {
    const [one, two] = await setUp(context)
    const before = two.shared.supportFor(APP, IMAGE)
    assert.equal(two.shared.supportFor(APP, IMAGE), before)
    one.state.addClosure(APP, digest('index'), { ...NOTHING, children: [IMAGE] })
    const named = two.shared.supportFor(APP, IMAGE)
    assert.notEqual(named, before)
    one.state.noteSatisfied({
      repository: APP,
      digest: IMAGE,
      policy: 'p',
      policyVersion: 'v',
      at: new Date(1),
    })
    assert.notEqual(two.shared.supportFor(APP, IMAGE), named)
  })

  test('is another text when it is found satisfied again, after what was held against it meanwhile', async (context) => {
    const [one, two] = await setUp(context)
    const fact = { repository: APP, digest: IMAGE, policy: 'p', policyVersion: 'v' }
    one.state.noteSatisfied({ ...fact, at: new Date(1) })
    const before = two.shared.supportFor(APP, IMAGE)
    one.state.noteSatisfied({ ...fact, at: new Date(2) })
    assert.notEqual(two.shared.supportFor(APP, IMAGE), before)
  })

  test('stays the same where it is only pulled again, or another repository has it', async (context) => {
    const [one, two] = await setUp(context)
    const fact = { repository: APP, digest: IMAGE, policy: 'p', policyVersion: 'v' }
    one.state.addClosure(APP, digest('index'), { ...NOTHING, children: [IMAGE] })
    one.state.noteSatisfied({ ...fact, at: new Date(1) })
    const before = two.shared.supportFor(APP, IMAGE)
    one.state.addClosure(APP, digest('index'), { ...NOTHING, children: [IMAGE] })
    one.state.noteSatisfied({ ...fact, at: new Date(1) })
    one.state.addClosure(repository('acme/other'), digest('index'), { ...NOTHING, children: [IMAGE] })
    assert.equal(two.shared.supportFor(APP, IMAGE), before)
  })
})

test('the stamp of admissions is another one when the other process admits or closes', async (context) => {
  const [one, two] = await setUp(context)
  const stamps = [two.shared.admissionsStamp()]
  const admission = { repository: APP, digest: IMAGE, policies: ['p'], decision: 'd', client: '10.0.0.1' }
  one.state.admitOpen({ ...admission, at: new Date(9) })
  stamps.push(two.shared.admissionsStamp())
  one.state.closeAdmission(1, { at: new Date(10), verdict: 'satisfied', reason: 'r' })
  stamps.push(two.shared.admissionsStamp())
  assert.equal(new Set(stamps).size, 3)
})

describe('a content directory that two processes use', () => {
  async function openBoth(context: TestContext, files?: Files) {
    const directory = await newDirectory(context)
    const [one, two] = openTwice(directory)
    const errors: StoreError[] = []
    const options = {
      directory: `${directory}/content`,
      bytesMax: 1_000,
      now: () => new Date(1_000),
      onError: (error: StoreError) => void errors.push(error),
      isShared: true,
    }
    const keeper = await openContentStore({ ...options, database: one.database })
    const guest = await openContentStore({
      ...options,
      database: two.database,
      guest: 'worker-7',
      ...(files === undefined ? {} : { files }),
    })
    context.after(async () => {
      await Promise.all([keeper.close(), guest.close()])
      for (const { state } of [one, two]) state.close()
    })
    const path = (of: Digest): string => contentPath(options.directory, of).path
    return { keeper, guest, errors, path, two }
  }

  test('has for one what the other put, and takes the same twice', async (context) => {
    const { keeper, guest, errors } = await openBoth(context)
    const bytes = Buffer.from('image')
    await guest.put(IMAGE, bytes)
    assert.deepEqual(await keeper.read(IMAGE), bytes)
    const [mine, theirs] = await Promise.all([
      keeper.createIncoming(digest('b')),
      guest.createIncoming(digest('b')),
    ])
    assert.notEqual(mine.path, theirs.path)
    for (const incoming of [mine, theirs]) {
      await incoming.write(Buffer.from('b'))
      await incoming.commit()
    }
    assert.deepEqual(await guest.read(digest('b')), Buffer.from('b'))
    assert.deepEqual(errors, [])
  })

  test('keeps its budget, whoever puts; what one evicts is a miss for the other and no error', async (context) => {
    const { keeper, guest, errors } = await openBoth(context)
    const content = (name: string): Buffer => Buffer.from(name.repeat(300).slice(0, 300))
    const digests = ['a', 'b', 'c', 'd', 'e'].map((name) => ({ name, of: digest(content(name).toString()) }))
    for (const [index, { name, of }] of digests.entries())
      await (index % 2 === 0 ? keeper : guest).put(of, content(name))
    const kept = await Promise.all(digests.map(async ({ of }) => (await guest.read(of)) !== undefined))
    assert.equal(kept.filter(Boolean).length, 3)
    assert.deepEqual(errors, [])
  })

  test('loses what a guest that has ended left on its way in, and nothing else', async (context) => {
    const { keeper, guest } = await openBoth(context)
    const left = await guest.createIncoming(IMAGE)
    const own = await keeper.createIncoming(IMAGE)
    await keeper.forgetGuest('worker-7')
    await left.write(Buffer.from('image'))
    await assert.rejects(left.commit())
    await own.write(Buffer.from('image'))
    await own.commit()
    assert.deepEqual(await keeper.read(IMAGE), Buffer.from('image'))
  })

  test('adopts no file from which the other could not read, or that it cannot remove', async (context) => {
    const files = failingFiles('rm', 'EIO', (path) => !path.includes('incoming'))
    const { keeper, guest, path } = await openBoth(context, files)
    await guest.put(IMAGE, Buffer.from('image'))
    await truncate(path(IMAGE), 3)
    assert.equal(await guest.open(IMAGE), undefined)
    assert.equal(await guest.open(IMAGE), undefined, 'nor does the one that found it damaged')
    assert.equal(await keeper.open(IMAGE), undefined)
    assert.equal(existsSync(path(IMAGE)), false, 'the other one can remove it')
    assert.equal(keeper.size(IMAGE), undefined)
  })

  test('keeps the entry of a file that one puts again while the other removes it', async (context) => {
    const again: { put?: () => Promise<void> } = {}
    const files: Files = {
      ...nodeFiles,
      async rm(at, options) {
        await nodeFiles.rm(at, options)
        if (!at.includes('incoming')) await again.put?.()
      },
    }
    const { keeper, guest, path } = await openBoth(context, files)
    await guest.put(IMAGE, Buffer.from('image'))
    await rm(path(IMAGE))
    again.put = async () => {
      const incoming = await keeper.createIncoming(IMAGE)
      await incoming.write(Buffer.from('image'))
      await incoming.commit()
    }
    assert.equal(await guest.read(IMAGE), undefined, 'it was gone')
    assert.deepEqual(await guest.read(IMAGE), Buffer.from('image'))
  })

  test('counts a file whose guest ended before its entry was written', async (context) => {
    const { keeper, guest, two } = await openBoth(context)
    await guest.put(IMAGE, Buffer.from('image'))
    two.database.exec('DELETE FROM content')
    await keeper.forgetGuest('worker-7')
    assert.equal(rowCount(two.database, 'content'), 1)
    assert.deepEqual(await keeper.read(IMAGE), Buffer.from('image'))
  })
})
