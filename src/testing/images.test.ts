import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { promisify } from 'node:util'
import { gunzipSync } from 'node:zlib'
import { digestOf, type Digest } from '../oci/digest.ts'
import { attestImage, fallbackTag, signImage, type EvidenceForm, type Place } from './evidence.ts'
import { buildImage, buildIndex, descriptorOf, publishImage } from './images.ts'
import { startRegistry, type TestRegistry } from './registry.ts'
import { createSigstore, managedSigner } from './sigstore.ts'
import { slsaStatement } from './statements.ts'
import { tarArchive } from './tar.ts'

type ManifestJson = {
  artifactType?: string
  subject?: { digest: string }
  layers: { digest: Digest; size: number; mediaType: string; annotations?: Record<string, string> }[]
}

function readJson<T>(registry: TestRegistry, repository: string, reference: string): T {
  const bytes = registry.manifest(repository, reference)?.bytes ?? Buffer.alloc(0)
  return JSON.parse(bytes.toString())
}

test('layers are what their digests say', () => {
  const { layers, config, manifest, digest } = buildImage({ layers: [{ 'a/b.txt': 'b' }, { c: 'c' }] })
  assert.equal(digestOf(manifest), digest)
  const parsed: { rootfs: { diff_ids: string[] } } = JSON.parse(config.toString())
  for (const [index, layer] of layers.entries()) {
    assert.equal(digestOf(layer.bytes), layer.digest)
    assert.equal(digestOf(gunzipSync(layer.bytes)), layer.diffId)
    assert.equal(parsed.rootfs.diff_ids[index], layer.diffId)
  }
  assert.equal(buildImage().digest, buildImage().digest)
  assert.notEqual(buildImage().digest, buildImage({ files: { x: 'y' } }).digest)
})

test('tar reads the archive', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'portcullis-tar-'))
  t.after(() => rm(directory, { recursive: true }))
  const file = join(directory, 'layer.tar')
  await writeFile(file, tarArchive({ 'a/b.txt': 'x'.repeat(600), c: '' }))
  const { stdout } = await promisify(execFile)('tar', ['-tvf', file])
  assert.match(stdout, /600 .*a\/b\.txt\n.* 0 .*c\n/)
  const content = await promisify(execFile)('tar', ['-xOf', file, 'a/b.txt'])
  assert.equal(content.stdout, 'x'.repeat(600))
})

test('publishing an index puts everything that it reaches', async () => {
  await using registry = await startRegistry()
  const images = ['amd64', 'arm64'].map((architecture) => buildImage({ architecture }))
  const digest = publishImage(registry, 'app', 'v1', buildIndex(images))
  const index = readJson<{ manifests: { digest: Digest; platform: { architecture: string } }[] }>(
    registry,
    'app',
    'v1',
  )
  assert.equal(registry.manifest('app', 'v1')?.digest, digest)
  assert.deepEqual(
    index.manifests.map((one) => one.platform.architecture),
    ['amd64', 'arm64'],
  )
  for (const child of index.manifests) {
    for (const layer of readJson<ManifestJson>(registry, 'app', child.digest).layers) {
      assert.equal(registry.blob('app', layer.digest)?.length, layer.size)
    }
  }
})

describe('evidence', async () => {
  const sigstore = await createSigstore()
  const signer = managedSigner(generateKeyPairSync('ec', { namedCurve: 'prime256v1' }))
  const image = buildImage()
  const statement = slsaStatement({ name: 'app', sha256: image.digest.slice('sha256:'.length) })
  const tagOf = fallbackTag(image.digest)
  const attach: [string, (place: Place, form: EvidenceForm) => Promise<unknown>, string][] = [
    ['signature', (place, form) => signImage(place, sigstore, signer, { form }), '.sig'],
    [
      'attestation',
      (place, form) => attestImage(place, sigstore, { statement, signer }, { form, timestamp: true }),
      '.att',
    ],
  ]
  for (const [name, put, suffix] of attach) {
    test(`${name} under its tag, twice`, async () => {
      await using registry = await startRegistry()
      const place = { registry, repository: 'app', subject: descriptorOf(image) }
      await put(place, 'tag')
      await put(place, 'tag')
      const { layers } = readJson<ManifestJson>(registry, 'app', `${tagOf}${suffix}`)
      assert.equal(layers.length, 2)
      for (const layer of layers) {
        assert.equal(registry.blob('app', layer.digest)?.length, layer.size)
        assert.ok(layer.annotations?.['dev.sigstore.cosign/bundle'] !== undefined)
        assert.equal('dev.sigstore.cosign/rfc3161timestamp' in layer.annotations, suffix === '.att')
      }
      assert.deepEqual(registry.referrers('app', image.digest), [])
    })
    test(`${name} as referrer and under the fallback tag`, async () => {
      await using registry = await startRegistry()
      const place = { registry, repository: 'app', subject: descriptorOf(image) }
      await put(place, 'referrer')
      assert.equal(registry.manifest('app', tagOf), undefined)
      await put(place, 'fallback-tag')
      const referrers = registry.referrers('app', image.digest)
      assert.equal(referrers.length, 2)
      const index = readJson<{ manifests: unknown[] }>(registry, 'app', tagOf)
      assert.deepEqual(index.manifests, [referrers[1]])
      for (const { digest, artifactType } of referrers) {
        const manifest = readJson<ManifestJson>(registry, 'app', digest)
        assert.equal(manifest.subject?.digest, image.digest)
        assert.equal(artifactType, 'application/vnd.dev.sigstore.bundle.v0.3+json')
        assert.equal(manifest.layers[0]?.mediaType, artifactType)
      }
    })
  }
})
