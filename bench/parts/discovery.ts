import assert from 'node:assert/strict'
import { discover } from '../../src/discover/discover.ts'
import type { EvidenceReader } from '../../src/discover/evidence-reader.ts'
import { readReferrerList } from '../../src/discover/referrer-list.ts'
import { digestOf } from '../../src/oci/digest.ts'
import { parseManifest } from '../../src/oci/manifest.ts'
import { MEDIA_TYPE } from '../../src/oci/manifest-types.ts'
import { bundleJson } from '../../src/testing/cosign-layer.ts'
import { createSigstore } from '../../src/testing/sigstore.ts'
import { mintBundles, SUBJECT } from '../bundles.ts'
import { descriptor, manifest, registry } from '../hostile.ts'
import { checked, checkedAsync, type Part } from './part.ts'

const BUNDLE = 'application/vnd.dev.sigstore.bundle.v0.3+json'
const REPOSITORY = { registry: 'ghcr.io', name: 'acme/app' }

function listOf(manifests: readonly object[]): Buffer {
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests }))
}

function referrer(bytes: Buffer): object {
  const annotations = { 'dev.sigstore.bundle.content': 'dsse-envelope' }
  return descriptor(bytes, MEDIA_TYPE.ociManifest, { artifactType: BUNDLE, annotations })
}

/** Step 5: what a registry answers, read. */
export function discoveryParts(): readonly Part[] {
  const read = (count: number): Part => ({
    name: `discover/list-of-${count}`,
    open() {
      const entries = Array.from({ length: count }, (_, n) => referrer(Buffer.from(`bundle ${n}`)))
      const bytes = listOf(entries)
      return checked(
        () => readReferrerList(bytes),
        (list) => assert.equal(list.manifests.length, count),
      )
    },
  })
  return [read(2), read(64), { name: 'discover/two-bundles', open: openDiscovery }]
}

/** A registry in memory that holds a signature and provenance as referrers: no network, all that discovery does itself. */
async function openDiscovery() {
  const { message, provenance } = await mintBundles(await createSigstore())
  const blobs = [message, provenance].map((bundle) => bundleJson(bundle))
  const manifests = blobs.map((bytes) => {
    const subject = { mediaType: MEDIA_TYPE.ociManifest, digest: SUBJECT, size: 100 }
    return manifest([descriptor(bytes, BUNDLE)], { subject, artifactType: BUNDLE })
  })
  const held = new Map<string, Buffer>([...blobs, ...manifests].map((bytes) => [digestOf(bytes), bytes]))
  const client = registry(held, [listOf(manifests.map(referrer))])
  const reader: EvidenceReader = {
    parseManifest: (bytes, contentType) => Promise.resolve(parseManifest(bytes, contentType)),
    readReferrers: (bytes) => Promise.resolve(readReferrerList(bytes)),
  }
  const { signal } = new AbortController()
  return await checkedAsync(
    async () => await discover(SUBJECT, REPOSITORY, { client, reader }, signal),
    ({ candidates, failures }) => assert.deepEqual([candidates.length, failures.length], [2, 0]),
  )
}
