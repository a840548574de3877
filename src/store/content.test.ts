import assert from 'node:assert/strict'
import * as nodeFiles from 'node:fs/promises'
import { rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { readToEnd } from '../byte-reader.ts'
import { digestOf, type Digest } from '../oci/digest.ts'
import { incomingFiles, newDirectory, openStore, randomContent } from '../testing/content-store.ts'
import { contentPath } from './content-files.ts'
import { openContentStore, type DirectoryContentStore } from './content.ts'
import { openDatabase } from './database.ts'
import type { StoreError } from './error.ts'

async function readAll(store: DirectoryContentStore, digest: Digest): Promise<Buffer | undefined> {
  const reader = await store.open(digest)
  return reader === undefined ? undefined : await readToEnd(reader)
}

describe('content store', () => {
  it('gives back what was put, whole and in ranges', async (t) => {
    const { store, errors } = await openStore(t)
    const { bytes, digest } = randomContent(1000)
    await store.put(digest, bytes)
    assert.equal(store.size(digest), 1000)
    assert.deepEqual(await store.read(digest), bytes)
    assert.deepEqual(await readAll(store, digest), bytes)
    const part = await store.open(digest, { start: 10, end: 19 })
    assert.ok(part !== undefined)
    assert.deepEqual(await readToEnd(part), bytes.subarray(10, 20))
    assert.deepEqual(errors, [])
  })

  it('keeps digests of every algorithm, and empty content', async (t) => {
    const { store } = await openStore(t)
    const bytes = Buffer.from('same bytes')
    for (const algorithm of ['sha256', 'sha384', 'sha512'] as const) {
      await store.put(digestOf(bytes, algorithm), bytes)
      assert.deepEqual(await store.read(digestOf(bytes, algorithm)), bytes)
    }
    const empty = Buffer.alloc(0)
    await store.put(digestOf(empty), empty)
    assert.deepEqual(await readAll(store, digestOf(empty)), empty)
  })

  it('knows nothing of what it does not have', async (t) => {
    const { store, errors } = await openStore(t)
    const { digest } = randomContent(1)
    assert.equal(store.size(digest), undefined)
    assert.equal(await store.read(digest), undefined)
    assert.equal(await store.open(digest), undefined)
    assert.deepEqual(errors, [])
  })

  it('shows incoming bytes only when they are committed', async (t) => {
    const { store, directory } = await openStore(t)
    const { bytes, digest } = randomContent(100)
    const incoming = await store.createIncoming(digest)
    await incoming.write(bytes.subarray(0, 50))
    assert.equal(store.size(digest), undefined)
    await incoming.write(bytes.subarray(50))
    assert.equal(await store.open(digest), undefined)
    await incoming.commit()
    assert.deepEqual(await store.read(digest), bytes)
    assert.deepEqual(await incomingFiles(directory), [])
  })

  it('removes discarded bytes', async (t) => {
    const { store, directory } = await openStore(t)
    const { bytes, digest } = randomContent(100)
    const incoming = await store.createIncoming(digest)
    await incoming.write(bytes)
    await incoming.discard()
    await incoming.discard()
    assert.equal(store.size(digest), undefined)
    assert.deepEqual(await incomingFiles(directory), [])
  })

  it('takes two writers of one digest', async (t) => {
    const { store, directory } = await openStore(t, { bytesMax: 250 })
    const { bytes, digest } = randomContent(100)
    const [a, b] = [await store.createIncoming(digest), await store.createIncoming(digest)]
    await Promise.all([a.write(bytes), b.write(bytes)])
    await Promise.all([a.commit(), b.commit()])
    assert.deepEqual(await store.read(digest), bytes)
    const other = randomContent(100)
    await store.put(other.digest, other.bytes)
    assert.equal(store.size(digest), 100, 'counted once')
    assert.deepEqual(await incomingFiles(directory), [])
  })
})

describe('content store after a crash', () => {
  it('removes what was still arriving and keeps what had arrived', async (t) => {
    const directory = await newDirectory(t)
    const database = openDatabase(':memory:')
    const before = await openStore(t, { directory, database })
    const [done, half] = [randomContent(100), randomContent(100)]
    await before.store.put(done.digest, done.bytes)
    const incoming = await before.store.createIncoming(half.digest)
    await incoming.write(half.bytes.subarray(0, 60))
    t.after(() => incoming.discard())

    const after = await openStore(t, { directory, database })
    assert.deepEqual(await incomingFiles(directory), [])
    assert.equal(after.store.size(half.digest), undefined)
    assert.deepEqual(await after.store.read(done.digest), done.bytes)
  })

  it('takes in files that the index lost, and only those named by a digest in its place', async (t) => {
    const directory = await newDirectory(t)
    const before = await openStore(t, { directory })
    const { bytes, digest } = randomContent(100)
    await before.store.put(digest, bytes)
    const { parent } = contentPath(directory, digest)
    await writeFile(join(parent, 'notes.txt'), 'not content')

    const after = await openStore(t, { directory, database: openDatabase(':memory:') })
    assert.deepEqual(await after.store.read(digest), bytes)
    assert.deepEqual(after.errors, [])
  })

  it('gives files that the index lost at once, before it has looked through the directory', async (t) => {
    const directory = await newDirectory(t)
    const before = await openStore(t, { directory })
    const [read, opened, damaged] = [randomContent(100), randomContent(100), randomContent(100)]
    for (const { digest, bytes } of [read, opened, damaged]) await before.store.put(digest, bytes)
    await writeFile(contentPath(directory, damaged.digest).path, Buffer.alloc(100))
    const errors: StoreError[] = []
    const never = new Promise<never>(() => undefined)
    const store = await openContentStore({
      directory,
      database: openDatabase(':memory:'),
      bytesMax: 1_000,
      now: () => new Date(1),
      onError: (error) => errors.push(error),
      files: { ...nodeFiles, readdir: () => never },
    })
    assert.deepEqual(await store.read(read.digest), read.bytes)
    assert.deepEqual(await readAll(store, opened.digest), opened.bytes)
    assert.equal(store.size(randomContent(1).digest), undefined)
    const { path } = contentPath(directory, damaged.digest)
    assert.equal(await store.read(damaged.digest), undefined)
    await writeFile(path, Buffer.alloc(100))
    assert.equal(store.size(damaged.digest), undefined, 'dropped stays dropped')
    await store.put(damaged.digest, damaged.bytes)
    assert.deepEqual(await store.read(damaged.digest), damaged.bytes)
    assert.deepEqual(
      errors.map(({ code }) => code),
      ['damaged'],
    )
  })

  it('keeps the budget over files that it takes in', async (t) => {
    const directory = await newDirectory(t)
    const before = await openStore(t, { directory })
    const all = [randomContent(100), randomContent(100), randomContent(100)]
    for (const { digest, bytes } of all) await before.store.put(digest, bytes)
    const after = await openStore(t, { directory, bytesMax: 150, database: openDatabase(':memory:') })
    assert.equal(all.filter(({ digest }) => after.store.size(digest) !== undefined).length, 1)
  })

  const damages: { name: string; damage: (path: string) => Promise<void>; seenBy: 'read' | 'both' }[] = [
    { name: 'a file that is gone', damage: (path) => rm(path), seenBy: 'both' },
    { name: 'a file that is too short', damage: (path) => truncate(path, 10), seenBy: 'both' },
    { name: 'an empty file', damage: (path) => writeFile(path, ''), seenBy: 'both' },
    {
      name: 'a flipped byte',
      damage: (path) => writeFile(path, Buffer.alloc(100)),
      seenBy: 'read',
    },
  ]
  for (const { name, damage, seenBy } of damages) {
    for (const method of seenBy === 'both' ? (['read', 'open'] as const) : (['read'] as const)) {
      it(`drops ${name} on ${method}`, async (t) => {
        const { store, directory, errors } = await openStore(t)
        const { bytes, digest } = randomContent(100)
        await store.put(digest, bytes)
        await damage(contentPath(directory, digest).path)
        assert.equal(await store[method](digest), undefined)
        assert.deepEqual(
          errors.map(({ code }) => code),
          ['damaged'],
        )
        assert.equal(store.size(digest), undefined)
        await store.put(digest, bytes)
        assert.deepEqual(await store.read(digest), bytes, 'heals by the next put')
      })
    }
  }
})
