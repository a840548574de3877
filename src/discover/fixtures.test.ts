import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { z } from 'zod'
import { digestOf, digestParts, parseDigest } from '../oci/digest.ts'
import { discover } from './discover.ts'
import { INLINE_READER } from './testing/inline-reader.ts'
import { MemoryRegistry } from './testing/memory-registry.ts'

const images = new URL('../../../shared/fixtures/images/', import.meta.url)
const skip = existsSync(images) ? false : 'no fixtures beside the project'

const Layout = z.object({
  manifests: z.array(z.object({ digest: z.string(), annotations: z.object({ kind: z.string() }) })),
})

for (const version of ['v1.4.0', 'v1.9.0', 'v2.0.0']) {
  test(`finds the attestation of a published image, ${version}`, { skip }, async () => {
    const layout = new URL(`${version}/`, images)
    const blob = (digest: string) => readFileSync(new URL(`blobs/${digest.replace(':', '/')}`, layout))
    const subject = parseDigest(readFileSync(new URL(`${version}.digest`, images), 'utf8').trim())
    assert(subject !== undefined)
    const registry = new MemoryRegistry()
    for (const name of readdirSync(new URL('blobs/sha256/', layout))) {
      registry.blobs.set(`sha256:${name}`, blob(`sha256:${name}`))
    }
    const index = Layout.parse(JSON.parse(readFileSync(new URL('index.json', layout), 'utf8')))
    const attestations = index.manifests.find(({ annotations }) => annotations.kind.endsWith('/atts'))
    assert(attestations !== undefined)
    registry.putManifest(blob(attestations.digest), `sha256-${digestParts(subject).hex}.att`)

    const repository = { registry: 'ghcr.io', name: 'slsa-framework/example' }
    const by = { client: registry.client, reader: INLINE_READER }
    const found = await discover(subject, repository, by, new AbortController().signal)
    assert.deepEqual([found.rejected, found.failures], [[], []])
    const [candidate] = found.candidates
    assert(candidate?.form === 'dsse')
    assert.equal(candidate.source.manifest, attestations.digest)
    assert.equal(digestOf(candidate.bytes), candidate.source.blob)
    assert('dev.sigstore.cosign/bundle' in candidate.annotations)
  })
}
