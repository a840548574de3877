import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { Metadata, Root } from '@tufjs/models'
import { createTufKey } from '../../testing/tuf-key.ts'
import { createMirrorUnderTest, isTrustError, never } from '../../testing/tuf-mirror.ts'
import { createTufRepository, type TufRepository } from '../../testing/tuf-repository.ts'

const TARGETS = { 'trusted_root.json': '{"v":1}' }

/** A root 2 that leads to the real root 3: it takes one of the real keys, and one signature of its author's own. */
function forgeOlderRoot(repository: TufRepository): Buffer {
  const { key, sign } = createTufKey()
  const { signed } = JSON.parse(repository.root(3).toString())
  const keyids = [...signed.roles.root.keyids, key.keyID]
  const role = { keyids, threshold: 1 }
  const root = Root.fromJSON({
    ...signed,
    version: 2,
    keys: { ...signed.keys, [key.keyID]: key.toJSON() },
    roles: { root: role, timestamp: role, snapshot: role, targets: role },
  })
  const metadata = new Metadata(root)
  metadata.sign(sign)
  return Buffer.from(JSON.stringify(metadata.toJSON()))
}

suite('roots from before the initial one', () => {
  test('nobody can vouch for them: not asked for, not kept, not served', async () => {
    await using repository = await createTufRepository({ targets: TARGETS })
    await using under = await createMirrorUnderTest(repository)
    repository.renewRoot()
    repository.renewRoot()
    repository.files.set('2.root.json', forgeOlderRoot(repository))
    const mirror = await under.open({ initialRoot: repository.root(3) })
    await mirror.refresh(never())
    for (const each of [mirror, await under.open({ initialRoot: repository.root(3) })]) {
      assert.deepEqual(each.file('3.root.json')?.bytes, repository.root(3))
      assert.deepEqual([each.file('1.root.json'), each.file('2.root.json')], [undefined, undefined])
    }
    assert.deepEqual(
      repository.requests.filter((path) => /^[12]\.root\.json$/.test(path)),
      [],
    )
  })
})

suite('roots that were seen', () => {
  test('an older initial root does not make them unseen', async () => {
    await using repository = await createTufRepository({ targets: TARGETS })
    await using under = await createMirrorUnderTest(repository)
    const revoked = new Map(repository.files)
    repository.rotate('timestamp')
    repository.renewRoot()
    const newer = await under.open({ initialRoot: repository.root(3) })
    await newer.refresh(never())
    const honest = new Map(repository.files)
    repository.files.clear()
    for (const [file, bytes] of revoked) repository.files.set(file, bytes)
    // Twice: what was refused must not have been remembered in place of what was seen.
    for (let count = 0; count < 2; count += 1) {
      const older = await under.open()
      await assert.rejects(
        older.refresh(never()),
        isTrustError('refused', /root 3 was seen before, and the roots now end at 1; ours has nothing/),
      )
      assert.equal(older.state(), undefined)
    }
    for (const [file, bytes] of honest) repository.files.set(file, bytes)
    const healed = await under.open()
    await healed.refresh(never())
    assert.equal(healed.state()?.rootVersion, 3)
  })

  test('an initial root that led nowhere is not one of them', async () => {
    await using repository = await createTufRepository({ targets: TARGETS })
    await using other = await createTufRepository({ targets: TARGETS })
    await using under = await createMirrorUnderTest(repository)
    for (let count = 0; count < 6; count += 1) other.renewRoot()
    const mistaken = await under.open({ initialRoot: other.root(7) })
    await assert.rejects(mistaken.refresh(never()), isTrustError('refused', /signed by 0\/1 keys/))
    const mirror = await under.open()
    await mirror.refresh(never())
    assert.equal(mirror.state()?.rootVersion, 1)
  })

  test('a rollback is told where a newer initial root lets the repository go', async () => {
    await using repository = await createTufRepository({ targets: TARGETS })
    await using under = await createMirrorUnderTest(repository)
    const old = repository.files.get('timestamp.json')
    assert.ok(old !== undefined)
    repository.publish({ 'trusted_root.json': '{"v":2}' })
    await (await under.open()).refresh(never())
    // What is kept is signed by a key that the next root takes away; its timestamp is not.
    repository.rotate('targets')
    const mirror = await under.open({ initialRoot: repository.root(2) })
    assert.deepEqual([mirror.state(), under.events.map(({ kind }) => kind)], [undefined, ['damaged']])
    repository.files.set('timestamp.json', old)
    await assert.rejects(mirror.refresh(never()), isTrustError('refused', /2 is less than current version 3/))
  })
})
