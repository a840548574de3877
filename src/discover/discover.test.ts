import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { describe, test } from 'node:test'
import { digestOf, digestParts } from '../oci/digest.ts'
import { MEDIA_TYPE } from '../oci/manifest-types.ts'
import { WorkError } from '../work/work-error.ts'
import { discover } from './discover.ts'
import { INLINE_READER } from './testing/inline-reader.ts'
import {
  BUNDLE,
  DSSE,
  entryOf,
  listOf,
  MemoryRegistry,
  SIMPLE_SIGNING,
  SUBJECT,
  subjectTag,
} from './testing/memory-registry.ts'

const repository = { registry: 'test', name: 'team/app' }
const never = new AbortController().signal

function find(registry: MemoryRegistry) {
  return discover(SUBJECT, repository, { client: registry.client, reader: INLINE_READER }, never)
}

const signatureOf = (text: string) => ({ 'dev.cosignproject.cosign/signature': text })
const signature = {
  mediaType: SIMPLE_SIGNING,
  bytes: Buffer.from('payload'),
  annotations: signatureOf('one'),
}
const envelope = { mediaType: DSSE, bytes: Buffer.from('envelope'), annotations: { predicateType: 'p' } }
const bundle = (name: string) => ({ mediaType: BUNDLE, bytes: Buffer.from(name) })

describe('places', () => {
  test('nothing anywhere, in one round of requests', async () => {
    const registry = new MemoryRegistry()
    assert.deepEqual(await find(registry), { candidates: [], rejected: [], failures: [] })
    assert.deepEqual(
      registry.asked.toSorted(),
      ['referrers', subjectTag(''), subjectTag('.att'), subjectTag('.sig')].toSorted(),
    )
  })

  test('all four at once, the tags first', async () => {
    const registry = new MemoryRegistry()
    const sig = registry.putManifest(registry.image([signature]), subjectTag('.sig'))
    registry.putManifest(registry.image([envelope]), subjectTag('.att'))
    const listed = registry.referrer([bundle('listed')])
    registry.pages = [listOf([listed])]
    registry.putManifest(listOf([listed, registry.referrer([bundle('tagged')])]), subjectTag(''))
    const { candidates, rejected, failures } = await find(registry)
    assert.deepEqual([rejected, failures], [[], []])
    assert.deepEqual(
      candidates.map(({ form, source, bytes }) => [form, source.found, bytes.toString()]),
      [
        ['simple-signing', 'signature-tag', 'payload'],
        ['dsse', 'attestation-tag', 'envelope'],
        ['bundle', 'fallback-tag', 'tagged'],
        ['bundle', 'referrer', 'listed'],
      ],
    )
    assert.deepEqual(candidates[0], {
      form: 'simple-signing',
      source: { found: 'signature-tag', manifest: digestOf(sig), blob: digestOf(signature.bytes) },
      bytes: signature.bytes,
      annotations: signatureOf('one'),
    })
    assert.equal(
      registry.asked.filter((key) => key === listed.digest).length,
      1,
      'listed twice, fetched once',
    )
  })

  test('every page of the referrers counts', async () => {
    const registry = new MemoryRegistry()
    registry.pages = [listOf([registry.referrer([bundle('a')])]), listOf([registry.referrer([bundle('b')])])]
    assert.equal((await find(registry)).candidates.length, 2)
  })

  test('the fallback tag of a sha512 digest is cut, and cosign has no tag for it', async () => {
    const registry = new MemoryRegistry()
    const long = digestOf(Buffer.from('image'), 'sha512')
    await discover(long, repository, { client: registry.client, reader: INLINE_READER }, never)
    const cut = `sha512-${digestParts(long).hex.slice(0, 64)}`
    assert.deepEqual(registry.asked.toSorted(), ['referrers', cut])
  })
})

