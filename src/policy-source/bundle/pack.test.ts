import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { digestOf, parseDigest } from '../../oci/digest.ts'
import { MEDIA_TYPE } from '../../oci/manifest-types.ts'
import { parseManifest } from '../../oci/manifest.ts'
import type { PolicyFiles } from '../source.ts'
import { readBundleManifest } from './format.ts'
import { packBundle, type Packed } from './pack.ts'

const OPTIONS = { serial: 7, expires: '2027-06-01T00:00:00.000Z', tag: 'production' }
const FILES: PolicyFiles = {
  policies: [
    { path: 'a.yaml', text: 'a: 1\n' },
    { path: 'team/b.yaml', text: 'b: 2\n' },
  ],
  keys: new Map([['keys/a.pem', 'a key']]),
}

function good(packed: Packed): Extract<Packed, { ok: true }> {
  return packed.ok ? packed : assert.fail(packed.problem)
}

suite('a bundle as an OCI image layout', () => {
  test('every blob is under its digest, and the manifest names the files', () => {
    const { digest, files } = good(packBundle(FILES, OPTIONS))
    for (const [path, bytes] of files) {
      if (path.startsWith('blobs/'))
        assert.equal(path, `blobs/sha256/${digestOf(bytes).slice('sha256:'.length)}`)
    }
    const manifest = files.get(`blobs/sha256/${digest.slice('sha256:'.length)}`) ?? assert.fail('no manifest')
    const result = readBundleManifest(parseManifest(manifest, MEDIA_TYPE.ociManifest))
    assert.ok(result.ok)
    const { serial, expires, files: named } = result.contents
    assert.deepEqual([serial, expires?.toISOString()], [OPTIONS.serial, OPTIONS.expires])
    const texts = named.map(({ path, descriptor }) => [
      path,
      files.get(`blobs/sha256/${descriptor.digest.slice('sha256:'.length)}`)?.toString(),
    ])
    assert.deepEqual(texts, [
      ['a.yaml', 'a: 1\n'],
      ['keys/a.pem', 'a key'],
      ['team/b.yaml', 'b: 2\n'],
    ])
  })

  test('what image-spec asks of a layout', () => {
    const { digest, files } = good(packBundle(FILES, OPTIONS))
    assert.equal(files.get('oci-layout')?.toString(), '{"imageLayoutVersion":"1.0.0"}')
    const index: { manifests: { digest: string; annotations: Record<string, string> }[] } = JSON.parse(
      files.get('index.json')?.toString() ?? '',
    )
    const [entry] = index.manifests
    assert.equal(parseDigest(entry?.digest ?? ''), digest)
    assert.equal(entry?.annotations['org.opencontainers.image.ref.name'], 'production')
  })

  test('the same files and options give the same bytes; anything else another digest', () => {
    const { digest, files } = good(packBundle(FILES, OPTIONS))
    const shuffled = { ...FILES, policies: FILES.policies.toReversed() }
    assert.deepEqual([...good(packBundle(shuffled, OPTIONS)).files], [...files])
    const others = [
      packBundle(FILES, { ...OPTIONS, serial: 8 }),
      packBundle(FILES, { ...OPTIONS, expires: undefined }),
      packBundle({ ...FILES, keys: new Map() }, OPTIONS),
    ]
    for (const other of others) assert.notEqual(good(other).digest, digest)
  })

  test('refused: what no proxy would take', () => {
    const named = packBundle({ ...FILES, policies: [{ path: 'a b.yaml', text: '' }] }, OPTIONS)
    assert.match(named.ok ? '' : named.problem, /plain relative path/)
    const large = packBundle({ ...FILES, policies: [{ path: 'a.yaml', text: 'x'.repeat(2 ** 21) }] }, OPTIONS)
    assert.match(large.ok ? '' : large.problem, /expected at most/)
  })
})
