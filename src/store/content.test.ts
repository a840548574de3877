import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import * as nodeFiles from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { describe, it, type TestContext } from 'node:test'
import { digestOf, type Digest } from '../oci/digest.ts'
import { contentPath, type Files } from './content-files.ts'
import { openContentStore, type DirectoryContentStore } from './content.ts'
import { openDatabase, type Database } from './database.ts'
import type { StoreError } from './error.ts'

type Setup = { bytesMax?: number; files?: Files; directory?: string; database?: Database }

type Opened = {
  store: DirectoryContentStore
  directory: string
  database: Database
  errors: StoreError[]
  clock: { ms: number }
}

async function newDirectory(t: TestContext): Promise<string> {
  const directory = await nodeFiles.mkdtemp(join(tmpdir(), 'content-'))
  t.after(() => nodeFiles.rm(directory, { recursive: true, force: true }))
  return directory
}

async function openStore(t: TestContext, setup: Setup = {}): Promise<Opened> {
  const directory = setup.directory ?? (await newDirectory(t))
  const database = setup.database ?? openDatabase(':memory:')
  const errors: StoreError[] = []
  const clock = { ms: 1_000 }
  const store = await openContentStore({
    directory,
    database,
    bytesMax: setup.bytesMax ?? 1_000_000,
    now: () => new Date((clock.ms += 1)),
    onError: (error) => errors.push(error),
    ...(setup.files === undefined ? {} : { files: setup.files }),
  })
  await store.reconciled
  return { store, directory, database, errors, clock }
}

function content(size: number): { bytes: Buffer; digest: Digest } {
  const bytes = randomBytes(size)
  return { bytes, digest: digestOf(bytes) }
}

async function readAll(store: DirectoryContentStore, digest: Digest): Promise<Buffer | undefined> {
  const stream = await store.open(digest)
  return stream === undefined ? undefined : await buffer(stream)
}

const codes = (errors: StoreError[]) => errors.map(({ code }) => code)

/** node:fs/promises with one operation that fails. */
function failing(operation: 'open' | 'mkdir' | 'rename' | 'rm', code: string, isFor: (path: string) => boolean): Files {
  const fail = (path: string) => {
    if (isFor(path)) throw Object.assign(new Error(`${code}: ${operation}`), { code })
  }
  return {
    ...nodeFiles,
    [operation]: async (path: string, ...rest: unknown[]) => {
      fail(path)
      return await (nodeFiles[operation] as (...args: unknown[]) => Promise<unknown>)(path, ...rest)
    },
  }
}

/** Temporary files whose write or sync fails once they hold `bytesMax`. */
function failingHandles(method: 'writeFile' | 'sync', code: string, bytesMax = 0): Files {
  return {
    ...nodeFiles,
    async open(path, flags, mode) {
      const handle = await nodeFiles.open(path, flags, mode)
      if (flags !== 'wx') return handle
      let written = 0
      const write = handle.writeFile.bind(handle)
      handle.writeFile = async (chunk) => {
        written += (chunk as Uint8Array).length
        if (method === 'writeFile' && written > bytesMax) throw Object.assign(new Error(code), { code })
        await write(chunk)
      }
      if (method === 'sync') handle.sync = () => Promise.reject(Object.assign(new Error(code), { code }))
      return handle
    },
  }
}

describe('content store', () => {
  it('gives back what was put, whole and in ranges', async (t) => {
    const { store, errors } = await openStore(t)
    const { bytes, digest } = content(1000)
    await store.put(digest, bytes)
    assert.equal(store.size(digest), 1000)
    assert.deepEqual(await store.read(digest), bytes)
    assert.deepEqual(await readAll(store, digest), bytes)
    const part = await store.open(digest, { start: 10, end: 19 })
    assert.ok(part !== undefined)
    assert.deepEqual(await buffer(part), bytes.subarray(10, 20))
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
    const { digest } = content(1)
    assert.equal(store.size(digest), undefined)
    assert.equal(await store.read(digest), undefined)
    assert.equal(await store.open(digest), undefined)
    assert.deepEqual(errors, [])
  })

  it('shows incoming bytes only when they are committed', async (t) => {
    const { store, directory } = await openStore(t)
    const { bytes, digest } = content(100)
    const incoming = await store.createIncoming(digest)
    await incoming.write(bytes.subarray(0, 50))
    assert.equal(store.size(digest), undefined)
    await incoming.write(bytes.subarray(50))
    assert.equal(await store.open(digest), undefined)
    await incoming.commit()
    assert.deepEqual(await store.read(digest), bytes)
    assert.deepEqual(await nodeFiles.readdir(join(directory, 'incoming')), [])
  })

  it('removes discarded bytes', async (t) => {
    const { store, directory } = await openStore(t)
    const { bytes, digest } = content(100)
    const incoming = await store.createIncoming(digest)
    await incoming.write(bytes)
    await incoming.discard()
    await incoming.discard()
    assert.equal(store.size(digest), undefined)
    assert.deepEqual(await nodeFiles.readdir(join(directory, 'incoming')), [])
  })

  it('takes two writers of one digest', async (t) => {
    const { store, directory } = await openStore(t, { bytesMax: 250 })
    const { bytes, digest } = content(100)
    const [a, b] = [await store.createIncoming(digest), await store.createIncoming(digest)]
    await Promise.all([a.write(bytes), b.write(bytes)])
    await Promise.all([a.commit(), b.commit()])
    assert.deepEqual(await store.read(digest), bytes)
    const other = content(100)
    await store.put(other.digest, other.bytes)
    assert.equal(store.size(digest), 100, 'counted once')
    assert.deepEqual(await nodeFiles.readdir(join(directory, 'incoming')), [])
  })
})

