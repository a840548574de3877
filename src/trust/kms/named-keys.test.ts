import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite, test, type TestContext } from 'node:test'
import { A, B, DOWN, NEVER, OTHER, RELEASE, START, World } from '../../testing/kms-keys.ts'
import { TrustKeeper } from '../keeper.ts'
import { TrustError } from '../trust-error.ts'
import { NamedKeys } from './named-keys.ts'

type Opened = { readonly world: World; readonly keeper: TrustKeeper; readonly keys: NamedKeys }

async function open(context: TestContext): Promise<Opened> {
  const directory = await mkdtemp(join(tmpdir(), 'named-keys-'))
  context.after(async () => await rm(directory, { recursive: true }))
  const world = new World(directory)
  world.answers.set(RELEASE.text, A)
  world.answers.set(OTHER.text, B)
  return reopen(world)
}

/** As after a start over the same disk. */
function reopen(world: World): Opened {
  const keeper = new TrustKeeper([], {
    now: () => START,
    elapsed: () => 0,
    random: () => 0,
    onEvent: () => undefined,
  })
  const settings = { endpoints: [], refreshEveryMs: 3_600_000 }
  return { world, keeper, keys: new NamedKeys(keeper, world.keys({}, []), settings) }
}

/** What the snapshot has of each reference. */
function held({ keeper }: Opened): readonly (readonly [string, string])[] {
  return [...keeper.snapshot.keys].map(([reference, { kind }]) => [reference, kind] as const)
}

suite('keys that policies name', () => {
  test('none: no source, and nothing to ask', async (context) => {
    const opened = await open(context)
    await opened.keys.add(['keys:release'], NEVER)
    assert.deepEqual([held(opened), opened.keeper.status()], [[], []])
  })

  test('more and fewer while it runs; what is held is not asked for again', async (context) => {
    const opened = await open(context)
    await opened.keys.add([RELEASE.text], NEVER)
    assert.deepEqual(held(opened), [[RELEASE.text, 'held']])
    await opened.keys.add([RELEASE.text, OTHER.text], NEVER)
    assert.deepEqual([held(opened).length, opened.world.asked], [2, 2])
    opened.keys.keep([OTHER.text])
    assert.deepEqual(held(opened), [[OTHER.text, 'held']])
    assert.equal(opened.keeper.status().length, 1)
  })

  test('a key that comes back is read from disk, though its KMS is away', async (context) => {
    const first = await open(context)
    await first.keys.add([RELEASE.text], NEVER)
    first.world.answers.set(RELEASE.text, DOWN)
    const second = reopen(first.world)
    await second.keys.add([RELEASE.text], NEVER)
    assert.deepEqual([held(second), first.world.asked], [[[RELEASE.text, 'held']], 1])
  })

  test('one that cannot be had is missing, in the same snapshot', async (context) => {
    const opened = await open(context)
    opened.world.answers.set(RELEASE.text, DOWN)
    await opened.keys.add([RELEASE.text], NEVER)
    assert.deepEqual(held(opened), [[RELEASE.text, 'missing']])
  })

  test('nobody is asked without a signal', async (context) => {
    const opened = await open(context)
    await opened.keys.add([RELEASE.text], undefined)
    assert.deepEqual([held(opened), opened.world.asked], [[[RELEASE.text, 'missing']], 0])
  })

  test('one that must not be followed changes nothing', async (context) => {
    const opened = await open(context)
    const version = opened.keeper.snapshot.version
    await assert.rejects(
      opened.keys.add([RELEASE.text, 'awskms://evil.example/alias/a'], NEVER),
      (error) => error instanceof TrustError && error.code === 'refused',
    )
    assert.deepEqual([opened.keeper.snapshot.version, opened.world.asked], [version, 0])
  })
})
