import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, beforeEach, suite, test } from 'node:test'
import {
  A,
  B,
  DAY,
  DENIED,
  DOWN,
  GONE,
  HOUR,
  NEVER,
  newKey,
  OTHER,
  read,
  RELEASE,
  rsaKey,
  START,
  World,
} from '../../testing/kms-keys.ts'

let root: string
let world: World
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'kms-keys-'))
})
beforeEach(async () => {
  world = new World(join(await mkdtemp(join(root, 'case-')), 'keys'))
})
after(() => rm(root, { recursive: true }))

suite('an outage', () => {
  test('a key that was never obtained is missing, and never absent', async () => {
    const keys = world.keys()
    await keys.load()
    assert.match(String(read(keys)), /never obtained: KMS was not asked yet/)
    await world.refresh(keys, DOWN)
    assert.deepEqual(keys.sets().get(RELEASE.text), {
      kind: 'missing',
      dependency: 'kms',
      message: 'the key awskms:///alias/release was never obtained: its KMS cannot be reached',
    })
    assert.match(keys.status()[0]?.problem ?? '', /was never obtained: ECONNREFUSED/)
    assert.deepEqual(world.told(), ['failed'])
  })

  for (const [name, failure] of [
    ['KMS is down', DOWN],
    ['KMS denies access', DENIED],
    ['something unforeseen is thrown', new Error('bug')],
  ] as const) {
    test(`${name}: the key is held for keyMaxAge, to the millisecond`, async () => {
      const keys = world.keys()
      await world.refresh(keys, A)
      assert.deepEqual(world.told(), ['obtained'])
      world.pass(30 * DAY - 1)
      await world.refresh(keys, failure)
      assert.equal(read(keys), 'A')
      assert.deepEqual(keys.nextChangeAt(), new Date(START.getTime() + 30 * DAY))
      assert.deepEqual(world.told(), ['failed'])
      world.pass(1)
      assert.match(String(read(keys)), /last confirmed at 2027-01-01T00:00:00.000Z, too long ago: its KMS/)
      assert.match(keys.status()[0]?.problem ?? '', new RegExp(`too long ago: ${failure.message}`))
      assert.ok(
        !String(read(keys)).includes(failure.message),
        'what KMS says is for the log, not for clients',
      )
      assert.equal(keys.nextChangeAt(), undefined)
      assert.deepEqual(world.told(), ['expired'])
      await world.refresh(keys, A)
      assert.equal(read(keys), 'A')
    })
  }

  test('each success starts keyMaxAge anew', async () => {
    const keys = world.keys()
    await world.refresh(keys, A)
    world.pass(29 * DAY)
    await world.refresh(keys, A)
    world.pass(29 * DAY)
    assert.equal(read(keys), 'A')
    assert.deepEqual(world.told(), ['obtained'])
  })

  test('the same key stays the same object', async () => {
    const keys = world.keys()
    await world.refresh(keys, A)
    const first = keys.sets().get(RELEASE.text)
    await world.refresh(keys, A.kind === 'key' ? { ...A, publicKey: { ...A.publicKey } } : A)
    const second = keys.sets().get(RELEASE.text)
    assert.ok(first?.kind === 'held' && second?.kind === 'held')
    assert.equal(first.keys[0]?.key, second.keys[0]?.key)
  })

  test('one reference that fails leaves the others alone, and is told at the end', async () => {
    const keys = world.keys({}, [RELEASE, OTHER])
    world.answers.set(OTHER.text, A)
    await assert.rejects(keys.refresh(NEVER), {
      name: 'TrustError',
      code: 'unavailable',
      message: 'awskms:///alias/release: ECONNREFUSED',
    })
    assert.equal(read(keys, OTHER.text), 'A')
    assert.match(String(read(keys)), /never obtained/)
    await world.refresh(keys, DENIED, OTHER.text)
    const [release, other] = keys.status()
    assert.deepEqual([release?.state, release?.lastError?.code], ['missing', 'unavailable'])
    assert.deepEqual([other?.state, other?.lastError?.code], ['held', 'refused'])
  })

  test('refreshes at the same time are one; a reference named twice is one', async () => {
    const keys = world.keys({}, [RELEASE, { ...RELEASE }])
    world.answers.set(RELEASE.text, A)
    await Promise.all([keys.refresh(NEVER), keys.refresh(NEVER)])
    assert.equal(world.asked, 1)
    await keys.refresh(NEVER)
    assert.equal(world.asked, 2)
  })
})

