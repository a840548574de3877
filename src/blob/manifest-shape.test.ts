import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { describe, it } from 'node:test'
import { digestOf } from '../oci/digest.ts'
import {
  ask,
  bodyOf,
  head,
  openService,
  pieces,
  serving,
  stored,
  upstreamOf,
} from '../testing/blob-service.ts'
import { UpstreamError } from '../upstream/types.ts'

describe('manifests asked for as blobs', () => {
  const manifest = Buffer.from(' \n{"schemaVersion":2,"config":{},"layers":[]}')
  const config = Buffer.from('{"architecture":"amd64","rootfs":{}}')

  for (const mode of ['cache', 'stream', 'redirect'] as const) {
    it(`never leave and are never kept: ${mode}`, async (t) => {
      const opened = await openService(t)
      const upstream = serving(manifest)
      const digest = digestOf(manifest)
      assert.deepEqual(await ask(opened, upstream, digest, { mode }), { kind: 'is-manifest' })
      assert.deepEqual(await ask(opened, upstream, digest, { mode }), { kind: 'is-manifest' })
      assert.deepEqual(await head(opened, upstream, digest, mode), { kind: 'is-manifest' })
      assert.equal(opened.store.size(digest), undefined)
      assert.deepEqual(upstream.offsets, [0])
    })
  }

  it('do not leave in small pieces or without a size', async (t) => {
    const opened = await openService(t)
    const upstream = upstreamOf(
      () => ({ size: undefined, offset: 0, body: Readable.from(pieces(manifest, 1)) }),
      {
        headBlob: () => Promise.reject(new UpstreamError('unavailable', 'no HEAD')),
      },
    )
    assert.deepEqual(await ask(opened, upstream, digestOf(manifest)), { kind: 'is-manifest' })
  })

  it('do not leave the store, where the manifest route put them', async (t) => {
    const opened = await openService(t)
    await opened.store.put(digestOf(manifest), manifest)
    const nothing = upstreamOf(() => assert.fail('upstream was asked'))
    assert.deepEqual(await ask(opened, nothing, digestOf(manifest)), { kind: 'is-manifest' })
    assert.deepEqual(await head(opened, nothing, digestOf(manifest)), { kind: 'is-manifest' })
  })

  it('do not stop an image configuration', async (t) => {
    const opened = await openService(t)
    const upstream = serving(config)
    for (let round = 0; round < 2; round += 1) {
      assert.deepEqual(await buffer(bodyOf(await ask(opened, upstream, digestOf(config)))), config)
      await stored(opened, digestOf(config))
    }
    assert.deepEqual(upstream.offsets, [0])
  })

  it('do not stop JSON that is larger than any manifest', async (t) => {
    const opened = await openService(t)
    const large = Buffer.from(`{"schemaVersion":2,"pad":"${'x'.repeat(5 * 1024 * 1024)}"}`)
    for (const size of [large.length, undefined]) {
      const upstream = upstreamOf(() => ({ size, offset: 0, body: Readable.from(pieces(large)) }), {
        headBlob: () => Promise.reject(new UpstreamError('unavailable', 'no HEAD')),
      })
      const answer = await ask(opened, upstream, digestOf(large), { mode: 'stream' })
      assert.deepEqual(await buffer(bodyOf(answer)), large)
    }
  })
})
