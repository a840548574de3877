import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { suite, test, type TestContext } from 'node:test'
import { digestOf } from '../../src/oci/digest.ts'
import { MEDIA_TYPE } from '../../src/oci/manifest-types.ts'
import { packBundle, type PackOptions } from '../../src/policy-source/bundle/pack.ts'
import { signImage, type Place } from '../../src/testing/evidence.ts'
import { startRegistry, type TestRegistry } from '../../src/testing/registry.ts'
import { createSigstore, managedSigner, type Signer } from '../../src/testing/sigstore.ts'
import { publish, startHarness, uniqueImage, type Harness } from './harness.ts'
import { errorOf, requestTo, type Reply } from './http.ts'

/** Policies that come from a registry, signed. */

const NEVER = new AbortController().signal
const REPOSITORY = 'acme/policies'
const APP = '/v2/app/manifests/v1'
const [ALPHA, BETA, OTHER] = ['alpha', 'beta', 'other'].map(() => generateKeyPairSync('ed25519'))
assert.ok(ALPHA !== undefined && BETA !== undefined && OTHER !== undefined)
const [alpha, beta, other] = [managedSigner(ALPHA), managedSigner(BETA), managedSigner(OTHER)]

type World = {
  readonly harness: Harness
  /** Where the bundle is; the images are in that of the harness. */
  readonly registry: TestRegistry
}

type BundleOptions = Partial<PackOptions> & {
  readonly by?: readonly Signer[]
  readonly mode?: string
  readonly text?: string
}

const PEM = { type: 'spki', format: 'pem' } as const

async function start(
  context: TestContext,
  { threshold = 1, first }: { threshold?: number; first?: BundleOptions } = {},
): Promise<World> {
  const registry = await startRegistry()
  const directory = await mkdtemp(join(tmpdir(), 'bundle-'))
  const signers = [ALPHA, BETA].map((pair, index) => ({ name: `signer-${index}`, pair }))
  for (const { name, pair } of signers) {
    // oxlint-disable-next-line no-await-in-loop -- two small files
    await writeFile(join(directory, `${name}.pub`), pair?.publicKey.export(PEM) ?? '')
  }
  if (first !== undefined) await push({ registry }, first)
  const bundle = {
    image: `${registry.host}/${REPOSITORY}:production`,
    signers: signers.map(({ name }) => ({ name, key: join(directory, `${name}.pub`) })),
    threshold,
    refreshEvery: '1h',
  }
  const images = await startRegistry()
  const upstream = (url: string) => ({ url, allowPrivateAddresses: true, retries: 0 })
  const harness = await startHarness({
    config: {
      upstreams: { [registry.host]: upstream(registry.url), [images.host]: upstream(images.url) },
      defaultUpstream: images.host,
      policies: { bundle },
    },
  })
  context.after(async () => {
    await harness[Symbol.asyncDispose]()
    await Promise.all([registry.stop(), images.stop()])
    await rm(directory, { recursive: true })
  })
  publish({ registry: images }, { repository: 'app', image: uniqueImage('app') })
  return { harness, registry }
}

/** One policy for all images, in the mode given, that nothing satisfies. */
function policyText(mode: string): string {
  const identities = [{ issuer: 'https://issuer.example', subject: 'https://subject.example/a' }]
  const authorities = [{ name: 'release', keyless: { trustRoot: 'test', identities } }]
  return JSON.stringify({
    apiVersion: 'portcullis.dev/v1alpha1',
    kind: 'ImagePolicy',
    metadata: { name: 'everything' },
    spec: { mode, images: [{ glob: '**' }], authorities },
  })
}

/** Packs, pushes and signs a bundle. */
async function push({ registry }: Pick<World, 'registry'>, options: BundleOptions = {}): Promise<Place> {
  const { serial = 1, expires, tag = 'production', mode = 'enforce', by = [alpha] } = options
  const text = options.text ?? policyText(mode)
  const packed = packBundle(
    { policies: [{ path: 'team/a.yaml', text }], keys: new Map() },
    { serial, expires, tag },
  )
  assert.ok(packed.ok)
  for (const [path, bytes] of packed.files) if (path.startsWith('blobs/')) registry.putBlob(bytes, REPOSITORY)
  const manifest = packed.files.get(`blobs/sha256/${packed.digest.slice('sha256:'.length)}`)
  assert.ok(manifest !== undefined)
  registry.putManifest(REPOSITORY, tag, manifest, MEDIA_TYPE.ociManifest)
  const subject = { mediaType: MEDIA_TYPE.ociManifest, digest: packed.digest, size: manifest.length }
  const place = { registry, repository: REPOSITORY, subject }
  await sign(place, by)
  return place
}

