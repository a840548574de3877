import assert from 'node:assert/strict'
import { rm, writeFile } from 'node:fs/promises'
import { describe, it } from 'node:test'
import { readToEnd } from '../byte-reader.ts'
import { digestOf } from '../oci/digest.ts'
import { contentPath } from '../store/content-files.ts'
import { openStore, randomContent } from '../testing/content-store.ts'
import { StoredBlobs } from './stored-blobs.ts'

const SMALL = 256 * 1024

describe('stored blobs', () => {
  it('are in memory once they were read, if they are small', async (t) => {
    const { store, directory } = await openStore(t)
    const [small, large] = [randomContent(SMALL), randomContent(SMALL + 1)]
    for (const { digest, bytes } of [small, large]) await store.put(digest, bytes)
    const stored = new StoredBlobs(store)
    for (const { digest, bytes } of [small, large]) {
      assert.equal(stored.inMemory(digest), undefined)
      assert.equal(await stored.shapeOf(digest, bytes.length), 'blob')
    }
    assert.deepEqual(stored.inMemory(small.digest), small.bytes)
    assert.equal(stored.inMemory(large.digest), undefined)
    await rm(contentPath(directory, small.digest).path)
    const range = { start: 1, end: 10 }
    assert.deepEqual(await stored.open(small.digest, SMALL, range), {
      kind: 'bytes',
      bytes: small.bytes.subarray(1, 11),
    })
    const opened = await stored.open(large.digest, SMALL + 1, range)
    assert.ok(opened?.kind === 'body')
    assert.deepEqual(await readToEnd(opened.body), large.bytes.subarray(1, 11))
  })

  it('are not given where their bytes have changed on disk', async (t) => {
    const { store, directory, errors } = await openStore(t)
    const { digest, bytes } = randomContent(1000)
    await store.put(digest, bytes)
    const stored = new StoredBlobs(store)
    stored.learn(digest, 'blob')
    await writeFile(contentPath(directory, digest).path, Buffer.alloc(1000))
    assert.equal(await stored.open(digest, 1000, undefined), undefined)
    assert.equal(stored.inMemory(digest), undefined)
    assert.deepEqual(
      errors.map(({ code }) => code),
      ['damaged'],
    )
  })

  it('are no manifests: those are told apart, and never in memory', async (t) => {
    const { store } = await openStore(t)
    const bytes = Buffer.from('{"schemaVersion":2,"layers":[]}')
    const digest = digestOf(bytes)
    await store.put(digest, bytes)
    const stored = new StoredBlobs(store)
    assert.equal(await stored.shapeOf(digest, bytes.length), 'manifest')
    assert.ok(stored.isKnownManifest(digest))
    assert.equal(stored.inMemory(digest), undefined)
  })

  it('that are in use in memory are not what the store evicts first', async (t) => {
    const { store } = await openStore(t, { bytesMax: 250 })
    const [used, unused, next] = [randomContent(100), randomContent(100), randomContent(100)]
    const stored = new StoredBlobs(store)
    for (const { digest, bytes } of [used, unused]) {
      await store.put(digest, bytes)
      await stored.open(digest, 100, undefined)
    }
    stored.noteUse(used.digest)
    await store.put(next.digest, next.bytes)
    assert.deepEqual([store.size(used.digest), store.size(unused.digest)], [100, undefined])
  })

  it('take no more memory than they may', async () => {
    const bytes = Buffer.alloc(SMALL, 'x')
    const stored = new StoredBlobs(readingAs(bytes))
    const all = Array.from({ length: 200 }, () => randomContent(8).digest)
    for (const digest of all) await stored.open(digest, SMALL, undefined)
    const kept = all.filter((digest) => stored.inMemory(digest) !== undefined)
    assert.ok(kept.length > 100 && kept.length * SMALL <= 32 * 1024 * 1024, `${kept.length} are kept`)
    assert.equal(kept.at(-1), all.at(-1))
  })
})

/** A store whose content has always these bytes. */
function readingAs(bytes: Buffer): ConstructorParameters<typeof StoredBlobs>[0] {
  return {
    size: () => bytes.length,
    noteUse: () => undefined,
    read: () => Promise.resolve(bytes),
    open: () => Promise.resolve(undefined),
  }
}
