import assert from 'node:assert/strict'
import { stat } from 'node:fs/promises'
import { describe, it } from 'node:test'
import { readToEnd } from '../byte-reader.ts'
import {
  failingFiles,
  failingHandles,
  incomingFiles,
  openStore,
  randomContent,
} from '../testing/content-store.ts'
import { contentPath, type Files } from './content-files.ts'
import { openContentStore } from './content.ts'
import type { StoreError } from './error.ts'

const codes = (errors: StoreError[]) => errors.map(({ code }) => code)

describe('content store budget', () => {
  it('evicts what was used longest ago', async (t) => {
    const { store, errors } = await openStore(t, { bytesMax: 350 })
    const [a, b, c, d] = [randomContent(100), randomContent(100), randomContent(100), randomContent(100)]
    for (const { digest, bytes } of [a, b, c]) await store.put(digest, bytes)
    await store.read(a.digest)
    await store.put(d.digest, d.bytes)
    const stored = [a, b, c, d].map(({ digest }) => store.size(digest) !== undefined)
    assert.deepEqual(stored, [true, false, true, true])
    assert.deepEqual(errors, [])
  })

  it('never evicts content whose reader is open', async (t) => {
    const { store } = await openStore(t, { bytesMax: 250 })
    const [a, b, c] = [randomContent(100), randomContent(100), randomContent(100)]
    await store.put(a.digest, a.bytes)
    const reader = await store.open(a.digest)
    assert.ok(reader !== undefined)
    for (const { digest, bytes } of [b, c]) await store.put(digest, bytes)
    assert.equal(store.size(b.digest), undefined)
    assert.deepEqual(await readToEnd(reader), a.bytes)
    assert.equal(store.size(a.digest), 100)
  })

  it('evicts by number too: a file takes a block and an inode, however small it is', async (t) => {
    const { directory, database, errors } = await openStore(t)
    const clock = { ms: 0 }
    const store = await openContentStore({
      directory,
      database,
      bytesMax: 1024 ** 3,
      filesMax: 3,
      now: () => new Date((clock.ms += 1)),
      onError: (error) => errors.push(error),
    })
    const all = Array.from({ length: 6 }, () => randomContent(16))
    for (const { digest, bytes } of all) await store.put(digest, bytes)
    const kept = all.filter(({ digest }) => store.size(digest) !== undefined)
    assert.deepEqual(kept, all.slice(-3))
    assert.deepEqual(errors, [])
    await store.close()
  })

  it('is not held up by an entry whose name is no digest', async (t) => {
    const { store, database } = await openStore(t, { bytesMax: 250 })
    for (let index = 0; index < 40; index += 1)
      database.prepare('INSERT INTO content VALUES (?, 1, 0)').run(`damaged ${index}`)
    const [a, b, c] = [randomContent(100), randomContent(100), randomContent(100)]
    for (const { digest, bytes } of [a, b, c]) await store.put(digest, bytes)
    assert.deepEqual(
      [a, b, c].map(({ digest }) => store.size(digest) !== undefined),
      [false, true, true],
    )
  })

  it('goes beyond the budget while everything is in use', async (t) => {
    const { store, errors } = await openStore(t, { bytesMax: 100 })
    const [a, b] = [randomContent(100), randomContent(100)]
    await store.put(a.digest, a.bytes)
    const reader = await store.open(a.digest)
    assert.ok(reader !== undefined)
    const incoming = await store.createIncoming(b.digest)
    await incoming.write(b.bytes)
    assert.equal(store.size(a.digest), 100)
    await incoming.discard()
    assert.deepEqual(await readToEnd(reader), a.bytes)
    assert.deepEqual(errors, [])
  })

  it('may evict it again when the reader was closed', async (t) => {
    const { store } = await openStore(t, { bytesMax: 150 })
    const [a, b] = [randomContent(100), randomContent(100)]
    await store.put(a.digest, a.bytes)
    const reader = await store.open(a.digest)
    assert.ok(reader !== undefined)
    reader.close()
    await store.put(b.digest, b.bytes)
    assert.deepEqual([store.size(a.digest), store.size(b.digest)], [undefined, 100])
  })

  it('counts bytes that are still arriving, once', async (t) => {
    const { store } = await openStore(t, { bytesMax: 250 })
    const [a, b, c] = [randomContent(100), randomContent(100), randomContent(100)]
    await store.put(a.digest, a.bytes)
    const incoming = await store.createIncoming(b.digest)
    await incoming.write(b.bytes)
    await incoming.commit()
    assert.equal(store.size(a.digest), 100, 'both fit')
    const third = await store.createIncoming(c.digest)
    await third.write(c.bytes)
    assert.equal(store.size(a.digest) ?? store.size(b.digest), 100)
    assert.equal([a, b].filter(({ digest }) => store.size(digest) !== undefined).length, 1)
    await third.discard()
  })

  it('refuses what is larger than the budget without evicting the rest', async (t) => {
    const { store, errors } = await openStore(t, { bytesMax: 150 })
    const [a, huge] = [randomContent(100), randomContent(200)]
    await store.put(a.digest, a.bytes)
    await store.put(huge.digest, huge.bytes)
    assert.deepEqual([store.size(a.digest), store.size(huge.digest)], [100, undefined])
    assert.deepEqual(codes(errors), ['full'])
  })
})