describe('what cannot be had', () => {
  const places = [
    ['referrers', 'referrers'],
    [subjectTag(''), 'fallback-tag'],
    [subjectTag('.sig'), 'signature-tag'],
    [subjectTag('.att'), 'attestation-tag'],
  ] as const
  const codes = [
    ['unavailable', 'unanswered'],
    ['timeout', 'unanswered'],
    ['rate-limited', 'limited'],
    ['deadline', 'late'],
    ['unauthorized', 'unread'],
    ['forbidden', 'unread'],
  ] as const
  for (const [key, what] of places) {
    for (const [code, because] of codes) {
      test(`${what}: ${code} is a failure and hides nothing else`, async () => {
        const registry = new MemoryRegistry()
        registry.putManifest(registry.image([signature]), subjectTag('.sig'))
        registry.putManifest(registry.image([envelope]), subjectTag('.att'))
        registry.broken.set(key, code)
        const { candidates, rejected, failures } = await find(registry)
        assert.deepEqual(failures, [{ what, because, message: `${key}: ${code}` }])
        assert.equal(rejected.length, 0)
        assert.equal(candidates.length, key.endsWith('.sig') || key.endsWith('.att') ? 1 : 2)
      })
    }

    test(`${what}: an invalid answer is a fact`, async () => {
      const registry = new MemoryRegistry()
      registry.broken.set(key, 'invalid')
      const { rejected, failures } = await find(registry)
      assert.deepEqual([rejected.map(({ code }) => code), failures], [['malformed'], []])
    })
  }

  test('a listed manifest that is missing is a failure', async () => {
    const registry = new MemoryRegistry()
    const lost = registry.referrer([bundle('lost')])
    registry.manifests.delete(lost.digest)
    registry.pages = [listOf([lost, registry.referrer([bundle('kept')])])]
    const { candidates, failures } = await find(registry)
    assert.deepEqual(
      failures.map(({ what }) => what),
      ['evidence-manifest'],
    )
    assert.equal(candidates.length, 1)
  })

  test('a layer that is missing is a failure', async () => {
    const registry = new MemoryRegistry()
    registry.putManifest(registry.image([signature]), subjectTag('.sig'))
    registry.blobs.delete(digestOf(signature.bytes))
    assert.deepEqual(
      (await find(registry)).failures.map(({ what }) => what),
      ['evidence-blob'],
    )
  })

  test('a connection that breaks while a layer arrives is a failure', async () => {
    const registry = new MemoryRegistry()
    registry.putManifest(registry.image([signature]), subjectTag('.sig'))
    registry.client.getBlob = () => {
      const body = new Readable({
        read() {
          this.destroy(new Error('reset'))
        },
      })
      return Promise.resolve({ size: undefined, offset: 0, body })
    }
    assert.deepEqual(
      (await find(registry)).failures.map(({ what }) => what),
      ['evidence-blob'],
    )
  })

  const overloaded = () => Promise.reject(new WorkError('overloaded', 'too much waits'))

  test('a manifest that nobody had time to read is a failure and hides nothing else', async () => {
    const registry = new MemoryRegistry()
    registry.putManifest(registry.image([signature]), subjectTag('.sig'))
    registry.pages = [listOf([registry.referrer([bundle('good')])])]
    const reader = { ...INLINE_READER, parseManifest: overloaded }
    const found = await discover(SUBJECT, repository, { client: registry.client, reader }, never)
    assert.deepEqual([found.candidates, found.rejected], [[], []])
    assert.deepEqual(found.failures.map(({ what }) => what).toSorted(), [
      'evidence-manifest',
      'signature-tag',
    ])
  })

  test('nor a list of referrers', async () => {
    const registry = new MemoryRegistry()
    registry.putManifest(registry.image([signature]), subjectTag('.sig'))
    registry.pages = [listOf([])]
    registry.putManifest(listOf([]), subjectTag(''))
    const reader = { ...INLINE_READER, readReferrers: overloaded }
    const found = await discover(SUBJECT, repository, { client: registry.client, reader }, never)
    assert.equal(found.candidates.length, 1)
    assert.deepEqual(found.failures.map(({ what }) => what).toSorted(), ['fallback-tag', 'referrers'])
  })

  test('an error that is not the upstream’s is a fault of ours', async () => {
    const registry = new MemoryRegistry()
    registry.client.getReferrers = () => Promise.reject(new TypeError('bug'))
    await assert.rejects(find(registry), TypeError)
  })
})