describe('content store after a crash', () => {
  it('removes what was still arriving and keeps what had arrived', async (t) => {
    const directory = await newDirectory(t)
    const database = openDatabase(':memory:')
    const before = await openStore(t, { directory, database })
    const [done, half] = [content(100), content(100)]
    await before.store.put(done.digest, done.bytes)
    const incoming = await before.store.createIncoming(half.digest)
    await incoming.write(half.bytes.subarray(0, 60))
    t.after(() => incoming.discard())

    const after = await openStore(t, { directory, database })
    assert.deepEqual(await nodeFiles.readdir(join(directory, 'incoming')), [])
    assert.equal(after.store.size(half.digest), undefined)
    assert.deepEqual(await after.store.read(done.digest), done.bytes)
  })

  it('takes in files that the index lost, and only those named by a digest in its place', async (t) => {
    const directory = await newDirectory(t)
    const before = await openStore(t, { directory })
    const { bytes, digest } = content(100)
    await before.store.put(digest, bytes)
    const { parent } = contentPath(directory, digest)
    await nodeFiles.writeFile(join(parent, 'notes.txt'), 'not content')

    const after = await openStore(t, { directory, database: openDatabase(':memory:') })
    assert.deepEqual(await after.store.read(digest), bytes)
    assert.deepEqual(after.errors, [])
  })

  it('keeps the budget over files that it takes in', async (t) => {
    const directory = await newDirectory(t)
    const before = await openStore(t, { directory })
    const all = [content(100), content(100), content(100)]
    for (const { digest, bytes } of all) await before.store.put(digest, bytes)
    const after = await openStore(t, { directory, bytesMax: 150, database: openDatabase(':memory:') })
    assert.equal(all.filter(({ digest }) => after.store.size(digest) !== undefined).length, 1)
  })

  const damages: { name: string; damage: (path: string) => Promise<void>; seenBy: 'read' | 'both' }[] = [
    { name: 'a file that is gone', damage: (path) => nodeFiles.rm(path), seenBy: 'both' },
    { name: 'a file that is too short', damage: (path) => nodeFiles.truncate(path, 10), seenBy: 'both' },
    { name: 'an empty file', damage: (path) => nodeFiles.writeFile(path, ''), seenBy: 'both' },
    { name: 'a flipped byte', damage: (path) => nodeFiles.writeFile(path, Buffer.alloc(100)), seenBy: 'read' },
  ]
  for (const { name, damage, seenBy } of damages) {
    for (const method of seenBy === 'both' ? (['read', 'open'] as const) : (['read'] as const)) {
      it(`drops ${name} on ${method}`, async (t) => {
        const { store, directory, errors } = await openStore(t)
        const { bytes, digest } = content(100)
        await store.put(digest, bytes)
        await damage(contentPath(directory, digest).path)
        assert.equal(await store[method](digest), undefined)
        assert.deepEqual(codes(errors), ['damaged'])
        assert.equal(store.size(digest), undefined)
        await store.put(digest, bytes)
        assert.deepEqual(await store.read(digest), bytes, 'heals by the next put')
      })
    }
  }
})

