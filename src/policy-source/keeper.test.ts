import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { loadPolicies } from '../policy/load.ts'
import type { IndexedPolicySet } from '../policy/policy-index.ts'
import { parseDigest } from '../oci/digest.ts'
import { TrustError } from '../trust/trust-error.ts'
import { HELD } from './held.ts'
import { PolicyKeeper, type PoliciesInForce, type PolicyEvent } from './keeper.ts'
import { failure, type PolicyOrigin, type PolicySource, type Reading } from './source.ts'

const NEVER = new AbortController().signal
const START = new Date('2027-01-01T00:00:00Z')
const ORIGIN: PolicyOrigin = { kind: 'directory', directory: '/policies', revision: undefined }

function policy(name: string, mode = 'enforce'): string {
  const identities = [{ issuer: 'https://issuer.example', subject: 'https://subject.example/a' }]
  const authorities = [{ name: 'release', keyless: { trustRoot: 'test', identities } }]
  const spec = { mode, images: [{ glob: 'ghcr.io/acme/**' }], authorities }
  return JSON.stringify({
    apiVersion: 'portcullis.dev/v1alpha1',
    kind: 'ImagePolicy',
    metadata: { name },
    spec,
  })
}

function files(text: string, origin = ORIGIN): Extract<Reading, { ok: true }> {
  return {
    ok: true,
    content: text,
    origin,
    files: { policies: [{ path: 'a.yaml', text }], keys: new Map() },
  }
}

/** A source that has what it is told, and everything that was done because of it. */
class World implements PolicySource {
  readonly lookEveryMs = 5000
  mayBeMissing = false
  reading: Reading = files(policy('one'))
  keptReading: Extract<Reading, { ok: true }> | undefined
  isNew = true
  compiled = 0
  now = START
  refusal: string | undefined
  fault: Error | undefined
  readonly begun: PoliciesInForce[] = []
  readonly prepared: IndexedPolicySet[] = []
  readonly events: PolicyEvent[] = []

  async mayHaveChanged(): Promise<boolean> {
    return await Promise.resolve(this.isNew)
  }

  async read(): Promise<Reading> {
    return await Promise.resolve(this.reading)
  }

  async kept(): Promise<Extract<Reading, { ok: true }> | undefined> {
    return await Promise.resolve(this.keptReading)
  }

  async open(): ReturnType<typeof PolicyKeeper.open> {
    return await PolicyKeeper.open(
      {
        source: this,
        compile: async ({ policies, keys }) => {
          this.compiled += 1
          const load = loadPolicies({
            files: policies,
            keyFiles: keys,
            trustRoots: new Set(['test']),
            keySets: new Set(),
            rings: new Set(),
            defaultMode: 'observe',
            unmatched: 'observe',
            defaultStance: 'closed',
            stanceLimit: undefined,
          })
          return await Promise.resolve(load)
        },
        prepare: async (set) => {
          if (this.refusal !== undefined) throw new TrustError('refused', this.refusal)
          this.prepared.push(set)
          await Promise.resolve()
        },
        begin: (inForce) => {
          if (this.fault !== undefined) throw this.fault
          this.begun.push(inForce)
        },
        now: () => this.now,
        onEvent: (event) => void this.events.push(event),
      },
      NEVER,
    )
  }

  async keeper(): Promise<PolicyKeeper> {
    const opened = await this.open()
    assert.ok(opened.ok)
    return opened.keeper
  }

  /** The kinds of events since the last call. */
  told(): readonly string[] {
    return this.events.splice(0).map(({ kind }) => kind)
  }

  /** Names of the policies in force. */
  names(): readonly string[] {
    return this.begun.at(-1)?.set.policies.map(({ name }) => name) ?? []
  }
}

