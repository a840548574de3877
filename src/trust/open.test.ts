import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { before, suite, test, type TestContext } from 'node:test'
import type { TrustRootEntry } from '../config/trust-schema.ts'
import { createSigstore, type Sigstore } from '../testing/sigstore.ts'
import { createTufRepository, type TufRepository } from '../testing/tuf-repository.ts'
import type { KeeperEvent } from './keeper.ts'
import { openTrust, type OpenTrust } from './open.ts'

const DAY = 86_400_000
const never = new AbortController().signal

let one: Sigstore
let two: Sigstore

before(async () => {
  ;[one, two] = await Promise.all([createSigstore(), createSigstore()])
})

type Fixture = {
  readonly repository: TufRepository
  readonly clock: { now: number }
  readonly events: KeeperEvent[]
  readonly open: (references?: readonly string[]) => Promise<OpenTrust>
  /** Another configuration from the next `open` on. */
  readonly configure: (entry: TrustRootEntry) => void
}

async function fixture(
  context: TestContext,
  entryOf: (repository: TufRepository, directory: string) => Promise<TrustRootEntry> | TrustRootEntry,
): Promise<Fixture> {
  const directory = await mkdtemp(join(tmpdir(), 'trust-'))
  const clock = { now: Date.now() }
  const repository = await createTufRepository({
    targets: { 'trusted_root.json': one.trustedRootJson() },
    now: () => new Date(clock.now),
  })
  context.after(async () => {
    await repository.close()
    await rm(directory, { recursive: true })
  })
  const roots = new Map([['corp', await entryOf(repository, directory)]])
  const events: KeeperEvent[] = []
  const trust = {
    roots,
    refresh: 'on' as const,
    refreshEveryMs: 3_600_000,
    staleAfterMs: 3 * DAY,
    unusableAfterMs: 90 * DAY,
    kms: { endpoints: [], refreshEveryMs: 1, keyMaxAgeMs: 1, overlapMs: 1 },
    publications: new Map<string, string>(),
  }
  return {
    repository,
    clock,
    events,
    configure: (entry) => void roots.set('corp', entry),
    open: async (references = []) => {
      const opened = await openTrust(
        { trust, dataDirectory: join(directory, 'data') },
        {
          references,
          now: () => new Date(clock.now),
          elapsed: () => clock.now,
          random: () => 0.5,
          listener: {
            onKeeper: (event) => events.push(event),
            onMirror: () => undefined,
            onKey: () => undefined,
          },
        },
      )
      context.after(() => opened.close())
      return opened
    },
  }
}

async function byFile(repository: TufRepository, directory: string): Promise<TrustRootEntry> {
  await writeFile(join(directory, 'root.json'), repository.root())
  const path = join(directory, 'root.json')
  return { kind: 'tuf', url: repository.url, root: path, rootVersion: 1, target: 'trusted_root.json' }
}

function byDigest(repository: TufRepository): TrustRootEntry {
  const rootDigest = `sha256:${hash('sha256', repository.root(), 'hex')}`
  return { kind: 'tuf', url: repository.url, rootDigest, rootVersion: 1, target: 'trusted_root.json' }
}

function trusted({ keeper }: OpenTrust): string | undefined {
  return keeper.snapshot.roots.get('corp')?.[0]?.json
}

