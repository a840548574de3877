import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, beforeEach, suite, test } from 'node:test'
import { A, DAY, DENIED, DOWN, GONE, OTHER, RELEASE, World } from '../../testing/kms-keys.ts'
import { KmsSource } from './kms.ts'

let root: string
let world: World
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'kms-source-'))
})
beforeEach(async () => {
  world = new World(join(await mkdtemp(join(root, 'case-')), 'keys'))
})
after(() => rm(root, { recursive: true }))

suite('the state of KMS keys', () => {
  test('an outage of a key that is held: fresh, with the problem', async () => {
    const keys = world.keys()
    await world.refresh(keys, A)
    await world.refresh(keys, DENIED)
    const { state, problem } = new KmsSource(keys, 1).status()
    assert.deepEqual([state, problem], ['fresh', 'AccessDeniedException: no'])
  })

  test('a key that is gone: stale while it counts, then unusable, with what KMS said', async () => {
    const keys = world.keys()
    await world.refresh(keys, A)
    await world.refresh(keys, GONE)
    const source = new KmsSource(keys, 1)
    assert.equal(source.status().state, 'stale')
    world.pass(7 * DAY)
    const { state, problem } = source.status()
    assert.equal(state, 'unusable')
    assert.match(problem ?? '', /KMS has had no key awskms:\/\/\/alias\/release since .*: NotFoundException/)
  })

  test('of several keys the worst one is told', async () => {
    const keys = world.keys({}, [RELEASE, OTHER])
    await world.refresh(keys, A)
    await world.refresh(keys, DOWN, OTHER.text)
    const { state, problem } = new KmsSource(keys, 1).status()
    assert.equal(state, 'unusable')
    assert.match(problem ?? '', /the key awskms:\/\/\/alias\/other was never obtained: ECONNREFUSED/)
  })
})
