import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { TufFault } from '../../testing/tuf-fault.ts'
import { createMirrorUnderTest, daysFromNow, isTrustError, never } from '../../testing/tuf-mirror.ts'
import { createTufRepository } from '../../testing/tuf-repository.ts'
import type { TrustErrorCode } from '../trust-error.ts'

const TARGETS = { 'trusted_root.json': '{"v":1}', 'deep/er/signing_config.json': '{}' }
const DELEGATION = { name: 'npm', paths: ['npm/*'], targets: { 'npm/keys.json': '{"keys":[]}' } }

type Fault = readonly [TufFault, TrustErrorCode, RegExp]

const FAULTS: readonly Fault[] = [
  ['refused', 'unavailable', /root\.json cannot be reached: .*ECONNREFUSED/],
  ['hang', 'unavailable', /root\.json did not answer within 1000 ms/],
  ['error', 'unavailable', /root\.json answered 500/],
  ['throttled', 'unavailable', /root\.json answered 429/],
  ['slow', 'unavailable', /root\.json did not answer within 1000 ms/],
  ['garbage', 'refused', /root\.json: Unexpected token '<'/],
  ['cut-short', 'unavailable', /root\.json cannot be reached/],
  ['too-large', 'refused', /root\.json has more than 512000 bytes/],
  ['expired', 'refused', /timestamp\.json \(version 3\) expired at .*, 1 hour ago: the repository is frozen/],
  ['rollback', 'refused', /timestamp\.json: New timestamp version 1 is less than current version 2/],
  ['wrong-signature', 'refused', /timestamp\.json: timestamp was signed by 0\/1 keys/],
]

/** Only where a test waits for it to pass. */
function patience(fault: TufFault): { fetchTimeoutMs?: number } {
  return fault === 'hang' || fault === 'slow' ? { fetchTimeoutMs: 1_000 } : {}
}

