import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { MEDIA_TYPE } from '../oci/manifest-types.ts'
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

function find(registry: MemoryRegistry) {
  const by = { client: registry.client, reader: INLINE_READER }
  return discover(SUBJECT, repository, by, new AbortController().signal)
}

const signatureOf = (text: string) => ({ 'dev.cosignproject.cosign/signature': text })
const signature = {
  mediaType: SIMPLE_SIGNING,
  bytes: Buffer.from('payload'),
  annotations: signatureOf('one'),
}
const envelope = { mediaType: DSSE, bytes: Buffer.from('envelope') }
const bundle = (name: string) => ({ mediaType: BUNDLE, bytes: Buffer.from(name) })

describe('limits', () => {
  test('a flooded .sig tag leaves room for a referrer, and what is over is named and unknown', async () => {
    const registry = new MemoryRegistry()
    const flood = Array.from({ length: 90 }, (_, n) => ({ ...signature, bytes: Buffer.from(`junk ${n}`) }))
    registry.putManifest(registry.image(flood), subjectTag('.sig'))
    registry.pages = [listOf([registry.referrer([bundle('good')])])]
    const { candidates, rejected, failures } = await find(registry)
    assert.deepEqual([candidates.length, rejected.length], [64, 27])
    assert.deepEqual(failures, [
      {
        what: 'evidence-blob',
        because: 'unread',
        message: '27 signatures and attestations were more than is looked at',
      },
    ])
    assert(candidates.some(({ bytes }) => bytes.equals(Buffer.from('good'))))
  })

  test('the newest referrers are fetched; that there is nothing in the others is not known', async () => {
    const registry = new MemoryRegistry()
    const entries = Array.from({ length: 70 }, (_, n) => registry.referrer([bundle(`n${n}`)]))
    registry.pages = [listOf(entries)]
    const { candidates, rejected, failures } = await find(registry)
    assert.deepEqual([candidates.length, rejected.length], [64, 6])
    assert.equal(candidates[0]?.bytes.toString(), 'n69')
    assert.equal(rejected[0]?.source.manifest, entries[5]?.digest)
    assert.deepEqual(failures, [
      { what: 'referrers', because: 'unread', message: 'only the newest 64 of 70 referrers were looked at' },
    ])
  })

  test('hundreds of SBOMs around the signatures are no flood', async () => {
    const registry = new MemoryRegistry()
    const sboms = Array.from({ length: 800 }, (_, n) => ({
      ...entryOf(MEDIA_TYPE.ociManifest, Buffer.from(`sbom ${n}`)),
      artifactType: 'application/spdx+json',
    }))
    registry.pages = [
      listOf([registry.referrer([bundle('first')]), ...sboms, registry.referrer([bundle('last')])]),
    ]
    const { candidates, rejected, failures } = await find(registry)
    assert.deepEqual([candidates.length, rejected, failures], [2, [], []])
  })

  test('a .sig of 60 signatures as cosign writes them', async () => {
    const registry = new MemoryRegistry()
    const layers = Array.from({ length: 60 }, (_, n) => ({
      ...signature,
      annotations: { ...signatureOf(String(n)), 'dev.sigstore.cosign/bundle': 'x'.repeat(8000) },
    }))
    registry.putManifest(registry.image(layers), subjectTag('.sig'))
    const { candidates, rejected, failures } = await find(registry)
    assert.deepEqual([candidates.length, rejected, failures], [60, [], []])
  })

  test('all bytes together', async () => {
    const registry = new MemoryRegistry()
    const large = Array.from({ length: 5 }, (_, n) => ({
      ...envelope,
      bytes: Buffer.alloc(5 * 1024 * 1024, n),
    }))
    registry.putManifest(registry.image(large), subjectTag('.att'))
    const { candidates, rejected, failures } = await find(registry)
    assert.deepEqual([candidates.length, rejected.length, failures.length], [3, 2, 1])
  })

  test('annotations that prove nothing are not kept, and one that is too long is refused', async () => {
    const registry = new MemoryRegistry()
    const annotations = { ...signatureOf('short'), other: 'y' }
    const long = signatureOf('x'.repeat(256 * 1024 + 1))
    registry.putManifest(
      registry.image([
        { ...signature, annotations },
        { ...signature, annotations: long },
      ]),
      subjectTag('.sig'),
    )
    const { candidates, rejected, failures } = await find(registry)
    assert.deepEqual(
      candidates.map((one) => (one.form === 'bundle' ? {} : one.annotations)),
      [signatureOf('short')],
    )
    assert.match(rejected[0]?.message ?? '', /^annotations of 262145 characters/)
    assert.deepEqual(failures, [])
  })

  for (const [length, isKept] of [
    [32 * 1024, true],
    [32 * 1024 + 1, false],
  ] as const) {
    test(`a certificate chain of ${length} characters: ${isKept ? 'kept' : 'left out, and the signature kept'}`, async () => {
      const registry = new MemoryRegistry()
      const name = 'dev.sigstore.cosign/chain'
      const annotations = { ...signatureOf('one'), [name]: 'x'.repeat(length) }
      registry.putManifest(registry.image([{ ...signature, annotations }]), subjectTag('.sig'))
      const { candidates } = await find(registry)
      const found = candidates.map((one) => one.form !== 'bundle' && Object.hasOwn(one.annotations, name))
      assert.deepEqual(found, [isKept])
    })
  }

  test('a manifest larger than any signatures need', async () => {
    const registry = new MemoryRegistry()
    const layers = Array.from({ length: 5 }, () => ({
      ...signature,
      annotations: signatureOf('x'.repeat(250_000)),
    }))
    registry.putManifest(registry.image(layers), subjectTag('.sig'))
    const { candidates, rejected, failures } = await find(registry)
    assert.match(rejected[0]?.message ?? '', /more than 1048576 bytes/)
    assert.deepEqual([candidates, failures], [[], []])
  })

  test('as many pages as the client reads leave more unread', async () => {
    const registry = new MemoryRegistry()
    registry.pages = Array.from({ length: 8 }, () => listOf([]))
    const { failures } = await find(registry)
    assert.match(failures[0]?.message ?? '', /limit of 8 pages/)
  })

  const overLimit: Record<string, (registry: MemoryRegistry) => readonly unknown[]> = {
    'more values than any list has': () => [{ annotations: Array.from({ length: 50_000 }, () => 0) }],
    'more entries than a page holds': () => Array.from({ length: 10_001 }, () => 0),
  }
  for (const [name, make] of Object.entries(overLimit)) {
    test(`a list with ${name} is not known to be empty`, async () => {
      const registry = new MemoryRegistry()
      registry.pages = [listOf(make(registry)), listOf([registry.referrer([bundle('good')])])]
      registry.putManifest(listOf(make(registry)), subjectTag(''))
      const { candidates, failures } = await find(registry)
      assert.equal(candidates.length, 1)
      assert.deepEqual(failures.map(({ what }) => what).toSorted(), ['fallback-tag', 'referrers'])
    })
  }

  test('of a list that is too long the newest count', async () => {
    const registry = new MemoryRegistry()
    const junk = Array.from({ length: 1000 }, (_, n) =>
      entryOf(MEDIA_TYPE.ociManifest, Buffer.from(String(n))),
    )
    registry.pages = [listOf([...junk, registry.referrer([bundle('newest')])])]
    const { candidates, failures } = await find(registry)
    assert.equal(candidates.length, 1)
    assert(failures.some(({ message }) => message.includes('more than 1000 that may be evidence')))
  })

  test('a list of rubbish is not repeated in full', async () => {
    const registry = new MemoryRegistry()
    registry.pages = [listOf(Array.from({ length: 5_000 }, () => null))]
    assert.equal((await find(registry)).rejected.length, 200)
  })
})