describe('content store on a bad disk', () => {
  const inIncoming = (path: string) => path.includes('incoming') && !path.endsWith('incoming')
  const cases: { name: string; files: Files; code: string }[] = [
    { name: 'no space for the file', files: failingFiles('open', 'ENOSPC', inIncoming), code: 'full' },
    { name: 'no space for the bytes', files: failingHandles('writev', 'ENOSPC'), code: 'full' },
    { name: 'quota', files: failingHandles('writev', 'EDQUOT'), code: 'full' },
    { name: 'an I/O error at the end', files: failingHandles('sync', 'EIO'), code: 'unavailable' },
    {
      name: 'a read-only file system',
      files: failingFiles('open', 'EROFS', inIncoming),
      code: 'unavailable',
    },
    { name: 'a rename that fails', files: failingFiles('rename', 'EIO', inIncoming), code: 'unavailable' },
  ]
  for (const { name, files, code } of cases) {
    it(`put survives ${name}`, async (t) => {
      const { store, errors, directory } = await openStore(t, { files })
      const { bytes, digest } = randomContent(100)
      await store.put(digest, bytes)
      assert.equal(store.size(digest), undefined)
      assert.deepEqual(codes(errors), [code])
      assert.deepEqual(await incomingFiles(directory), [])
    })
  }

  it('does not start on a directory that it cannot make', async (t) => {
    const files = failingFiles('mkdir', 'EROFS', () => true)
    await assert.rejects(openStore(t, { files }), { name: 'StoreError', code: 'unavailable' })
  })

  it('gives up eviction, not the request, where nothing can be removed', async (t) => {
    const files = failingFiles('rm', 'EIO', (path) => path.includes('sha256') && !path.includes('incoming'))
    const { store, errors } = await openStore(t, { files, bytesMax: 150 })
    const [a, b] = [randomContent(100), randomContent(100)]
    await store.put(a.digest, a.bytes)
    await store.put(b.digest, b.bytes)
    assert.deepEqual(await store.read(b.digest), b.bytes)
    assert.ok(errors.length > 0)
  })

  it('leaves no file without an entry where the index refuses one', async (t) => {
    const { store, database, directory, errors } = await openStore(t)
    const { bytes, digest } = randomContent(100)
    database.exec('PRAGMA query_only = ON')
    await store.put(digest, bytes)
    assert.equal(store.size(digest), undefined)
    await assert.rejects(stat(contentPath(directory, digest).path), { code: 'ENOENT' })
    assert.deepEqual(codes(errors), ['unavailable'])
    database.exec('PRAGMA query_only = OFF')
    await store.put(digest, bytes)
    assert.deepEqual(await store.read(digest), bytes)
  })
})
