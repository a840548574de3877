import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import nodeFiles, { mkdtemp, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite, test, type TestContext } from 'node:test'
import { digestOf } from '../../oci/digest.ts'
import { MEDIA_TYPE } from '../../oci/manifest-types.ts'
import { parseImageReference } from '../../oci/reference.ts'
import { signImage, type Place } from '../../testing/evidence.ts'
import { startRegistry, type TestRegistry } from '../../testing/registry.ts'
import { createSigstore, managedSigner } from '../../testing/sigstore.ts'
import { createTrustSnapshot } from '../../trust/snapshot.ts'
import { createTestClient } from '../../upstream/testing/scripted-server.ts'
import { createVerificationRunner } from '../../work/runner.ts'
import type { Reading } from '../source.ts'
import { KeptBundle } from './kept-bundle.ts'
import { packBundle } from './pack.ts'
import { createRootPolicy, type BundleSigner } from './root-policy.ts'
import { BundleSource, type BundleSourceDeps } from './source.ts'

const NEVER = new AbortController().signal
const [OWN, OTHER] = [generateKeyPairSync('ed25519'), generateKeyPairSync('ed25519')]
const pemOf = ({ publicKey }: typeof OWN): string =>
  publicKey.export({ type: 'spki', format: 'pem' }).toString()
const BY_OWN: readonly BundleSigner[] = [{ name: 'own', pem: pemOf(OWN) }]

/** A registry with one signed bundle, and a disk, for any number of sources one after another. */
class World {
  readonly registry: TestRegistry
  readonly client: BundleSourceDeps['client']
  readonly runner: ReturnType<typeof createVerificationRunner>
  readonly directory: string
  readonly disk: KeptBundle
  readonly troubles: string[] = []

  private constructor(registry: TestRegistry, directory: string) {
    this.registry = registry
    this.client = createTestClient(registry.url)
    this.runner = createVerificationRunner()
    this.directory = directory
    this.disk = new KeptBundle(this.image, directory)
  }

  static async start(context: TestContext): Promise<World> {
    const directory = await mkdtemp(join(tmpdir(), 'bundle-source-'))
    const world = new World(await startRegistry(), directory)
    context.after(async () => {
      await Promise.all([world.client.close(), world.runner.close(), world.registry.stop()])
      await rm(directory, { recursive: true })
    })
    await world.push(1)
    return world
  }

  get image(): string {
    return `${this.registry.host}/policies:v1`
  }

  async push(serial: number): Promise<Place> {
    const files = { policies: [{ path: 'a.yaml', text: 'a policy' }], keys: new Map([['a.pub', 'a key']]) }
    const packed = packBundle(files, { serial, expires: undefined, tag: 'v1' })
    assert.ok(packed.ok)
    for (const bytes of packed.files.values()) this.registry.putBlob(bytes, 'policies')
    const manifest = [...packed.files.values()].find((bytes) => digestOf(bytes) === packed.digest)
    assert.ok(manifest !== undefined)
    this.registry.putManifest('policies', 'v1', manifest, MEDIA_TYPE.ociManifest)
    const subject = { mediaType: MEDIA_TYPE.ociManifest, digest: packed.digest, size: manifest.length }
    const place = { registry: this.registry, repository: 'policies', subject }
    await this.sign(place, OWN)
    return place
  }

  async sign(place: Place, by: typeof OWN): Promise<void> {
    await signImage(place, await createSigstore(), managedSigner(by), { log: 0, form: 'tag' })
  }

  source(signers = BY_OWN, changes: Partial<BundleSourceDeps> = {}): BundleSource {
    const image = parseImageReference(this.image) ?? assert.fail(this.image)
    const root = createRootPolicy({ ...image, signers, threshold: 1, trustRoots: new Set() })
    assert.ok(root.ok)
    return new BundleSource(
      { image, lookEveryMs: 60_000 },
      {
        root: root.set,
        client: this.client,
        runner: this.runner,
        trust: () => createTrustSnapshot({ roots: [] }),
        disk: this.disk,
        now: () => new Date(),
        onKeptTrouble: (message) => void this.troubles.push(message),
        ...changes,
      },
    )
  }

  /** A source that has had the bundle in force. */
  async inForce(signers = BY_OWN, changes: Partial<BundleSourceDeps> = {}): Promise<BundleSource> {
    const source = this.source(signers, changes)
    const reading = good(await source.read(NEVER))
    await reading.keep?.()
    return source
  }
}

function good(reading: Reading): Extract<Reading, { ok: true }> {
  return reading.ok ? reading : assert.fail(reading.problems.map(({ message }) => message).join())
}

function problemOf(reading: Reading): string {
  return reading.ok ? assert.fail('a good reading') : reading.problems.map(({ message }) => message).join()
}