describe('content store budget', () => {
  it('evicts what was used longest ago', async (t) => {
    const { store, errors } = await openStore(t, { bytesMax: 350 })
    const [a, b, c, d] = [content(100), content(100), content(100), content(100)]
    for (const { digest, bytes } of [a, b, c]) await store.put(digest, bytes)
    await store.read(a.digest)
    await store.put(d.digest, d.bytes)
    const stored = [a, b, c, d].map(({ digest }) => store.size(digest) !== undefined)
    assert.deepEqual(stored, [true, false, true, true])
    assert.deepEqual(errors, [])
  })

  it('never evicts content whose stream is open', async (t) => {
    const { store } = await openStore(t, { bytesMax: 250 })
    const [a, b, c] = [content(100), content(100), content(100)]
    await store.put(a.digest, a.bytes)
    const stream = await store.open(a.digest)
    assert.ok(stream !== undefined)
    for (const { digest, bytes } of [b, c]) await store.put(digest, bytes)
    assert.equal(store.size(b.digest), undefined)
    assert.deepEqual(await buffer(stream), a.bytes)
    assert.equal(store.size(a.digest), 100)
  })

  it('may evict it again when the stream was destroyed', async (t) => {
    const { store } = await openStore(t, { bytesMax: 150 })
    const [a, b] = [content(100), content(100)]
    await store.put(a.digest, a.bytes)
    const stream = await store.open(a.digest)
    assert.ok(stream !== undefined)
    const closed = new Promise((resolve) => stream.once('close', resolve))
    stream.destroy()
    await closed
    await store.put(b.digest, b.bytes)
    assert.deepEqual([store.size(a.digest), store.size(b.digest)], [undefined, 100])
  })

  it('counts bytes that are still arriving, once', async (t) => {
    const { store } = await openStore(t, { bytesMax: 250 })
    const [a, b, c] = [content(100), content(100), content(100)]
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
    const [a, huge] = [content(100), content(200)]
    await store.put(a.digest, a.bytes)
    await store.put(huge.digest, huge.bytes)
    assert.deepEqual([store.size(a.digest), store.size(huge.digest)], [100, undefined])
    assert.deepEqual(codes(errors), ['full'])
  })
})

describe('content store on a bad disk', () => {
  const inIncoming = (path: string) => path.includes('incoming') && !path.endsWith('incoming')
  const cases: { name: string; files: Files; code: string }[] = [
    { name: 'no space for the file', files: failing('open', 'ENOSPC', inIncoming), code: 'full' },
    { name: 'no space for the bytes', files: failingHandles('writeFile', 'ENOSPC'), code: 'full' },
    { name: 'quota', files: failingHandles('writeFile', 'EDQUOT'), code: 'full' },
    { name: 'an I/O error at the end', files: failingHandles('sync', 'EIO'), code: 'unavailable' },
    { name: 'a read-only file system', files: failing('open', 'EROFS', inIncoming), code: 'unavailable' },
    { name: 'a rename that fails', files: failing('rename', 'EIO', inIncoming), code: 'unavailable' },
  ]
  for (const { name, files, code } of cases) {
    it(`put survives ${name}`, async (t) => {
      const { store, errors, directory } = await openStore(t, { files })
      const { bytes, digest } = content(100)
      await store.put(digest, bytes)
      assert.equal(store.size(digest), undefined)
      assert.deepEqual(codes(errors), [code])
      assert.deepEqual(await nodeFiles.readdir(join(directory, 'incoming')), [])
    })
  }

  it('does not start on a directory that it cannot make', async (t) => {
    const files = failing('mkdir', 'EROFS', () => true)
    await assert.rejects(openStore(t, { files }), { name: 'StoreError', code: 'unavailable' })
  })

  it('gives up eviction, not the request, where nothing can be removed', async (t) => {
    const files = failing('rm', 'EIO', (path) => path.includes('sha256') && !path.includes('incoming'))
    const { store, errors } = await openStore(t, { files, bytesMax: 150 })
    const [a, b] = [content(100), content(100)]
    await store.put(a.digest, a.bytes)
    await store.put(b.digest, b.bytes)
    assert.deepEqual(await store.read(b.digest), b.bytes)
    assert.ok(errors.length > 0)
  })

  it('leaves no file without an entry where the index refuses one', async (t) => {
    const { store, database, directory, errors } = await openStore(t)
    const { bytes, digest } = content(100)
    database.exec('PRAGMA query_only = ON')
    await store.put(digest, bytes)
    assert.equal(store.size(digest), undefined)
    await assert.rejects(nodeFiles.stat(contentPath(directory, digest).path), { code: 'ENOENT' })
    assert.deepEqual(codes(errors), ['unavailable'])
    database.exec('PRAGMA query_only = OFF')
    await store.put(digest, bytes)
    assert.deepEqual(await store.read(digest), bytes)
  })
})
