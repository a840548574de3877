import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { createMirrorUnderTest, daysFromNow, isTrustError, never } from '../../testing/tuf-mirror.ts'
import { createTufRepository } from '../../testing/tuf-repository.ts'

const TARGETS = { 'trusted_root.json': '{"v":1}', 'deep/er/signing_config.json': '{}' }
const DELEGATION = { name: 'npm', paths: ['npm/*'], targets: { 'npm/keys.json': '{"keys":[]}' } }

suite('refresh', () => {
  test('takes over everything, and idles with two requests', async () => {
    await using repository = await createTufRepository({ targets: TARGETS, delegation: DELEGATION })
    await using under = await createMirrorUnderTest(repository)
    const mirror = await under.open()
    assert.deepEqual(
      [mirror.state(), mirror.target('trusted_root.json'), mirror.file('timestamp.json')],
      [undefined, undefined, undefined],
    )
    const before = Date.now()
    await mirror.refresh(never())
    const state = mirror.state()
    assert.ok(state !== undefined && state.refreshedAt.getTime() >= before)
    assert.deepEqual(
      state.roles.map(({ role, version }) => `${role} ${version}`),
      ['root 1', 'timestamp 2', 'snapshot 1', 'targets 1', 'npm 1'],
    )
    assert.equal(state.expiresAt.getTime(), state.roles[1]?.expires.getTime())
    for (const [path, content] of Object.entries({ ...TARGETS, ...DELEGATION.targets })) {
      assert.equal(mirror.target(path)?.toString(), content, path)
    }
    assert.equal(mirror.target('other'), undefined)
    const target = mirror.target('trusted_root.json')
    repository.requests.length = 0
    await mirror.refresh(never())
    assert.deepEqual(repository.requests, ['2.root.json', 'timestamp.json'])
    assert.equal(mirror.target('trusted_root.json'), target)
    assert.equal(mirror.state()?.version, state.version)
    assert.deepEqual(under.events, [])
  })

  test('follows rotations of every role, and new content', async () => {
    await using repository = await createTufRepository({ targets: TARGETS, delegation: DELEGATION })
    await using under = await createMirrorUnderTest(repository)
    const mirror = await under.open()
    await mirror.refresh(never())
    for (const role of ['timestamp', 'snapshot', 'targets', 'delegated', 'root'] as const) {
      repository.rotate(role)
      await mirror.refresh(never())
      const versions = Object.fromEntries(mirror.state()?.roles.map((one) => [one.role, one.version]) ?? [])
      const { delegated, ...top } = repository.versions
      assert.deepEqual(versions, { ...top, npm: delegated }, role)
    }
    repository.publish({ 'trusted_root.json': '{"v":2}' })
    await mirror.refresh(never())
    assert.equal(mirror.target('trusted_root.json')?.toString(), '{"v":2}')
    assert.equal(mirror.target('deep/er/signing_config.json'), undefined)
    assert.equal(mirror.state()?.rootVersion, 5)
  })

  test('several roots at once, from an initial one that expired long ago', async () => {
    const long = { expires: { root: daysFromNow(-30) } }
    await using repository = await createTufRepository({ targets: TARGETS, ...long })
    await using under = await createMirrorUnderTest(repository)
    repository.rotate('root', long)
    repository.rotate('root')
    repository.rotate('timestamp')
    const mirror = await under.open()
    await mirror.refresh(never())
    assert.equal(mirror.state()?.rootVersion, 4)
  })

  test('without consistent snapshots, where names stay and bytes change', async () => {
    await using repository = await createTufRepository({
      targets: TARGETS,
      delegation: DELEGATION,
      consistentSnapshot: false,
    })
    await using under = await createMirrorUnderTest(repository)
    const mirror = await under.open()
    await mirror.refresh(never())
    repository.publish({ 'trusted_root.json': '{"v":2}' })
    await mirror.refresh(never())
    assert.equal(mirror.target('trusted_root.json')?.toString(), '{"v":2}')
    assert.equal(mirror.target('npm/keys.json')?.toString(), '{"keys":[]}')
    assert.deepEqual(mirror.file('targets/trusted_root.json'), {
      bytes: Buffer.from('{"v":2}'),
      isImmutable: false,
    })
    assert.equal(mirror.file('1.root.json')?.isImmutable, true)
  })

  test('a role that speaks for a path that nobody gave it is not heard', async () => {
    const targets = { 'npm/keys.json': 'right', 'trusted_root.json': 'forged' }
    await using repository = await createTufRepository({
      targets: {},
      delegation: { ...DELEGATION, targets },
    })
    await using under = await createMirrorUnderTest(repository)
    const mirror = await under.open()
    await mirror.refresh(never())
    assert.equal(mirror.target('npm/keys.json')?.toString(), 'right')
    assert.equal(mirror.target('trusted_root.json'), undefined)
  })

  test('an expired delegated role loses its say, and nothing else does', async () => {
    await using repository = await createTufRepository({ targets: TARGETS, delegation: DELEGATION })
    await using under = await createMirrorUnderTest(repository)
    const mirror = await under.open()
    await mirror.refresh(never())
    repository.publish(TARGETS, { expires: { delegated: daysFromNow(-1) } })
    await mirror.refresh(never())
    assert.equal(mirror.target('npm/keys.json'), undefined)
    assert.equal(mirror.target('trusted_root.json')?.toString(), '{"v":1}')
    assert.ok(mirror.file('2.npm.json') !== undefined)
    assert.deepEqual(
      under.events.map(({ kind }) => kind),
      ['role-expired'],
    )
    const again = await under.open()
    assert.equal(again.target('npm/keys.json'), undefined)
    assert.equal(again.target('trusted_root.json')?.toString(), '{"v":1}')
  })

  test('what the caller objects to does not take the place of what was', async () => {
    await using repository = await createTufRepository({ targets: TARGETS })
    await using under = await createMirrorUnderTest(repository)
    const objectionTo = (targets: ReadonlyMap<string, Buffer>): string | undefined =>
      targets.get('trusted_root.json')?.toString() === 'nonsense' ? 'no trust root' : undefined
    const mirror = await under.open({ deps: { objectionTo } })
    await mirror.refresh(never())
    const state = mirror.state()
    repository.publish({ 'trusted_root.json': 'nonsense' })
    for (const each of [mirror, mirror, await under.open({ deps: { objectionTo } })]) {
      await assert.rejects(
        each.refresh(never()),
        isTrustError('refused', /: no trust root; ours stays as it was at 20/),
      )
      assert.deepEqual(each.state(), state)
    }
    repository.publish({ 'trusted_root.json': '{"v":3}' })
    await mirror.refresh(never())
    assert.equal(mirror.target('trusted_root.json')?.toString(), '{"v":3}')
  })

  test('who asks while one runs shares it, and one who leaves does not end it', async () => {
    await using repository = await createTufRepository({ targets: TARGETS })
    await using under = await createMirrorUnderTest(repository)
    const mirror = await under.open()
    const impatient = new AbortController()
    const [left, stayed] = [mirror.refresh(impatient.signal), mirror.refresh(never())]
    impatient.abort()
    await assert.rejects(left, isTrustError('unavailable', /given up; ours has nothing/))
    await stayed
    assert.equal(repository.requests.filter((path) => path === 'timestamp.json').length, 1)
    assert.ok(mirror.state() !== undefined)
  })

  test('ends when nobody waits any more', async () => {
    await using repository = await createTufRepository({ targets: TARGETS })
    await using under = await createMirrorUnderTest(repository)
    const asked = Promise.withResolvers<AbortSignal>()
    const mirror = await under.open({
      deps: {
        fetch: async (_url, { signal }) => {
          asked.resolve(signal)
          return await new Promise((_resolve, reject) => {
            signal.addEventListener('abort', () => reject(new Error('aborted')))
          })
        },
      },
    })
    const impatient = new AbortController()
    const refresh = mirror.refresh(impatient.signal)
    const signal = await asked.promise
    impatient.abort()
    await assert.rejects(refresh, isTrustError('unavailable', /given up/))
    assert.ok(signal.aborted)
    await assert.rejects(mirror.refresh(AbortSignal.abort()), isTrustError('unavailable', /given up/))
  })
})
