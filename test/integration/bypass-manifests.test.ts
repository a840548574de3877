import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { digestOf, type Digest } from '../../src/oci/digest.ts'
import { MEDIA_TYPE } from '../../src/oci/manifest-types.ts'
import { fallbackTag, signImage } from '../../src/testing/evidence.ts'
import { tarArchive } from '../../src/testing/tar.ts'
import { publish, startHarness, uniqueImage, uniqueIndex, type Harness } from './harness.ts'
import { errorOf, stableHeaders } from './http.ts'

/** Manifests that say one thing to the gate and another to a client, and images in the clothes of signatures. */

const ALLOWED_HOST = 'layers.example'
let harness: Harness

before(async () => {
  harness = await startHarness({ config: { foreignUrls: { allowedHosts: [ALLOWED_HOST] } } })
})
after(async () => await harness[Symbol.asyncDispose]())

/** Publishes bytes as they are, signed by the accepted signer: what is wrong with them, no signature mends. */
async function publishBytes(repository: string, bytes: Buffer, mediaType: string): Promise<Digest> {
  const digest = harness.registry.putManifest(repository, 'v1', bytes, mediaType)
  const place = { registry: harness.registry, repository, subject: { mediaType, digest, size: bytes.length } }
  await signImage(place, harness.sigstore, harness.release)
  return digest
}

const image = uniqueImage('ambiguous')
const index = uniqueIndex('ambiguous')
const text = image.manifest.toString()
const evil = `"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"${digestOf(Buffer.from('evil'))}","size":4}]`
const SCHEMA_1 = 'application/vnd.docker.distribution.manifest.v1+prettyjws'

for (const [name, body, mediaType] of [
  ['one key twice', text.replace('"layers"', `${evil},"layers"`), image.mediaType],
  [
    'one key in two cases',
    text.replace('"layers"', `${evil.replace('layers', 'Layers')},"layers"`),
    image.mediaType,
  ],
  [
    'one key in two cases by a letter that folds',
    text.replace('"layers"', `${evil.replace('layers', 'layer\u017f')},"layers"`),
    image.mediaType,
  ],
  [
    'an escaped twin of a key',
    text.replace('"layers"', `${evil.replace('layers', '\\u006cayers')},"layers"`),
    image.mediaType,
  ],
  ['an image and an index at once', text.replace('"layers"', `"manifests":[],"layers"`), image.mediaType],
  [
    'an index that says it is an image',
    index.manifest.toString().replace(MEDIA_TYPE.ociIndex, MEDIA_TYPE.ociManifest),
    MEDIA_TYPE.ociManifest,
  ],
  ['another type in the header', text, MEDIA_TYPE.dockerManifest],
  ['a byte order mark', `\uFEFF${text}`, image.mediaType],
  ['a second document behind it', `${text}{}`, image.mediaType],
  ['schema 1', '{"schemaVersion":1,"fsLayers":[]}', SCHEMA_1],
  [
    'a digest that climbs directories',
    text.replace(/sha256:[0-9a-f]{64}/, 'sha256:../../../../etc/passwd'),
    image.mediaType,
  ],
  [
    'a thousand and one layers',
    text.replace('"layers":[', `"layers":[${`${evil.slice(10, -1)},`.repeat(1001)}`),
    image.mediaType,
  ],
  ['not JSON', 'layers: []', image.mediaType],
] as const) {
  test(`manifest with ${name}: refused though signed, served and reported in observe mode`, async () => {
    const bytes = Buffer.from(body)
    const slug = name.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-')
    const digest = await publishBytes(`enforced/${slug}`, bytes, mediaType)
    await publishBytes(`observed/${slug}`, bytes, mediaType)
    const refused = await harness.get(`/v2/enforced/${slug}/manifests/v1`)
    assert.equal(refused.status, 403)
    assert.match(errorOf(refused).message, /^blocked by policy signed: a manifest that /)
    const byDigest = await harness.get(`/v2/enforced/${slug}/manifests/${digest}`)
    assert.equal(byDigest.status, 403)
    const served = await harness.get(`/v2/observed/${slug}/manifests/v1`)
    assert.equal(served.status, 200)
    assert.deepEqual(served.body, bytes)
    assert.equal(served.headers['content-type'], 'application/octet-stream')
    assert.match(served.headers['warning'] ?? '', /would be blocked by policy watched: a manifest that /)
  })
}