suite('an alias that moves', () => {
  test('both keys for the overlap, then the new one', async () => {
    const keys = world.keys()
    await world.refresh(keys, A)
    await world.refresh(keys, B)
    assert.equal(read(keys), 'B, A retiring')
    const set = keys.sets().get(RELEASE.text)
    const until = new Date(START.getTime() + 7 * DAY)
    assert.deepEqual(set?.kind === 'held' && set.keys.map(({ validUntil }) => validUntil), [undefined, until])
    assert.deepEqual(keys.nextChangeAt(), until)
    world.pass(7 * DAY - 1)
    assert.equal(read(keys), 'B, A retiring')
    world.pass(1)
    assert.equal(read(keys), 'B')
    assert.equal(read(keys), 'B')
    assert.deepEqual(world.told(), ['obtained', 'moved', 'retired'])
  })

  test('without an overlap the old key ends at once', async () => {
    const keys = world.keys({ overlapMs: 0 })
    await world.refresh(keys, A)
    await world.refresh(keys, B)
    assert.equal(read(keys), 'B')
    assert.deepEqual(world.told(), ['obtained', 'moved', 'retired'])
  })

  test('to and fro: two keys, however often', async () => {
    const keys = world.keys()
    for (let round = 0; round < 10; round += 1) {
      await world.refresh(keys, A)
      await world.refresh(keys, B)
      world.pass(HOUR)
    }
    assert.equal(read(keys), 'B, A retiring')
    world.pass(7 * DAY)
    assert.equal(read(keys), 'B')
  })

  test('over many keys: only the latest are kept', async () => {
    const keys = world.keys()
    await world.refresh(keys, A)
    for (let round = 0; round < 20; round += 1) {
      world.pass(1)
      await world.refresh(keys, newKey(`${round}`))
    }
    const { retiring = [] } = keys.status()[0] ?? {}
    assert.deepEqual(
      retiring.map(({ keyId }) => keyId),
      ['15', '16', '17', '18'],
    )
    assert.equal(world.told().filter((kind) => kind === 'retired').length, 16)
  })

  test('another scheme of one key is a move too', async () => {
    const keys = world.keys()
    await world.refresh(keys, rsaKey({ hashAlgorithm: 'sha256', padding: 'pkcs1' }))
    await world.refresh(keys, rsaKey({ hashAlgorithm: 'sha256', padding: 'pss' }))
    const set = keys.sets().get(RELEASE.text)
    assert.deepEqual(set?.kind === 'held' && set.keys.map(({ key }) => key.scheme), [
      { hash: 'sha256', pss: true },
      { hash: 'sha256' },
    ])
  })

  test('and another hash', async () => {
    const keys = world.keys()
    await world.refresh(keys, rsaKey({ hashAlgorithm: 'sha256' }))
    await world.refresh(keys, rsaKey({ hashAlgorithm: 'sha512' }))
    assert.deepEqual(world.told(), ['obtained', 'moved'])
  })

  test('one that had already expired is not trusted again beside the new one', async () => {
    const keys = world.keys()
    await world.refresh(keys, A)
    world.pass(31 * DAY)
    await world.refresh(keys, B)
    assert.equal(read(keys), 'B')
  })

  test('an outage after it: the old key ends in time, the new one with keyMaxAge', async () => {
    const keys = world.keys()
    await world.refresh(keys, A)
    await world.refresh(keys, B)
    await world.refresh(keys, DOWN)
    world.pass(7 * DAY)
    assert.equal(read(keys), 'B')
    world.pass(23 * DAY)
    assert.match(String(read(keys)), /too long ago/)
  })
})

