import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite, test, type TestContext } from 'node:test'
import { DISK, type DirectoryFileSystem } from './directory-files.ts'
import { DirectorySource } from './directory.ts'
import type { Reading } from './source.ts'

type World = {
  readonly directory: string
  readonly source: DirectorySource
  readonly disk: DirectoryFileSystem
  revision: string | undefined
  write(path: string, text: string): Promise<void>
}

async function start(
  context: TestContext,
  files: Record<string, string> = { 'a.yaml': 'one' },
): Promise<World> {
  const directory = await mkdtemp(join(tmpdir(), 'policies-'))
  context.after(async () => await rm(directory, { recursive: true, force: true }))
  const disk = { ...DISK }
  const world: World = {
    directory,
    disk,
    revision: undefined,
    source: new DirectorySource(
      { directory, lookEveryMs: 5000 },
      { disk, revision: async () => await Promise.resolve(world.revision) },
    ),
    write: async (path, text) => await writeFile(join(directory, path), text),
  }
  for (const [path, text] of Object.entries(files)) {
    // oxlint-disable-next-line no-await-in-loop -- a few small files
    await world.write(path, text)
  }
  return world
}

/** How many looks it takes until it is told to be worth reading; undefined: more than a few. */
async function looksUntilRead({ source }: World): Promise<number | undefined> {
  for (let looks = 1; looks <= 4; looks++) {
    // oxlint-disable-next-line no-await-in-loop -- one look after the other
    if (await source.mayHaveChanged()) return looks
  }
  return undefined
}

async function settled(world: World): Promise<World> {
  assert.equal(await looksUntilRead(world), 2)
  await world.source.read()
  assert.equal(await looksUntilRead(world), undefined)
  return world
}

function textsOf(reading: Reading): Record<string, string> {
  assert.ok(reading.ok, 'expected files')
  return Object.fromEntries([
    ...reading.files.policies.map(({ path, text }) => [path, text] as const),
    ...reading.files.keys,
  ])
}

function problemOf(reading: Reading): string {
  assert.ok(!reading.ok, 'expected a problem')
  return reading.problems.map(({ message }) => message).join('\n')
}