/** Signs by key, so nothing of it has to be trusted. */
const sigstore = createSigstore()

async function sign(place: Place, by: readonly Signer[]): Promise<void> {
  for (const signer of by) {
    // oxlint-disable-next-line no-await-in-loop -- one signature after the other, as people make them
    await signImage(place, await sigstore, signer, { log: 0, form: 'tag' })
  }
}

async function refresh({ harness }: World): Promise<readonly string[]> {
  const { policies } = harness.running().deps
  await policies.reload(NEVER)
  return policies.trouble?.problems ?? []
}

async function statusOf({ harness }: World): Promise<number> {
  return (await harness.get(APP)).status
}

async function admin({ harness }: World, method: string, target: string): Promise<Reply> {
  return await requestTo(harness.running().admin.address.port, { method, target })
}

/** The newest decision on disk. */
function recorded({ harness }: World): string {
  const database = new DatabaseSync(join(harness.dataDirectory, 'portcullis.db'))
  try {
    return String(database.prepare('SELECT json FROM decision ORDER BY rowid DESC').get()?.['json'])
  } finally {
    database.close()
  }
}

function serialOf({ harness }: World): number | undefined {
  const { origin } = harness.running().deps.policies.inForce
  return origin?.kind === 'bundle' ? origin.serial : undefined
}

suite('a signed policy bundle', () => {
  test('its policies count, and its version is part of the decision', async (context) => {
    const world = await start(context, { first: { serial: 3 } })
    const { origin } = world.harness.running().deps.policies.inForce
    assert.ok(origin?.kind === 'bundle')
    assert.equal(await statusOf(world), 403)
    const shown = JSON.parse((await admin(world, 'GET', '/policies')).body.toString())
    assert.deepEqual([shown.source.serial, shown.source.digest], [3, origin.digest])
    const { policySource }: { policySource: string } = JSON.parse(recorded(world))
    assert.equal(policySource, `${world.registry.host}/${REPOSITORY}@${origin.digest} serial 3`)
  })

  test('a newer one comes into force while the proxy runs', async (context) => {
    const world = await start(context, { first: { serial: 1, mode: 'enforce' } })
    assert.equal(await statusOf(world), 403)
    await push(world, { serial: 2, mode: 'observe' })
    assert.equal(await statusOf(world), 403)
    assert.deepEqual(await refresh(world), [])
    assert.deepEqual([await statusOf(world), serialOf(world)], [200, 2])
  })

  test('the same policies under a new serial are decided under the new name', async (context) => {
    const world = await start(context, { first: { serial: 1 } })
    const before = (await world.harness.get(APP)).headers['x-portcullis-decision-id']
    await push(world, { serial: 2 })
    await refresh(world)
    const after = (await world.harness.get(APP)).headers['x-portcullis-decision-id']
    assert.notEqual(before, after)
  })

  const refused: readonly (readonly [string, BundleOptions, RegExp])[] = [
    ['unsigned', { serial: 2, by: [] }, /is not signed as configured: .*no signature/],
    ['signed by somebody else', { serial: 2, by: [other] }, /is not signed as configured/],
    ['rolled back', { serial: 1 }, /found serial 1, but 5 was in force/],
    [
      'with the serial of another',
      { serial: 5, mode: 'observe' },
      /found serial 5, which is that of sha256:.* already/,
    ],
    ['expired', { serial: 6, expires: '2020-01-01T00:00:00Z' }, /expired at 2020-01-01T00:00:00\.000Z/],
    ['that does not load', { serial: 6, text: 'kind: Nonsense' }, /team\/a\.yaml:1: /],
    ['without a policy', { serial: 6, text: '# none' }, /without a single policy/],
  ]
  for (const [name, options, expected] of refused) {
    test(`refused, and the one in force stays: ${name}`, async (context) => {
      const world = await start(context, { first: { serial: 5 } })
      // Otherwise it would let the image pass.
      await push(world, { mode: 'observe', ...options })
      assert.match((await refresh(world)).join('\n'), expected)
      assert.deepEqual([await statusOf(world), serialOf(world)], [403, 5])
      assert.equal((await admin(world, 'POST', '/policies/reload')).status, 422)
      // Neither after a restart, from what is on disk and what the registry has.
      await world.harness.restart()
      await refresh(world)
      assert.deepEqual([await statusOf(world), serialOf(world)], [403, 5])
    })
  }

  test('what was refused for want of a signature counts once it is signed', async (context) => {
    const world = await start(context, { first: { serial: 1 } })
    const place = await push(world, { serial: 2, mode: 'observe', by: [] })
    assert.notDeepEqual(await refresh(world), [])
    await sign(place, [alpha])
    assert.deepEqual(await refresh(world), [])
    assert.equal(await statusOf(world), 200)
  })

  test('a threshold counts signers, not signatures', async (context) => {
    const world = await start(context, { threshold: 2, first: { serial: 1, by: [alpha, beta] } })
    assert.equal(await statusOf(world), 403)
    const place = await push(world, { serial: 2, mode: 'observe', by: [alpha, alpha] })
    assert.match((await refresh(world)).join(), /is not signed as configured/)
    assert.equal(await statusOf(world), 403)
    await sign(place, [beta])
    assert.deepEqual(await refresh(world), [])
    assert.equal(await statusOf(world), 200)
  })

  test('a tampered file is not taken, whatever the manifest says', async (context) => {
    const world = await start(context, { first: { serial: 1 } })
    const layer = digestOf(Buffer.from(policyText('observe')))
    await push(world, { serial: 2, mode: 'observe' })
    world.registry.behave(({ url }) => (url.endsWith(`/blobs/${layer}`) ? 'corrupt' : undefined))
    assert.match((await refresh(world)).join(), /does not have the bytes of its digest/)
    assert.deepEqual([await statusOf(world), serialOf(world)], [403, 1])
    world.registry.behave(undefined)
    assert.deepEqual(await refresh(world), [])
    assert.equal(serialOf(world), 2)
  })

  test('registry away: the one in force stays, over a restart too, and nobody is woken', async (context) => {
    const world = await start(context, { first: { serial: 4 } })
    await world.registry.stop()
    assert.notDeepEqual(await refresh(world), [])
    assert.equal(world.harness.running().deps.policies.trouble?.isOutage, true)
    assert.deepEqual([await statusOf(world), serialOf(world)], [403, 4])
    await world.harness.restart()
    assert.deepEqual([await statusOf(world), serialOf(world)], [403, 4])
    await world.registry.restart()
    await push(world, { serial: 5, mode: 'observe' })
    await refresh(world)
    assert.equal(await statusOf(world), 200)
  })
})

