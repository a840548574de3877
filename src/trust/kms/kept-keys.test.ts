import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import nodeFiles, { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, beforeEach, suite, test } from 'node:test'
import { publicKeyOf } from '../../testing/verification.ts'
import type { FetchedKey } from './fetched-key.ts'
import { A, B, DAY, GONE, HOUR, OTHER, read, RELEASE, rsaKey, START, World } from '../../testing/kms-keys.ts'

let root: string
let world: World
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'kms-keys-'))
})
beforeEach(async () => {
  world = new World(join(await mkdtemp(join(root, 'case-')), 'keys'))
})
after(() => rm(root, { recursive: true }))

suite('across a restart', () => {
  test('nobody is asked; age, overlap and loss go on where they were', async () => {
    const first = world.keys({}, [RELEASE, OTHER])
    world.answers.set(OTHER.text, A)
    await world.refresh(first, A)
    world.pass(DAY)
    world.answers.set(OTHER.text, GONE)
    await world.refresh(first, B)
    world.told()
    const { asked } = world

    world.pass(DAY)
    const second = world.keys({}, [RELEASE, OTHER])
    await second.load()
    assert.equal(read(second), 'B, A retiring')
    assert.equal(read(second, OTHER.text), 'A retiring')
    assert.deepEqual(second.nextChangeAt(), new Date(START.getTime() + 8 * DAY))
    assert.deepEqual(second.status()[0]?.current?.stopsAt, new Date(START.getTime() + 31 * DAY))
    assert.deepEqual(second.sets(), first.sets())
    assert.deepEqual([world.asked, world.told()], [asked, []])

    world.pass(6 * DAY)
    const third = world.keys({}, [RELEASE, OTHER])
    await third.load()
    assert.equal(read(third), 'B')
    assert.deepEqual(third.sets().get(OTHER.text), { kind: 'held', keys: [] })
    assert.deepEqual(world.told(), ['retired', 'retired'])
  })

  test('configuration that became shorter counts for what was written before', async () => {
    const first = world.keys()
    await world.refresh(first, A)
    await world.refresh(first, B)
    const second = world.keys({ overlapMs: HOUR })
    await second.load()
    assert.deepEqual(second.nextChangeAt(), new Date(START.getTime() + HOUR))
  })

  test('keys of every scheme come back as they were', async () => {
    const ed25519: FetchedKey = {
      kind: 'key',
      keyId: 'E',
      publicKey: publicKeyOf(generateKeyPairSync('ed25519').publicKey),
    }
    for (const key of [A, ed25519, rsaKey({ hashAlgorithm: 'sha512', padding: 'pss' })]) {
      const first = world.keys()
      await world.refresh(first, key)
      const second = world.keys()
      await second.load()
      assert.deepEqual(second.sets(), first.sets())
    }
  })
})

suite('the disk', () => {
  const onlyFile = async (): Promise<string> => {
    const names = await readdir(world.directory)
    assert.equal(names.length, 1, String(names))
    return join(world.directory, names[0] ?? '')
  }

  test('one file a key, for nobody else to read, and nothing half-written beside it', async () => {
    await world.refresh(world.keys(), A)
    assert.equal((await stat(await onlyFile())).mode & 0o777, 0o600)
    assert.equal((await stat(world.directory)).mode & 0o777, 0o700)
  })

  const damages: readonly (readonly [string, (text: string) => string])[] = [
    ['empty', () => ''],
    ['cut short', (text) => text.slice(0, -10)],
    ['one letter changed', (text) => text.replace('"A"', '"C"')],
    ['longer', (text) => `${text} `],
    ['zeroes', (text) => '\0'.repeat(text.length)],
    ['not ours', () => 'sha256:0\n{}'],
  ]
  for (const [name, damage] of damages) {
    test(`a file that is damaged, ${name}: dropped, told, and fetched again`, async () => {
      await world.refresh(world.keys(), A)
      world.told()
      const path = await onlyFile()
      await writeFile(path, damage(await readFile(path, 'utf8')))
      const keys = world.keys()
      await keys.load()
      assert.match(String(read(keys)), /never obtained/)
      assert.deepEqual([world.told(), await readdir(world.directory)], [['damaged'], []])
      await world.refresh(keys, A)
      assert.equal(read(keys), 'A')
    })
  }

  test('the file of another key in its place: dropped', async () => {
    await world.refresh(world.keys(), A)
    const own = await onlyFile()
    await world.refresh(world.keys({}, [OTHER]), B, OTHER.text)
    const other = (await readdir(world.directory)).map((file) => join(world.directory, file))
    await writeFile(own, await readFile(other.find((path) => path !== own) ?? ''))
    world.told()
    const keys = world.keys()
    await keys.load()
    assert.deepEqual(world.told(), ['damaged'])
    assert.match(String(read(keys)), /never obtained/)
  })

  test('a process that died while writing leaves the old file in its place', async () => {
    await world.refresh(world.keys(), A)
    const files = { ...nodeFiles, rename: async () => assert.fail('killed') }
    const dying = world.keys({ files })
    await dying.load()
    await world.refresh(dying, B)
    assert.equal(read(dying), 'B, A retiring', 'the running process goes on with what it has')
    const next = world.keys()
    await next.load()
    assert.equal(read(next), 'A')
    await world.refresh(next, B)
    assert.equal((await readdir(world.directory)).length, 1)
  })

  test('a full disk is told and takes no key away', async () => {
    const full = Object.assign(new Error('ENOSPC: no space left'), { code: 'ENOSPC' })
    const keys = world.keys({
      files: {
        ...nodeFiles,
        open: async () => {
          throw full
        },
      },
    })
    await world.refresh(keys, A)
    assert.equal(read(keys), 'A')
    assert.deepEqual(world.told(), ['obtained', 'disk'])
  })

  test('a file that cannot be read is told and stays', async () => {
    await world.refresh(world.keys(), A)
    world.told()
    const denied = Object.assign(new Error('EACCES'), { code: 'EACCES' })
    const keys = world.keys({
      files: {
        ...nodeFiles,
        readFile: async () => {
          throw denied
        },
      },
    })
    await keys.load()
    assert.deepEqual(world.told(), ['disk'])
    await onlyFile()
  })

  test('no directory yet is no event', async () => {
    await world.keys().load()
    assert.deepEqual(world.told(), [])
  })
})