suite('policies in force', () => {
  test('at the start the set of the source; where it is bad, its problems and nothing begun', async () => {
    const world = new World()
    await world.keeper()
    assert.deepEqual([world.names(), world.told()], [['one'], ['loaded']])
    const bad = new World()
    bad.reading = files('kind: Nonsense')
    const opened = await bad.open()
    assert.ok(!opened.ok)
    assert.equal(opened.problems[0]?.file, '/policies/a.yaml')
    assert.deepEqual(bad.begun, [])
  })

  test('a source that may be missing: every image is held, loudly, until it is there', async () => {
    const world = new World()
    world.mayBeMissing = true
    world.reading = failure('ghcr.io/acme/policies', 'connection refused', true)
    const keeper = await world.keeper()
    assert.equal(world.begun.at(-1)?.set, HELD)
    assert.equal(keeper.inForce.origin, undefined)
    assert.deepEqual(world.told(), ['refused'])
    world.reading = files(policy('one'))
    await keeper.tick(NEVER)
    assert.deepEqual([world.names(), world.told(), keeper.trouble], [['one'], ['loaded'], undefined])
  })

  test('what was kept begins first, and what is bad of it does not', async () => {
    const world = new World()
    world.keptReading = files(policy('kept'))
    await world.keeper()
    assert.deepEqual(world.names(), ['kept'])
    const damaged = new World()
    damaged.keptReading = files('kind: Nonsense')
    await damaged.keeper()
    assert.deepEqual(damaged.names(), ['one'])
  })

  test('a good set replaces the old one whole; a bad one leaves it, and is told once', async () => {
    const world = new World()
    const keeper = await world.keeper()
    world.told()
    world.now = new Date(START.getTime() + 60_000)
    world.reading = files(`${policy('one')}\n---\n${policy('two')}`)
    await keeper.tick(NEVER)
    assert.deepEqual([world.names(), world.told()], [['one', 'two'], ['loaded']])
    assert.equal(keeper.inForce.since, world.now)

    world.reading = files(`${policy('one')}\n---\n${policy('three', 'nonsense')}`)
    await keeper.tick(NEVER)
    await keeper.tick(NEVER)
    assert.deepEqual([world.names(), world.told()], [['one', 'two'], ['refused']])
    assert.match(
      keeper.trouble?.problems.join() ?? '',
      /^\/policies\/a\.yaml:\d+: spec\.mode: found "nonsense"/,
    )
    assert.equal(await keeper.reload(NEVER), false)
    assert.deepEqual(world.told(), ['refused'], 'whoever asks is told again')

    world.reading = files(`${policy('one')}\n---\n${policy('two')}`)
    await keeper.tick(NEVER)
    assert.deepEqual([world.told(), keeper.trouble], [['unchanged'], undefined])
    assert.equal(world.begun.length, 2, 'what is in force is not begun again')
  })

  test('trouble keeps its time while it is the same, and another is told', async () => {
    const world = new World()
    const keeper = await world.keeper()
    world.told()
    world.reading = failure('/policies', 'not readable: EIO')
    await keeper.tick(NEVER)
    world.now = new Date(START.getTime() + 60_000)
    await keeper.tick(NEVER)
    assert.deepEqual([world.told(), keeper.trouble?.since], [['refused'], START])
    world.reading = failure('/policies', 'not readable: EACCES')
    await keeper.tick(NEVER)
    assert.deepEqual([world.told(), keeper.trouble?.since], [['refused'], world.now])
    assert.equal(keeper.readAt, START)
  })

  test('nothing new is not read, and compiled once for each content', async () => {
    const world = new World()
    const keeper = await world.keeper()
    await keeper.tick(NEVER)
    world.isNew = false
    world.reading = files(policy('unseen'))
    await keeper.tick(NEVER)
    assert.deepEqual([world.names(), world.compiled], [['one'], 1])
    assert.equal(await keeper.reload(NEVER), true)
    assert.deepEqual([world.names(), world.compiled], [['unseen'], 2])
  })

  test('the same files under another name begin again under that name', async () => {
    const world = new World()
    const keeper = await world.keeper()
    const digest = parseDigest(`sha256:${'a'.repeat(64)}`)
    assert.ok(digest !== undefined)
    const origin = {
      kind: 'bundle',
      repository: 'ghcr.io/acme/policies',
      digest,
      serial: 7,
      expires: undefined,
    } as const
    world.reading = files(policy('one'), origin)
    await keeper.tick(NEVER)
    assert.deepEqual([keeper.inForce.origin, world.begun.length, world.compiled], [origin, 2, 1])
  })

  test('keys are obtained before the swap; a reference that must not be followed refuses the set', async () => {
    const world = new World()
    const keeper = await world.keeper()
    world.told()
    world.reading = files(policy('two'))
    world.refusal = 'found awskms://elsewhere/alias/a'
    await keeper.tick(NEVER)
    assert.deepEqual([world.names(), world.told()], [['one'], ['refused']])
    assert.deepEqual(keeper.trouble?.problems, ['/policies: found awskms://elsewhere/alias/a'])
    world.refusal = undefined
    await keeper.tick(NEVER)
    assert.equal(world.prepared.at(-1), world.begun.at(-1)?.set)
    assert.deepEqual(world.names(), ['two'])
  })

  test('one at a time: who asks while it is read gets what is there after that', async () => {
    const world = new World()
    const keeper = await world.keeper()
    const { promise, resolve } = Promise.withResolvers<Reading>()
    const readings = [promise, Promise.resolve(files(policy('three')))]
    world.read = async () => await (readings.shift() ?? assert.fail('read too often'))
    const ticking = keeper.tick(NEVER)
    const asked = keeper.reload(NEVER)
    await keeper.tick(NEVER)
    resolve(files(policy('two')))
    await Promise.all([ticking, asked])
    assert.deepEqual(
      world.begun.flatMap(({ set }) => set.policies.map(({ name }) => name)),
      ['one', 'two', 'three'],
    )
  })

  test('kept only once it is in force', async () => {
    const world = new World()
    const keeper = await world.keeper()
    const order: string[] = []
    const keep = async (): Promise<void> => void order.push(await Promise.resolve(world.names().join()))
    world.reading = { ...files(policy('two')), keep }
    await keeper.tick(NEVER)
    world.reading = { ...files('kind: Nonsense'), keep }
    await keeper.tick(NEVER)
    assert.deepEqual(order, ['two'])
  })

  test('what could not begin is not said to be in force, and begins with the next look', async () => {
    const world = new World()
    const keeper = await world.keeper()
    world.reading = files(policy('two'))
    world.fault = new Error('no memory')
    await assert.rejects(keeper.reload(NEVER), /no memory/)
    assert.deepEqual(keeper.inForce, world.begun.at(-1))
    world.fault = undefined
    assert.ok(await keeper.reload(NEVER))
    assert.deepEqual(world.names(), ['two'])
  })
})