suite('a directory of policies', () => {
  test('policy and key files, by relative path, and nothing else', async (context) => {
    const world = await start(context, { 'b.yml': 'b', 'a.yaml': 'a', 'k.pem': 'k', 'README.md': '-' })
    await mkdir(join(world.directory, 'team'))
    await world.write('team/c.yaml', 'c')
    await world.write('.hidden.yaml', 'h')
    const reading = await world.source.read()
    assert.deepEqual(textsOf(reading), { 'a.yaml': 'a', 'b.yml': 'b', 'team/c.yaml': 'c', 'k.pem': 'k' })
  })

  const changes: readonly (readonly [string, (world: World) => Promise<void>])[] = [
    ['a file of another size', async (world) => await world.write('a.yaml', 'longer')],
    ['a file of the same size', async (world) => await world.write('a.yaml', 'two')],
    ['a new file', async (world) => await world.write('b.yaml', 'b')],
    ['a new key', async (world) => await world.write('b.pem', 'b')],
    ['a file that is gone', async ({ directory }) => await rm(join(directory, 'a.yaml'))],
    [
      'another name',
      async ({ directory }) => await rename(join(directory, 'a.yaml'), join(directory, 'b.yaml')),
    ],
    [
      'another commit',
      async (world) => {
        world.revision = 'f'.repeat(40)
        await Promise.resolve()
      },
    ],
  ]
  for (const [name, change] of changes) {
    test(`seen once it looks the same twice: ${name}`, async (context) => {
      const world = await settled(await start(context))
      await change(world)
      assert.equal(await looksUntilRead(world), 2)
      await world.source.read()
      assert.equal(await looksUntilRead(world), undefined)
    })
  }

  test('not seen: a file that is no policy', async (context) => {
    const world = await settled(await start(context))
    await world.write('README.md', 'hello')
    assert.equal(await looksUntilRead(world), undefined)
  })

  test('a set that is being written is left alone until nothing changes between two looks', async (context) => {
    const world = await settled(await start(context))
    for (const text of ['a', 'ab', 'abc', 'abcd']) {
      // oxlint-disable-next-line no-await-in-loop -- one write after the other
      await world.write('a.yaml', text)
      // oxlint-disable-next-line no-await-in-loop -- likewise
      assert.equal(await world.source.mayHaveChanged(), false)
    }
    assert.equal(await world.source.mayHaveChanged(), true)
  })

  test('a ConfigMap: all files change at once, when the link is swapped', async (context) => {
    const world = await start(context, {})
    const { directory } = world
    const version = async (name: string, text: string): Promise<void> => {
      await mkdir(join(directory, name))
      await writeFile(join(directory, name, 'a.yaml'), text)
      await symlink(name, join(directory, '..data_tmp'))
      await rename(join(directory, '..data_tmp'), join(directory, '..data'))
    }
    await version('..1', 'one')
    await symlink('..data/a.yaml', join(directory, 'a.yaml'))
    await settled(world)
    await version('..2', 'two')
    assert.equal(await looksUntilRead(world), 2)
    assert.deepEqual(textsOf(await world.source.read()), { 'a.yaml': 'two' })
  })

  test('two readings that differ are not mixed: it is read until it is the same twice', async (context) => {
    const world = await start(context, { 'a.yaml': 'old', 'b.yaml': 'old' })
    let reads = 0
    world.disk.readFile = async (path) => {
      reads += 1
      // Between the first file and the second.
      if (reads === 1) await Promise.all([world.write('a.yaml', 'new'), world.write('b.yaml', 'new')])
      return await DISK.readFile(path)
    }
    assert.deepEqual(textsOf(await world.source.read()), { 'a.yaml': 'new', 'b.yaml': 'new' })
  })

  test('a set that never is the same twice is told, and tried again', async (context) => {
    const world = await start(context)
    let reads = 0
    world.disk.readFile = async () => await Promise.resolve(`${reads++}`)
    assert.match(problemOf(await world.source.read()), /^changes while it is read/)
    Object.assign(world.disk, DISK)
    assert.deepEqual(textsOf(await world.source.read()), { 'a.yaml': 'one' })
  })

  test('a disk that fails: told, and looked at again though nothing looks different', async (context) => {
    const world = await settled(await start(context))
    const broken = async (): Promise<never> => await Promise.reject(new Error('EIO: i/o error, read'))
    for (const what of ['readdir', 'stat', 'readFile'] as const) {
      Object.assign(world.disk, DISK, { [what]: broken })
      // oxlint-disable-next-line no-await-in-loop -- one fault after the other
      assert.equal(problemOf(await world.source.read()), 'not readable: EIO: i/o error, read', what)
      Object.assign(world.disk, DISK)
      // oxlint-disable-next-line no-await-in-loop -- likewise
      assert.notEqual(await looksUntilRead(world), undefined, what)
      // oxlint-disable-next-line no-await-in-loop -- likewise
      assert.deepEqual(textsOf(await world.source.read()), { 'a.yaml': 'one' }, what)
    }
  })

  test('a name in capitals is a name', async (context) => {
    const world = await start(context, { 'a.yaml': 'a', 'B.YAML': 'b' })
    assert.deepEqual(textsOf(await world.source.read()), { 'B.YAML': 'b', 'a.yaml': 'a' })
  })

  test('refused: a policy that is masked', async (context) => {
    const world = await start(context)
    await symlink('/dev/null', join(world.directory, 'strict.yaml'))
    assert.match(problemOf(await world.source.read()), /strict\.yaml is no file/)
  })

  test('refused, and soon: links that lead to the same directory again and again', async (context) => {
    const world = await start(context)
    const links = Array.from({ length: 24 }, (_, index) => join(world.directory, `link-${index}`))
    await Promise.all(links.map(async (link) => await symlink('.', link)))
    let stats = 0
    world.disk.stat = async (path) => {
      stats += 1
      return await DISK.stat(path)
    }
    assert.match(problemOf(await world.source.read()), /more than 16384 entries/)
    assert.ok(stats <= 16_384, String(stats))
  })

  test('refused: too much together', async (context) => {
    const names = Array.from({ length: 65 }, (_, index) => [`${index}.yaml`, 'x'] as const)
    const world = await start(context, Object.fromEntries(names))
    world.disk.stat = async (path) => Object.assign(await DISK.stat(path), { size: 1024n * 1024n })
    assert.match(problemOf(await world.source.read()), /more than 67108864 bytes together/)
  })

  const refused: readonly (readonly [string, Record<string, string>, RegExp])[] = [
    ['no policy', { 'k.pem': 'k' }, /^found no policy file/],
    ['a file without end', { 'a.yaml': 'x'.repeat(1024 * 1024 + 1) }, /more than 1048576 bytes/],
  ]
  for (const [name, files, expected] of refused) {
    test(`refused: ${name}`, async (context) => {
      assert.match(problemOf(await (await start(context, files)).source.read()), expected)
    })
  }
})