suite('a repository in trouble', () => {
  for (const [fault, code, message] of FAULTS) {
    test(`${fault}: the state stays as it was, and recovers`, async () => {
      await using repository = await createTufRepository({ targets: TARGETS })
      await using under = await createMirrorUnderTest(repository)
      const mirror = await under.open(patience(fault))
      await mirror.refresh(never())
      const state = mirror.state()
      await repository.fault(fault)
      await assert.rejects(mirror.refresh(never()), isTrustError(code, message))
      await assert.rejects(mirror.refresh(never()), isTrustError(code, /; ours stays as it was at 20/))
      assert.deepEqual(mirror.state(), state)
      assert.equal(mirror.target('trusted_root.json')?.toString(), '{"v":1}')
      const restarted = await under.open(patience(fault))
      assert.deepEqual(restarted.state(), state)
      await assert.rejects(restarted.refresh(never()), isTrustError(code, /; ours stays as it was at 20/))
      await repository.fault(undefined)
      repository.publish({ 'trusted_root.json': '{"v":2}' })
      await restarted.refresh(never())
      assert.equal(restarted.target('trusted_root.json')?.toString(), '{"v":2}')
    })

    if (fault !== 'rollback') {
      test(`${fault}: a new mirror has nothing, and says so`, async () => {
        await using repository = await createTufRepository({ targets: TARGETS })
        await using under = await createMirrorUnderTest(repository)
        await repository.fault(fault)
        const mirror = await under.open(patience(fault))
        await assert.rejects(
          mirror.refresh(never()),
          isTrustError(code, /; ours has nothing from this repository yet$/),
        )
        assert.equal(mirror.state(), undefined)
        await repository.fault(undefined)
        if (fault === 'expired') repository.renew()
        await mirror.refresh(never())
        assert.ok(mirror.state() !== undefined)
      })
    }
  }

  const partial: readonly (readonly [string, TufFault, RegExp, Fault[1], RegExp])[] = [
    ['snapshot hangs', 'hang', /snapshot/, 'unavailable', /2\.snapshot\.json did not answer/],
    ['targets answers 500', 'error', /\.targets\.json/, 'unavailable', /2\.targets\.json answered 500/],
    ['delegated role is a web page', 'garbage', /npm\.json/, 'refused', /2\.npm\.json: Unexpected token/],
    ['snapshot is cut short', 'cut-short', /snapshot/, 'unavailable', /2\.snapshot\.json cannot be reached/],
    ['target has other bytes', 'wrong-hash', /^targets/, 'refused', /trusted_root\.json: its sha256 is/],
    ['target does not end', 'too-large', /^targets/, 'refused', /trusted_root\.json has more than 7 bytes/],
  ]
  for (const [name, fault, affects, code, message] of partial) {
    test(`${name}: nothing of the new version is taken`, async () => {
      await using repository = await createTufRepository({ targets: TARGETS, delegation: DELEGATION })
      await using under = await createMirrorUnderTest(repository)
      const mirror = await under.open(patience(fault))
      await mirror.refresh(never())
      const state = mirror.state()
      repository.publish({ 'trusted_root.json': '{"v":2}' })
      await repository.fault(fault, (path) => affects.test(path))
      await assert.rejects(mirror.refresh(never()), isTrustError(code, message))
      assert.deepEqual(mirror.state(), state)
      assert.equal(mirror.target('trusted_root.json')?.toString(), '{"v":1}')
      await repository.fault(undefined)
      await mirror.refresh(never())
      assert.equal(mirror.target('trusted_root.json')?.toString(), '{"v":2}')
    })
  }

  test('a file that is listed and not there', async () => {
    await using repository = await createTufRepository({ targets: TARGETS, delegation: DELEGATION })
    await using under = await createMirrorUnderTest(repository)
    const mirror = await under.open()
    repository.files.delete('1.npm.json')
    await assert.rejects(
      mirror.refresh(never()),
      isTrustError('unavailable', /lists 1\.npm\.json and does not have it/),
    )
    repository.files.delete('timestamp.json')
    await assert.rejects(mirror.refresh(never()), isTrustError('unavailable', /timestamp\.json answered 404/))
  })

  test('time passes and the repository does not move', async () => {
    await using repository = await createTufRepository({ targets: TARGETS })
    await using under = await createMirrorUnderTest(repository)
    const mirror = await under.open()
    await mirror.refresh(never())
    const state = mirror.state()
    under.setNow(daysFromNow(10))
    await assert.rejects(
      mirror.refresh(never()),
      isTrustError(
        'refused',
        /timestamp\.json \(version 2\) expired at .*, 3 days ago: .*; ours stays as it was/,
      ),
    )
    assert.deepEqual(mirror.state(), state)
    assert.deepEqual((await under.open()).state(), state)
    under.setNow(daysFromNow(500))
    await assert.rejects(
      mirror.refresh(never()),
      isTrustError('refused', /root\.json \(version 1\) expired at/),
    )
  })

  test('a newer root counts, whatever is wrong with the rest, also after a restart', async () => {
    await using repository = await createTufRepository({ targets: TARGETS })
    await using under = await createMirrorUnderTest(repository)
    const mirror = await under.open()
    await mirror.refresh(never())
    const old = repository.files.get('timestamp.json')
    assert.ok(old !== undefined)
    // The old timestamp key is stolen, and the root that takes it away was seen once.
    repository.rotate('timestamp')
    await repository.fault('error', (path) => path === 'timestamp.json')
    await assert.rejects(mirror.refresh(never()), isTrustError('unavailable', /answered 500/))
    assert.equal(mirror.state()?.rootVersion, 1)
    await repository.fault(undefined)
    repository.files.delete('2.root.json')
    repository.files.set('timestamp.json', old)
    for (const each of [mirror, await under.open()]) {
      await assert.rejects(
        each.refresh(never()),
        isTrustError('refused', /timestamp was signed by 0\/1 keys/),
      )
      assert.equal(each.state()?.rootVersion, 1)
      assert.equal(each.target('trusted_root.json')?.toString(), '{"v":1}')
    }
  })
})