suite('a key that is gone', () => {
  test('ends as if the alias had moved, and says so', async () => {
    const keys = world.keys()
    await world.refresh(keys, A)
    await world.refresh(keys, GONE)
    assert.equal(read(keys), 'A retiring')
    assert.deepEqual(world.told(), ['obtained', 'gone', 'failed'])
    assert.deepEqual(keys.status()[0]?.goneSince, START)
    world.pass(6 * DAY)
    await world.refresh(keys, GONE)
    assert.equal(read(keys), 'A retiring', 'asking again does not lengthen it')
    world.pass(DAY)
    assert.deepEqual(keys.sets().get(RELEASE.text), { kind: 'held', keys: [] })
    assert.deepEqual(world.told(), ['failed', 'retired'])
    const [status] = keys.status()
    assert.equal(status?.state, 'gone')
    assert.match(status.problem ?? '', /no key awskms:\S+ since 2027-01-01T00:00:00.000Z: NotFoundException/)
    await world.refresh(keys, DOWN)
    assert.deepEqual(
      keys.sets().get(RELEASE.text),
      { kind: 'held', keys: [] },
      'the answer stands in an outage',
    )
  })

  test('and returns', async () => {
    const keys = world.keys()
    await world.refresh(keys, A)
    await world.refresh(keys, GONE)
    await world.refresh(keys, A)
    assert.equal(read(keys), 'A')
    assert.deepEqual(world.told(), ['obtained', 'gone', 'failed', 'returned'])
  })

  test('and another one comes', async () => {
    const keys = world.keys()
    await world.refresh(keys, A)
    await world.refresh(keys, GONE)
    world.pass(DAY)
    await world.refresh(keys, B)
    assert.equal(read(keys), 'B, A retiring')
    assert.deepEqual(world.told(), ['obtained', 'gone', 'failed', 'moved'])
    world.pass(6 * DAY)
    assert.equal(read(keys), 'B')
  })

  test('coming and going does not collect keys', async () => {
    const keys = world.keys()
    for (let round = 0; round < 20; round += 1) {
      await world.refresh(keys, newKey(`${round}`))
      await world.refresh(keys, GONE)
    }
    assert.ok((keys.status()[0]?.retiring.length ?? 99) <= 5)
  })

  test('one that never was had is an answer all the same: no key, and nothing to wait for', async () => {
    const keys = world.keys()
    await world.refresh(keys, GONE)
    assert.deepEqual(keys.sets().get(RELEASE.text), { kind: 'held', keys: [] })
    assert.deepEqual([keys.status()[0]?.state, world.told()], ['gone', ['failed']])
  })
})

test('status tells what a person needs', async () => {
  const keys = world.keys()
  await world.refresh(keys, A)
  await world.refresh(keys, DOWN)
  assert.deepEqual(keys.status()[0]?.lastError, { code: 'unavailable', message: 'ECONNREFUSED', at: START })
  await world.refresh(keys, B)
  world.pass(HOUR)
  assert.ok(A.kind === 'key' && B.kind === 'key')
  assert.deepEqual(keys.status(), [
    {
      reference: 'awskms:///alias/release',
      state: 'held',
      problem: undefined,
      current: {
        keyId: 'B',
        fingerprint: B.publicKey.id,
        fetchedAt: START,
        ageMs: HOUR,
        stopsAt: new Date(START.getTime() + 30 * DAY),
      },
      retiring: [{ keyId: 'A', fingerprint: A.publicKey.id, until: new Date(START.getTime() + 7 * DAY) }],
      goneSince: undefined,
      lastError: undefined,
    },
  ])
})
