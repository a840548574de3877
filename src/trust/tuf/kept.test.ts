import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { suite, test } from 'node:test'
import * as nodeFiles from 'node:fs/promises'
import { join } from 'node:path'
import type { Files } from '../../store/content-files.ts'
import { createMirrorUnderTest, never, type MirrorUnderTest } from '../../testing/tuf-mirror.ts'
import { createTufRepository } from '../../testing/tuf-repository.ts'
import type { FetchBytes } from './fetch.ts'

const TARGETS = { 'trusted_root.json': '{"v":1}', 'other.txt': 'another target' }

const noNetwork: FetchBytes = async (url) => assert.fail(`asked for ${url}`)

async function fill(under: MirrorUnderTest): Promise<void> {
  const mirror = await under.open()
  await mirror.refresh(never())
}

suite('open', () => {
  test('verifies what is on disk, without network, whatever has expired since', async () => {
    await using repository = await createTufRepository({ targets: TARGETS })
    await using under = await createMirrorUnderTest(repository)
    repository.rotate('root')
    const mirror = await under.open()
    await mirror.refresh(never())
    await repository.close()
    for (const year of [2031, 2099]) {
      under.setNow(new Date(Date.UTC(year)))
      const again = await under.open({ deps: { fetch: noNetwork } })
      assert.deepEqual(again.state(), mirror.state())
      assert.equal(again.target('trusted_root.json')?.toString(), '{"v":1}')
      assert.deepEqual(again.file('2.root.json'), mirror.file('2.root.json'))
    }
    assert.deepEqual(under.events, [])
  })

  test('leftovers of a crash are removed', async () => {
    await using repository = await createTufRepository({ targets: TARGETS })
    await using under = await createMirrorUnderTest(repository)
    await fill(under)
    const blobs = join(under.directory, 'files')
    const before = (await nodeFiles.readdir(blobs)).toSorted()
    await nodeFiles.writeFile(join(blobs, `${'0'.repeat(64)}.new`), 'half a fi')
    await nodeFiles.writeFile(join(blobs, 'f'.repeat(64)), 'of no generation')
    await nodeFiles.writeFile(join(under.directory, 'index.new'), 'half an ind')
    await nodeFiles.mkdir(join(under.directory, 'work', 'metadata'), { recursive: true })
    await under.open()
    assert.deepEqual((await nodeFiles.readdir(under.directory)).toSorted(), ['files', 'index'])
    assert.deepEqual((await nodeFiles.readdir(blobs)).toSorted(), before)
  })

  test('another initial root: what it does not vouch for is dropped, and fetched again', async () => {
    await using repository = await createTufRepository({ targets: TARGETS })
    await using other = await createTufRepository({ targets: { 'trusted_root.json': 'other' } })
    await using under = await createMirrorUnderTest(repository)
    await fill(under)
    const mirror = await under.open({ initialRoot: other.root(), url: other.url })
    assert.equal(mirror.state(), undefined)
    assert.match(
      under.events[0]?.message ?? '',
      /does not verify from the initial root .*signed by 0\/1 keys/,
    )
    await mirror.refresh(never())
    assert.equal(mirror.target('trusted_root.json')?.toString(), 'other')
  })

  test('a newer initial root, as a release brings it', async () => {
    await using repository = await createTufRepository({ targets: TARGETS })
    await using under = await createMirrorUnderTest(repository)
    await fill(under)
    repository.renewRoot()
    const mirror = await under.open({ initialRoot: repository.root(2) })
    assert.equal(mirror.target('trusted_root.json')?.toString(), '{"v":1}')
    assert.equal(mirror.state()?.rootVersion, 2)
    assert.equal(mirror.file('1.root.json'), undefined)
  })

  test('a directory that cannot be used', async () => {
    await using repository = await createTufRepository({ targets: TARGETS })
    await using under = await createMirrorUnderTest(repository)
    await nodeFiles.writeFile(under.directory, 'a file')
    await assert.rejects(under.open(), { name: 'TrustError', code: 'unavailable' })
  })

  test('an initial root that is none', async () => {
    await using repository = await createTufRepository({ targets: TARGETS })
    await using under = await createMirrorUnderTest(repository)
    await assert.rejects(under.open({ initialRoot: Buffer.from('{}') }), { code: 'trust-root' })
  })
})

