import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { digestOf } from './digest.ts'
import { factsOf } from './manifest-facts.ts'
import { parseManifest } from './manifest.ts'
import { MEDIA_TYPE } from './manifest-types.ts'

const [ONE, TWO] = ['one', 'two'].map((text) => digestOf(Buffer.from(text)))
const CONFIG = { mediaType: 'application/vnd.oci.image.config.v1+json', digest: ONE, size: 2 }
const LAYER = { mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: TWO, size: 3 }
const NOTHING = { children: [], blobs: [], isEvidence: false, foreignHosts: [] }

suite('what is kept of a manifest', () => {
  const signature = {
    ...LAYER,
    mediaType: 'application/vnd.dev.cosign.simplesigning.v1+json',
  }
  for (const [name, fields, facts] of [
    [
      'an image',
      { mediaType: MEDIA_TYPE.ociManifest, config: CONFIG, layers: [LAYER, LAYER] },
      { ...NOTHING, mediaType: MEDIA_TYPE.ociManifest, blobs: [ONE, TWO] },
    ],
    [
      'an index',
      { mediaType: MEDIA_TYPE.ociIndex, manifests: [{ ...LAYER, mediaType: MEDIA_TYPE.ociManifest }] },
      { ...NOTHING, mediaType: MEDIA_TYPE.ociIndex, children: [TWO] },
    ],
    [
      'a signature',
      { mediaType: MEDIA_TYPE.ociManifest, config: CONFIG, layers: [signature] },
      { ...NOTHING, mediaType: MEDIA_TYPE.ociManifest, blobs: [ONE, TWO], isEvidence: true },
    ],
    [
      'an image with a layer elsewhere',
      {
        mediaType: MEDIA_TYPE.ociManifest,
        config: CONFIG,
        layers: [{ ...LAYER, urls: ['https://else.test:444/x', 'https://else.test:444/y'] }],
      },
      {
        ...NOTHING,
        mediaType: MEDIA_TYPE.ociManifest,
        blobs: [ONE, TWO],
        foreignHosts: ['else.test:444'],
      },
    ],
  ] as const) {
    test(`of ${name}`, () => {
      const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, ...fields }))
      assert.deepEqual(factsOf(parseManifest(bytes, undefined)), facts)
    })
  }
})