suite('a root that comes by TUF', () => {
  for (const [name, entryOf] of [
    ['a file', byFile],
    ['its digest', byDigest],
  ] as const) {
    test(`first root by ${name}: nothing is trusted before it was had; then it is, also after a restart without network`, async (context) => {
      const { repository, open } = await fixture(context, entryOf)
      const trust = await open()
      assert.equal(trusted(trust), undefined)
      assert.match(trust.keeper.snapshot.unusable.get('corp') ?? '', /was never had from http/)
      assert.deepEqual([...(await trust.keeper.refresh('missing', never))], [])
      assert.equal(trusted(trust), one.trustedRootJson())
      await repository.fault('refused')
      assert.equal(trusted(await open()), one.trustedRootJson())
      // What is served again is the repository's own, byte for byte.
      const mirror = trust.mirrors.get('corp')?.()
      for (const [path, bytes] of repository.files) assert.deepEqual(mirror?.file(path)?.bytes, bytes, path)
    })
  }

  test('another root than the digest says is not believed, and nothing of it is kept', async (context) => {
    const { open } = await fixture(context, (repository) => ({
      ...byDigest(repository),
      kind: 'tuf',
      url: repository.url,
      rootVersion: 1,
      target: 'trusted_root.json',
      rootDigest: `sha256:${'0'.repeat(64)}`,
    }))
    const trust = await open()
    const problems = await trust.keeper.refresh('all', never)
    assert.match(problems.get('corp') ?? '', /its digest is sha256:[0-9a-f]{64}, expected sha256:0000/)
    assert.equal(trusted(await open()), undefined)
  })

  test('a new document is a new snapshot; verdicts depend on it', async (context) => {
    const { repository, open, events } = await fixture(context, byFile)
    const trust = await open()
    await trust.keeper.refresh('all', never)
    const { version } = trust.keeper.snapshot
    repository.publish({ 'trusted_root.json': two.trustedRootJson() })
    await trust.keeper.refresh('all', never)
    assert.equal(trusted(trust), two.trustedRootJson())
    assert.notEqual(trust.keeper.snapshot.version, version)
    assert.equal(events.filter(({ kind }) => kind === 'changed').length, 2)
  })

  for (const text of ['{"mediaType":"application/json"}', '', '[]']) {
    test(`a target that is no trust root (${text}) replaces none, and is told`, async (context) => {
      const { repository, open } = await fixture(context, byFile)
      const trust = await open()
      await trust.keeper.refresh('all', never)
      repository.publish({ 'trusted_root.json': text })
      const problems = await trust.keeper.refresh('all', never)
      assert.match(problems.get('corp') ?? '', /trust root corp/)
      assert.equal(trusted(trust), one.trustedRootJson())
      // Nor after a restart: what was trusted last still is.
      assert.equal(trusted(await open()), one.trustedRootJson())
    })
  }

  test('in an outage: believed, then reported, then believed no more; and again as soon as it is renewed', async (context) => {
    const { repository, open, clock } = await fixture(context, byFile)
    const trust = await open()
    await trust.keeper.refresh('all', never)
    await repository.fault('refused')
    const after = async (days: number): Promise<string> => {
      clock.now += days * DAY
      await trust.keeper.refresh('all', never)
      const [status] = trust.keeper.status()
      return `${status?.state} ${trusted(trust) === undefined ? 'not trusted' : 'trusted'}`
    }
    assert.equal(await after(2), 'fresh trusted')
    assert.equal(await after(2), 'stale trusted')
    assert.match(trust.keeper.status()[0]?.problem ?? '', /last renewed 4 d ago: .*ECONNREFUSED/)
    assert.equal(await after(85), 'stale trusted')
    assert.equal(await after(2), 'unusable not trusted')
    assert.match(trust.keeper.snapshot.unusable.get('corp') ?? '', /91 d ago and is too old to be believed/)
    assert.equal((await open()).keeper.status()[0]?.state, 'unusable')
    await repository.fault(undefined)
    repository.renewRoot()
    repository.publish()
    assert.equal(await after(0), 'fresh trusted')
  })

  test('a mirror that is up but frozen confirms nothing', async (context) => {
    const { repository, open, clock } = await fixture(context, byFile)
    const trust = await open()
    await trust.keeper.refresh('all', never)
    repository.publish(undefined, { expires: { timestamp: new Date(clock.now + DAY) } })
    await trust.keeper.refresh('all', never)
    clock.now += 4 * DAY
    const problems = await trust.keeper.refresh('all', never)
    assert.match(problems.get('corp') ?? '', /expired/)
    assert.equal(trust.keeper.status()[0]?.state, 'stale')
    assert.equal(trusted(trust), one.trustedRootJson())
  })
})

test('another digest in the configuration: it starts, and fetches the root of that digest', async (context) => {
  const { repository, open, configure } = await fixture(context, byDigest)
  await (await open()).keeper.refresh('all', never)
  repository.renewRoot()
  const rootDigest = `sha256:${hash('sha256', repository.root(2), 'hex')}`
  configure({ kind: 'tuf', url: repository.url, rootDigest, rootVersion: 2, target: 'trusted_root.json' })
  const trust = await open()
  assert.equal(trusted(trust), undefined, 'nothing is believed from a root that is configured no more')
  assert.deepEqual([...(await trust.keeper.refresh('all', never))], [])
  assert.equal(trusted(trust), one.trustedRootJson())
  await repository.fault('refused')
  assert.equal(trusted(await open()), one.trustedRootJson())
})

test('a policy does not choose who is sent requests with AWS credentials', async (context) => {
  const { open } = await fixture(context, byFile)
  await open(['awskms:///alias/release', 'awskms://127.0.0.1:5000/alias/release'])
  await assert.rejects(open(['awskms://evil.test/alias/release']), {
    name: 'TrustError',
    code: 'refused',
    message: /would send evil\.test .*add evil\.test to trust\.kms\.endpoints/,
  })
})

test('the built-in root ages from its first start here, also over restarts', async (context) => {
  const { repository, open, clock } = await fixture(context, ({ url }) => ({
    kind: 'public-good',
    mirror: url,
  }))
  await repository.fault('refused')
  assert.equal((await open()).keeper.status()[0]?.state, 'fresh')
  clock.now += 4 * DAY
  assert.equal((await open()).keeper.status()[0]?.state, 'stale')
  clock.now += 87 * DAY
  const trust = await open()
  assert.deepEqual([trust.keeper.status()[0]?.state, trusted(trust)], ['unusable', undefined])
})