suite('damage on disk', () => {
  test('any changed file of any kind: dropped whole, told, and fetched again', async () => {
    await using repository = await createTufRepository({ targets: TARGETS })
    await using under = await createMirrorUnderTest(repository)
    await fill(under)
    const names = [
      'index',
      ...(await nodeFiles.readdir(join(under.directory, 'files'))).map((name) => `files/${name}`),
    ]
    assert.equal(names.length, 7)
    for (const name of names) {
      for (const damage of ['flipped', 'emptied', 'removed'] as const) {
        await harm(join(under.directory, name), damage)
        under.events.length = 0
        const mirror = await under.open({ deps: { fetch: noNetwork } })
        const what = `${damage} ${name}`
        assert.equal(mirror.state(), undefined, what)
        assert.equal(mirror.target('trusted_root.json'), undefined, what)
        assert.equal(mirror.file('timestamp.json'), undefined, what)
        if (what !== 'removed index') assert.equal(under.events[0]?.kind, 'damaged', what)
        const healed = await under.open()
        await healed.refresh(never())
        assert.equal(healed.target('trusted_root.json')?.toString(), '{"v":1}', what)
        assert.deepEqual((await under.open({ deps: { fetch: noNetwork } })).state(), healed.state(), what)
      }
    }
  })

  test('a rollback is still told after a target was damaged', async () => {
    await using repository = await createTufRepository({ targets: TARGETS })
    await using under = await createMirrorUnderTest(repository)
    const old = new Map(repository.files)
    repository.publish({ 'trusted_root.json': '{"v":2}' })
    await fill(under)
    await harm(join(under.directory, 'files', hash('sha256', '{"v":2}', 'hex')), 'flipped')
    const mirror = await under.open()
    assert.equal(mirror.state(), undefined)
    for (const [file, bytes] of old) repository.files.set(file, bytes)
    await assert.rejects(mirror.refresh(never()), { code: 'refused', message: /less than current version 3/ })
  })
})

async function harm(path: string, damage: 'flipped' | 'emptied' | 'removed'): Promise<void> {
  if (damage === 'removed') return await nodeFiles.rm(path)
  const bytes = await nodeFiles.readFile(path)
  bytes.writeUInt8(bytes.readUInt8(bytes.length >> 1) ^ 1, bytes.length >> 1)
  await nodeFiles.writeFile(path, damage === 'emptied' ? '' : bytes)
}

/** File operations that stop for good before number `count`, as a process does that is killed there. */
function killedAfter(count: number): Files & { readonly left: () => number } {
  let left = count
  const step = async <T>(work: () => Promise<T>): Promise<T> => {
    if (left === 0) throw new Error('killed')
    left -= 1
    return await work()
  }
  return {
    left: () => left,
    open: async (path, flags, mode) => {
      const handle = await step(async () => await nodeFiles.open(path, flags, mode))
      const writeFile = handle.writeFile.bind(handle)
      const sync = handle.sync.bind(handle)
      Object.assign(handle, {
        writeFile: async (bytes: Buffer) => {
          // What is written when it stops is half of it.
          if (left === 0) await writeFile(bytes.subarray(0, bytes.length >> 1))
          return await step(async () => await writeFile(bytes))
        },
        sync: async () => await step(async () => await sync()),
      })
      return handle
    },
    readFile: async (path) => await nodeFiles.readFile(path),
    mkdir: async (path, options) => await step(async () => await nodeFiles.mkdir(path, options)),
    rename: async (from, to) => await step(async () => await nodeFiles.rename(from, to)),
    rm: async (path, options) => await step(async () => await nodeFiles.rm(path, options)),
    readdir: async (path, options) => await nodeFiles.readdir(path, options),
    stat: async (path) => await nodeFiles.stat(path),
  }
}

test('killed before any one write: the old or the new generation, and no other', async () => {
  await using repository = await createTufRepository({ targets: TARGETS })
  await using under = await createMirrorUnderTest(repository)
  await fill(under)
  const seen = new Set<string>()
  for (let count = 0, done = false; !done; count += 1) {
    const before = (await under.open({ deps: { fetch: noNetwork } })).state()
    repository.publish({ 'trusted_root.json': `{"v":${count + 2}}` })
    const files = killedAfter(count)
    try {
      const mirror = await under.open({ deps: { files } })
      await mirror.refresh(never())
      done = files.left() > 0
    } catch {
      // Killed; which generation is there is what counts.
    }
    const after = await under.open({ deps: { fetch: noNetwork } })
    const timestamp = after.state()?.roles.find(({ role }) => role === 'timestamp')?.version
    const isNew = timestamp === repository.versions.timestamp
    if (!isNew) assert.deepEqual(after.state(), before, `killed at ${count}`)
    if (isNew) assert.equal(after.target('trusted_root.json')?.toString(), `{"v":${count + 2}}`)
    seen.add(isNew ? 'new' : 'old')
  }
  assert.deepEqual([...seen].toSorted(), ['new', 'old'])
  assert.deepEqual(under.events, [])
})

test('a full disk: the state stays, and says so', async () => {
  await using repository = await createTufRepository({ targets: TARGETS })
  await using under = await createMirrorUnderTest(repository)
  await fill(under)
  const full = {
    ...killedAfter(1_000),
    rename: async () => await Promise.reject(new Error('ENOSPC: no space left')),
  }
  const mirror = await under.open({ deps: { files: full } })
  const state = mirror.state()
  repository.publish({ 'trusted_root.json': '{"v":2}' })
  const message = /mirror cannot be written: ENOSPC.*; ours stays as it was/
  await assert.rejects(mirror.refresh(never()), { code: 'unavailable', message })
  assert.deepEqual(mirror.state(), state)
  assert.equal(mirror.target('trusted_root.json')?.toString(), '{"v":1}')
})