suite('a policy bundle that was never had', () => {
  test('every image is held until it is there', async (context) => {
    const world = await start(context)
    const held = await world.harness.get(APP)
    assert.equal(held.status, 503)
    assert.match(errorOf(held).message, /the policy bundle has never been obtained/)
    assert.match((await admin(world, 'GET', '/readyz')).body.toString(), /every image is held/)
    assert.equal(JSON.parse((await admin(world, 'GET', '/policies')).body.toString()).source, null)
    await push(world, { serial: 1, mode: 'observe' })
    assert.deepEqual(await refresh(world), [])
    assert.equal(await statusOf(world), 200)
  })

  test('what is on disk is judged again at the start: damaged, it is none; a step back is none either', async (context) => {
    const world = await start(context, { first: { serial: 7 } })
    await push(world, { serial: 8, mode: 'observe' })
    await refresh(world)
    await world.registry.stop()
    const directory = join(world.harness.dataDirectory, 'policies')
    const file = (await readdir(directory)).find((name) => name.endsWith('.bundle.json'))
    const path = join(directory, file ?? assert.fail('nothing kept'))
    const kept = await readFile(path, 'utf8')
    await writeFile(path, kept.replace(btoa(policyText('observe')), btoa(policyText('off'))))
    await world.harness.restart()
    assert.equal(await statusOf(world), 503)
    // The registry is back, with an older bundle only.
    await world.registry.restart()
    await push(world, { serial: 7 })
    assert.match((await refresh(world)).join(), /found serial 7, but 8 was in force/)
    assert.equal(await statusOf(world), 503)
    await writeFile(path, kept)
    await world.harness.restart()
    assert.deepEqual([await statusOf(world), serialOf(world)], [200, 8])
  })
})