suite('a bundle in a registry', () => {
  test('files, keys and origin', async (context) => {
    const world = await World.start(context)
    const { files, origin } = good(await world.source().read(NEVER))
    assert.deepEqual(files.policies, [{ path: 'a.yaml', text: 'a policy' }])
    assert.deepEqual([...files.keys], [['a.pub', 'a key']])
    assert.deepEqual(origin.kind === 'bundle' && [origin.repository, origin.serial], [
      `${world.registry.host}/policies`,
      1,
    ])
  })

  test('what is known is not fetched again: one question a look', async (context) => {
    const world = await World.start(context)
    const source = await world.inForce()
    world.registry.requests.splice(0)
    good(await source.read(NEVER))
    assert.deepEqual(
      world.registry.requests.map(({ method, url }) => `${method} ${url}`),
      ['HEAD /v2/policies/manifests/v1'],
    )
  })

  test('nothing of an unsigned bundle is fetched but its manifest and what should prove it', async (context) => {
    const world = await World.start(context)
    const source = world.source([{ name: 'other', pem: pemOf(OTHER) }])
    const layer = digestOf(Buffer.from('a policy'))
    assert.match(problemOf(await source.read(NEVER)), /is not signed as configured: other: found/)
    assert.ok(world.registry.requests.every(({ url }) => !url.includes(layer)))
  })

  test('a signer whose key nobody has is an outage, not a wrong signature', async (context) => {
    const world = await World.start(context)
    const reading = await world.source([{ name: 'kms', kms: 'awskms:///alias/policies' }]).read(NEVER)
    assert.match(problemOf(reading), /cannot be judged now: the key awskms:\/\/\/alias\/policies/)
    assert.ok(!reading.ok && reading.isOutage)
  })

  test('a manifest that is another than its digest is not taken', async (context) => {
    const world = await World.start(context)
    world.registry.behave(({ method }) => (method === 'GET' ? 'corrupt' : undefined))
    assert.ok(!(await world.source().read(NEVER)).ok)
  })
})

suite('a bundle on disk', () => {
  test('counts without its registry, and is written once', async (context) => {
    const world = await World.start(context)
    let writes = 0
    const disk = {
      read: async () => await world.disk.read(),
      version: async () => await world.disk.version(),
      write: async (...written: Parameters<KeptBundle['write']>) => {
        writes += 1
        await world.disk.write(...written)
      },
    }
    const source = await world.inForce(BY_OWN, { disk })
    await good(await source.read(NEVER)).keep?.()
    assert.equal(writes, 1)
    await world.registry.stop()
    const kept = await world.source().kept(NEVER)
    assert.deepEqual(kept?.files.policies, [{ path: 'a.yaml', text: 'a policy' }])
    assert.deepEqual(world.troubles, [])
  })

  test('does not count where its signer is not configured any more; of another signature, it does again', async (context) => {
    const world = await World.start(context)
    await world.inForce()
    const signers = [{ name: 'other', pem: pemOf(OTHER) }]
    assert.equal(await world.source(signers).kept(NEVER), undefined)
    assert.match(world.troubles.join(), /is not signed as configured/)
    // The same bundle, signed again: rotating a key needs no new serial.
    const place = await world.push(1)
    await world.sign(place, OTHER)
    const source = await world.inForce(signers)
    assert.notEqual(await world.source(signers).kept(NEVER), undefined)
    good(await source.read(NEVER))
  })

  test('older than the last in force does not count, nor does the registry that offers it: a crash between the two files', async (context) => {
    const world = await World.start(context)
    await world.inForce()
    const files = {
      ...nodeFiles,
      rename: async (from: string, to: string) =>
        to.endsWith('.bundle.json') ? await Promise.reject(new Error('ENOSPC')) : await rename(from, to),
    }
    const disk = new KeptBundle(world.image, world.directory, files)
    await world.push(2)
    await world.inForce(BY_OWN, { disk })
    await world.push(1)
    const source = world.source()
    assert.equal(await source.kept(NEVER), undefined)
    assert.match(world.troubles.join(), /found serial 1, but 2 was in force/)
    assert.match(problemOf(await source.read(NEVER)), /found serial 1, but 2 was in force/)
  })

  test('a disk that fails stops nobody, and is told', async (context) => {
    const world = await World.start(context)
    const broken = async (): Promise<never> => await Promise.reject(new Error('EIO'))
    const disk = { read: broken, version: broken, write: broken }
    const source = world.source(BY_OWN, { disk })
    assert.equal(await source.kept(NEVER), undefined)
    await good(await source.read(NEVER)).keep?.()
    assert.deepEqual(world.troubles, [
      'the version of the last policy bundle: EIO',
      'the policy bundle that was in force last: EIO',
      'the policy bundle cannot be kept: EIO',
    ])
    await world.push(2)
    const next = good(await source.read(NEVER))
    await next.keep?.()
    await world.push(1)
    assert.match(problemOf(await source.read(NEVER)), /found serial 1, but 2 was in force/)
  })
})