test('layers from elsewhere: refused though signed, unless the host is allowed', async () => {
  const from = (host: string) =>
    Buffer.from(text.replace('"layers":[{', `"layers":[{"urls":["https://${host}/layer"],`))
  await publishBytes('enforced/foreign', from('evil.example'), image.mediaType)
  await publishBytes('enforced/foreign-allowed', from(ALLOWED_HOST), image.mediaType)
  await publishBytes('enforced/foreign-look-alike', from(`${ALLOWED_HOST}.evil.example`), image.mediaType)
  const refused = await harness.get('/v2/enforced/foreign/manifests/v1')
  assert.equal(refused.status, 403)
  assert.match(errorOf(refused).message, /layers that clients fetch from evil\.example/)
  assert.equal((await harness.get('/v2/enforced/foreign-allowed/manifests/v1')).status, 200)
  assert.equal((await harness.get('/v2/enforced/foreign-look-alike/manifests/v1')).status, 403)
})

test('an image under a tag of signatures: judged like any image', async () => {
  const runnable = uniqueImage('in disguise')
  for (const suffix of ['', '.sig', '.att', '.sbom']) {
    const tag = `${fallbackTag(digestOf(Buffer.from('anything')))}${suffix}`
    publish(harness, { repository: 'enforced/disguise', tag, image: runnable })
    // oxlint-disable-next-line no-await-in-loop -- four
    const reply = await harness.get(`/v2/enforced/disguise/manifests/${tag}`, {
      'user-agent': 'cosign/v3.0.0',
    })
    assert.equal(reply.status, 403, tag)
  }
})

test('an index of images that call themselves evidence: judged like any index', async () => {
  const runnable = uniqueImage('listed')
  publish(harness, { repository: 'enforced/listed', tag: 'plain', image: runnable })
  const entry = { mediaType: runnable.mediaType, digest: runnable.digest, size: runnable.manifest.length }
  const manifests = [
    { ...entry, artifactType: 'application/vnd.dev.sigstore.bundle.v0.3+json', platform: runnable.platform },
  ]
  harness.registry.putManifest('enforced/listed', 'v1', {
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.ociIndex,
    manifests,
  })
  assert.equal((await harness.get('/v2/enforced/listed/manifests/v1')).status, 403)
  assert.equal((await harness.get(`/v2/enforced/listed/manifests/${runnable.digest}`)).status, 403)
})

const TAR = tarArchive({ 'bin/sh': 'evil' })

for (const [name, layer] of [
  ['gzip', uniqueImage('relabelled').layers[0]?.bytes ?? Buffer.alloc(0)],
  ['plain tar', TAR],
  ['bzip2', Buffer.from('BZh91AY&SY')],
  ['zstd', Buffer.from('28b52ffd0000', 'hex')],
] as const) {
  test(`layers relabelled as evidence (${name}): the label passes, what can be unpacked does not`, async () => {
    const repository = `enforced/relabelled-${name.replace(' ', '-')}`
    const config = Buffer.from(uniqueImage(repository).config)
    const manifest = {
      schemaVersion: 2,
      mediaType: MEDIA_TYPE.ociManifest,
      config: {
        mediaType: 'application/vnd.oci.image.config.v1+json',
        digest: harness.registry.putBlob(config, repository),
        size: config.length,
      },
      layers: [
        {
          mediaType: 'application/vnd.in-toto+json',
          digest: harness.registry.putBlob(layer, repository),
          size: layer.length,
        },
      ],
    }
    harness.registry.putManifest(repository, 'v1', manifest)
    assert.equal((await harness.get(`/v2/${repository}/manifests/v1`)).status, 200)
    const target = `/v2/${repository}/blobs/${digestOf(layer)}`
    const get = await harness.get(target)
    const head = await harness.head(target)
    assert.equal(get.status, 403)
    assert.deepEqual(stableHeaders(head), stableHeaders(get))
    assert.equal((await harness.get(target, { range: 'bytes=0-1' })).status, 403)
  })
}

test('evidence types with a layer from elsewhere are no evidence', async () => {
  const repository = 'enforced/evidence-urls'
  const blob = harness.registry.putBlob(Buffer.from('{}'), repository)
  const layers = [
    { mediaType: 'application/vnd.in-toto+json', digest: blob, size: 2, urls: ['https://evil.example/'] },
  ]
  const config = { mediaType: 'application/vnd.oci.empty.v1+json', digest: blob, size: 2 }
  harness.registry.putManifest(repository, 'v1', {
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.ociManifest,
    config,
    layers,
  })
  assert.equal((await harness.get(`/v2/${repository}/manifests/v1`)).status, 403)
})