describe('what is not evidence', () => {
  test('referrers and layers of other types are not fetched, and not mentioned', async () => {
    const registry = new MemoryRegistry()
    const sbom = registry.referrer([bundle('sbom')], SUBJECT, 'application/spdx+json')
    const statement = { mediaType: 'application/vnd.in-toto+json', bytes: Buffer.from('unsigned') }
    const mixed = registry.referrer([statement, bundle('signed')], SUBJECT, '')
    registry.pages = [listOf([sbom, mixed, { ...sbom, mediaType: MEDIA_TYPE.ociIndex }])]
    const { candidates, rejected, failures } = await find(registry)
    assert.deepEqual([candidates.length, rejected, failures], [1, [], []])
    assert(!registry.asked.includes(sbom.digest))
    assert(!registry.asked.includes(digestOf(statement.bytes)))
  })
})

describe('one bad thing does not hide a good one', () => {
  const good = bundle('good')
  const bad: Record<string, (registry: MemoryRegistry) => unknown> = {
    'a referrer of another image': (registry) =>
      registry.referrer([bundle('stolen')], digestOf(Buffer.from('another'))),
    'a referrer without a subject': (registry) => ({
      ...entryOf(MEDIA_TYPE.ociManifest, registry.putManifest(registry.image([bundle('x')]))),
      artifactType: BUNDLE,
    }),
    'an entry without a digest': () => ({ mediaType: MEDIA_TYPE.ociManifest, size: 1 }),
    'an entry that is no object': () => null,
    'a manifest that is not JSON': (registry) => ({
      ...entryOf(MEDIA_TYPE.ociManifest, registry.putManifest(Buffer.from('{'))),
      artifactType: BUNDLE,
    }),
    'an index where a manifest was listed': (registry) => ({
      ...entryOf(MEDIA_TYPE.ociManifest, registry.putManifest(listOf([]))),
      artifactType: BUNDLE,
    }),
    'a layer shorter than its descriptor': (registry) =>
      registry.referrer([{ ...bundle('short'), size: 100 }]),
    'a layer longer than its descriptor': (registry) => registry.referrer([{ ...bundle('long'), size: 1 }]),
    'a layer over the limit': (registry) => registry.referrer([{ ...bundle('big'), size: 9 * 1024 * 1024 }]),
    'a layer with the bytes of another digest': (registry) => {
      const entry = registry.referrer([bundle('true')])
      registry.blobs.set(digestOf(Buffer.from('true')), Buffer.from('fake'))
      return entry
    },
  }
  for (const [name, make] of Object.entries(bad)) {
    test(name, async () => {
      const registry = new MemoryRegistry()
      registry.pages = [listOf([registry.referrer([good]), make(registry)])]
      const { candidates, rejected, failures } = await find(registry)
      assert.deepEqual(
        candidates.map(({ bytes }) => bytes.toString()),
        ['good'],
      )
      assert.deepEqual([rejected.map(({ code }) => code), failures], [['malformed'], []])
    })
  }

  test('a page that is not JSON, a fallback tag that is an image, a .sig that is an index', async () => {
    const registry = new MemoryRegistry()
    registry.pages = [Buffer.from('<html>'), listOf([registry.referrer([good])])]
    registry.putManifest(registry.image([]), subjectTag(''))
    registry.putManifest(listOf([]), subjectTag('.sig'))
    const { candidates, rejected } = await find(registry)
    assert.deepEqual([candidates.length, rejected.length], [1, 3])
  })

  test('two signatures of one payload are two candidates, fetched once', async () => {
    const registry = new MemoryRegistry()
    const second = { ...signature, annotations: signatureOf('two') }
    registry.putManifest(registry.image([signature, second]), subjectTag('.sig'))
    const { candidates } = await find(registry)
    assert.deepEqual(
      candidates.map((one) => (one.form === 'bundle' ? {} : one.annotations)),
      [signatureOf('two'), signatureOf('one')],
    )
    assert.equal(registry.asked.filter((key) => key === digestOf(signature.bytes)).length, 1)
  })
})
