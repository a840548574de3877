import assert from 'node:assert/strict'
import { digestOf, parseDigest } from '../../src/oci/digest.ts'
import { parseManifest } from '../../src/oci/manifest.ts'
import { MEDIA_TYPE } from '../../src/oci/manifest-types.ts'
import { parseImageReference } from '../../src/oci/reference.ts'
import { descriptor, manifest } from '../hostile.ts'
import { checked, type Part } from './part.ts'

const LAYER = 'application/vnd.oci.image.layer.v1.tar+gzip'
const MIB = 1024 * 1024

function layers(count: number): readonly object[] {
  return Array.from({ length: count }, (_, n) => descriptor(Buffer.from(`layer ${n}`), LAYER))
}

/** As buildx writes one: each platform with its attestation manifest. */
function indexOf(count: number): Buffer {
  const manifests = Array.from({ length: count }, (_, n) => {
    const platform = { architecture: 'arm', os: 'linux', variant: `v${n}` }
    const annotations = { 'org.opencontainers.image.ref.name': `platform-${n}` }
    return descriptor(Buffer.from(`manifest ${n}`), MEDIA_TYPE.ociManifest, { platform, annotations })
  })
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests }))
}

/** Values of the OCI specifications, and the hash that step 4 rests on. */
export function ociParts(): readonly Part[] {
  const parsed = (name: string, bytes: Buffer, entries: number): Part => ({
    name: `manifest/${name}`,
    open: () =>
      checked(
        () => parseManifest(bytes, undefined),
        (one) => assert.equal((one.kind === 'index' ? one.manifests : one.layers).length, entries),
      ),
  })
  const hashed = (name: string, sizeBytes: number): Part => ({
    name: `digest/${name}`,
    open() {
      const bytes = Buffer.alloc(sizeBytes, 'x')
      const expected = digestOf(bytes)
      return checked(
        () => digestOf(bytes),
        (digest) => assert.equal(digest, expected),
      )
    },
  })
  const digest = digestOf(Buffer.from('image'))
  return [
    parsed('8-layers', manifest(layers(8)), 8),
    parsed('32-kib', manifest(layers(190)), 190),
    parsed('index-of-30', indexOf(30), 30),
    {
      name: 'reference/parse',
      open: () =>
        checked(
          () => parseImageReference(`ghcr.io/acme/team/app:v1.2.3@${digest}`),
          (reference) => assert.equal(reference?.repository.name, 'acme/team/app'),
        ),
    },
    {
      name: 'digest/parse',
      open: () =>
        checked(
          () => parseDigest(digest),
          (one) => assert.equal(one, digest),
        ),
    },
    hashed('2-kib', 2048),
    hashed('10-mib', 10 * MIB),
  ]
}
