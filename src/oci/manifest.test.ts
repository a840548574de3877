import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { digestOf } from './digest.ts'
import { ManifestError, type ManifestErrorCode } from './manifest-error.ts'
import { parseManifest } from './manifest.ts'
import { MANIFEST_BYTES_MAX, MEDIA_TYPE } from './manifest-types.ts'

type Json = Record<string, unknown>

const digest = (text: string) => digestOf(Buffer.from(text))
const LAYER_TYPE = 'application/vnd.oci.image.layer.v1.tar+gzip'
const CONFIG_TYPE = 'application/vnd.oci.image.config.v1+json'

function descriptor(text: string, fields: Json = {}): Json {
  return { mediaType: LAYER_TYPE, digest: digest(text), size: text.length, ...fields }
}

function image(fields: Json = {}): Json {
  return {
    schemaVersion: 2,
    config: descriptor('config', { mediaType: CONFIG_TYPE }),
    layers: [descriptor('one'), descriptor('two')],
    ...fields,
  }
}

function index(fields: Json = {}): Json {
  return {
    schemaVersion: 2,
    manifests: [descriptor('child', { mediaType: MEDIA_TYPE.ociManifest })],
    ...fields,
  }
}

function parse(value: unknown, contentType?: string) {
  return parseManifest(Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)), contentType)
}

/** An image whose only layer is `fields` over a good descriptor. */
function layer(fields: Json): Json {
  return image({ layers: [descriptor('one', fields)] })
}

function refuses(value: unknown, code: ManifestErrorCode, contentType?: string): void {
  assert.throws(
    () => parse(value, contentType),
    (error) => error instanceof ManifestError && error.code === code,
  )
}

describe('parseManifest', () => {
  test('reads an image manifest', () => {
    const subject = descriptor('subject', { mediaType: MEDIA_TYPE.ociManifest })
    const platform = { os: 'linux', architecture: 'arm64', variant: 'v8', 'os.version': '1' }
    const manifest = parse(
      image({
        mediaType: MEDIA_TYPE.ociManifest,
        artifactType: 'application/x',
        subject,
        annotations: { a: 'b' },
        layers: [descriptor('one', { platform, annotations: { c: 'd' }, urls: ['https://a.example/x'] })],
        unknown: { Layers: 1 },
      }),
      `${MEDIA_TYPE.ociManifest}; charset=utf-8`,
    )
    assert.deepEqual(manifest, {
      kind: 'image',
      mediaType: MEDIA_TYPE.ociManifest,
      artifactType: 'application/x',
      annotations: { a: 'b' },
      subject: { ...subject, annotations: {} },
      config: { ...descriptor('config', { mediaType: CONFIG_TYPE }), annotations: {} },
      layers: [
        {
          ...descriptor('one', { annotations: { c: 'd' }, urls: ['https://a.example/x'] }),
          platform: { os: 'linux', architecture: 'arm64', variant: 'v8' },
        },
      ],
    })
  })

  test('reads an index, nested ones too', () => {
    const child = descriptor('child', { mediaType: MEDIA_TYPE.ociIndex, artifactType: 'application/x' })
    const manifest = parse(
      index({ mediaType: MEDIA_TYPE.dockerList, manifests: [child] }),
      MEDIA_TYPE.dockerList,
    )
    assert.ok(manifest.kind === 'index')
    assert.deepEqual(manifest.manifests, [{ ...child, annotations: {} }])
  })

  test('null, and an empty text, are absent where a field is optional', () => {
    const manifest = parse(
      image({
        annotations: null,
        subject: null,
        artifactType: '',
        mediaType: null,
        layers: [descriptor('a', { urls: null, platform: null })],
      }),
    )
    assert.deepEqual(manifest.annotations, {})
    assert.equal(manifest.subject, undefined)
    assert.equal(manifest.artifactType, undefined)
    assert.equal(manifest.mediaType, MEDIA_TYPE.ociManifest)
  })

  const types: Record<string, [manifest: Json, header: string | undefined, mediaType: string]> = {
    'body without header': [
      image({ mediaType: MEDIA_TYPE.dockerManifest }),
      undefined,
      MEDIA_TYPE.dockerManifest,
    ],
    'body and header': [index({ mediaType: MEDIA_TYPE.ociIndex }), MEDIA_TYPE.ociIndex, MEDIA_TYPE.ociIndex],
    'header in another case': [
      index({ mediaType: MEDIA_TYPE.ociIndex }),
      MEDIA_TYPE.ociIndex.toUpperCase(),
      MEDIA_TYPE.ociIndex,
    ],
    'header alone': [image(), MEDIA_TYPE.dockerManifest, MEDIA_TYPE.dockerManifest],
    'header alone, with parameters': [index(), `${MEDIA_TYPE.dockerList};a=b`, MEDIA_TYPE.dockerList],
    'neither, an image': [image(), undefined, MEDIA_TYPE.ociManifest],
    'neither, an index': [index(), undefined, MEDIA_TYPE.ociIndex],
    'a header that says nothing': [image(), 'application/octet-stream', MEDIA_TYPE.ociManifest],
    'an empty header': [index({ mediaType: MEDIA_TYPE.ociIndex }), '', MEDIA_TYPE.ociIndex],
  }
  for (const [name, [manifest, header, mediaType]] of Object.entries(types)) {
    test(`media type by ${name}`, () => assert.equal(parse(manifest, header).mediaType, mediaType))
  }
})

describe('parseManifest refuses', () => {
  const text = JSON.stringify(image())
  const open = text.slice(0, -1)
  const cases: Record<string, [value: unknown, code: ManifestErrorCode, contentType?: string]> = {
    'too many bytes': [' '.repeat(MANIFEST_BYTES_MAX) + text, 'too-large'],
    'no JSON': ['<html>', 'json'],
    'trailing data': [`${text}{}`, 'json'],
    'a byte order mark': [`\uFEFF${text}`, 'json'],
    'an array': [[image()], 'field'],
    null: ['null', 'field'],
    'a text': ['"a"', 'field'],
    'layers twice': [`${open},"layers":[]}`, 'ambiguous'],
    'layers twice, once escaped': [`${open},"\\u006cayers":[]}`, 'ambiguous'],
    'layers twice, once in another case': [`${open},"Layers":[]}`, 'ambiguous'],
    'layers only in another case': [{ ...image({ layers: undefined }), LAYERS: [] }, 'ambiguous'],
    'an index with layers in another case': [index({ Layers: [] }), 'ambiguous'],
    'an index with layers by long s': [index({ layerſ: [] }), 'ambiguous'],
    'a subject in another case': [image({ Subject: descriptor('a') }), 'ambiguous'],
    'a media type in another case': [image({ mediatype: MEDIA_TYPE.ociIndex }), 'ambiguous'],
    'schema 1 in another case': [image({ FSLayers: [] }), 'ambiguous'],
    'urls in another case': [layer({ URLs: ['https://a.example/'] }), 'ambiguous'],
    'a digest in another case': [layer({ Digest: digest('b') }), 'ambiguous'],
    'a platform in another case': [
      layer({ platform: { os: 'linux', architecture: 'amd64', OS: 'x' } }),
      'ambiguous',
    ],
    'a config in another case': [layer({ mediaTYPE: 'x' }), 'ambiguous'],
    'both manifests and layers': [index({ layers: [] }), 'ambiguous'],
    'both manifests and config': [index({ config: null }), 'ambiguous'],
    'both manifests and blobs': [index({ blobs: [] }), 'ambiguous'],
    'both, manifests null': [image({ manifests: null }), 'ambiguous'],
    'both manifests and fsLayers': [index({ fsLayers: [] }), 'schema'],
    'schema 1': [{ schemaVersion: 1, fsLayers: [], history: [] }, 'schema'],
    'schema 1 by its version': [image({ schemaVersion: 1 }), 'schema'],
    'schema 1 by its header': [
      image(),
      'schema',
      'application/vnd.docker.distribution.manifest.v1+prettyjws',
    ],
    'schema 1 by its header with parameters': [
      image(),
      'schema',
      'Application/vnd.docker.distribution.manifest.v1+json; charset=utf-8',
    ],
    'schema 3': [image({ schemaVersion: 3 }), 'schema'],
    'a schemaVersion that is a text': [image({ schemaVersion: '2' }), 'schema'],
    'no schemaVersion': [image({ schemaVersion: undefined }), 'schema'],
    'no layers': [image({ layers: undefined }), 'schema'],
    'no config': [image({ config: undefined }), 'schema'],
    'an artifact manifest': [
      { schemaVersion: 2, mediaType: 'application/vnd.oci.artifact.manifest.v1+json', blobs: [] },
      'schema',
    ],
    'another type in the body': [image({ mediaType: 'application/json' }), 'media-type'],
    'an index type on an image': [image({ mediaType: MEDIA_TYPE.ociIndex }), 'media-type'],
    'an image type on an index': [index({ mediaType: MEDIA_TYPE.ociManifest }), 'media-type'],
    'an index type in the header of an image': [image(), 'media-type', MEDIA_TYPE.dockerList],
    'a header that differs from the body': [
      image({ mediaType: MEDIA_TYPE.ociManifest }),
      'media-type',
      MEDIA_TYPE.dockerManifest,
    ],
    'a header that says nothing against a body': [
      image({ mediaType: MEDIA_TYPE.ociManifest }),
      'media-type',
      'text/plain',
    ],
    'two types in the header': [
      image({ mediaType: MEDIA_TYPE.ociManifest }),
      'media-type',
      `${MEDIA_TYPE.ociManifest}, ${MEDIA_TYPE.ociIndex}`,
    ],
    'a mediaType that is no text': [image({ mediaType: 1 }), 'field'],
    'layers that are null': [image({ layers: null }), 'field'],
    'layers that are an object': [image({ layers: {} }), 'field'],
    'manifests that are null': [index({ manifests: null }), 'field'],
    'a config that is null': [image({ config: null }), 'field'],
    'a layer that is null': [image({ layers: [null] }), 'field'],
    'a subject without digest': [image({ subject: { mediaType: 'x', size: 1 } }), 'field'],
    'annotations that are no object': [image({ annotations: ['a'] }), 'field'],
    'an annotation that is no text': [image({ annotations: { a: 1 } }), 'field'],
    'an annotation of a layer that is no text': [layer({ annotations: { a: null } }), 'field'],
    'a layer without mediaType': [layer({ mediaType: undefined }), 'field'],
    'an empty mediaType': [layer({ mediaType: '' }), 'field'],
    'a long mediaType': [layer({ mediaType: 'a'.repeat(256) }), 'field'],
    'a mediaType with a line feed': [layer({ mediaType: 'a/b\nc' }), 'field'],
    'no digest': [layer({ digest: undefined }), 'field'],
    'an upper case digest': [layer({ digest: `sha256:${'A'.repeat(64)}` }), 'field'],
    'a digest that is a path': [layer({ digest: 'sha256:../../x' }), 'field'],
    'a digest in an array': [layer({ digest: [digest('a')] }), 'field'],
    'no size': [layer({ size: undefined }), 'field'],
    'a negative size': [layer({ size: -1 }), 'field'],
    'a fractional size': [layer({ size: 1.5 }), 'field'],
    'a size that is a text': [layer({ size: '1' }), 'field'],
    'a size beyond what a number holds': [layer({ size: 2 ** 53 }), 'field'],
    'an infinite size': [text.replace(/"size":\d+/, '"size":1e999'), 'field'],
    'an artifactType that is no text': [layer({ artifactType: {} }), 'field'],
    'urls that are a text': [layer({ urls: 'https://a.example/' }), 'field'],
    'a url that is no text': [layer({ urls: [1] }), 'field'],
    'a url of a file': [layer({ urls: ['file:///etc/passwd'] }), 'field'],
    'a url with user info': [layer({ urls: ['https://good.example@evil.example/'] }), 'field'],
    'a url with a backslash': [layer({ urls: ['https://good.example\\@evil.example/'] }), 'field'],
    'a url with a backslash in the path': [layer({ urls: ['https://good.example/\\evil.example'] }), 'field'],
    'a url without authority': [layer({ urls: ['//a.example/x'] }), 'field'],
    'a url with one slash': [layer({ urls: ['https:/a.example/x'] }), 'field'],
    'a url with white space': [layer({ urls: ['https://a.example/\tx'] }), 'field'],
    'a url with a bad port': [layer({ urls: ['https://a.example:99999/'] }), 'field'],
    'a platform that is a text': [layer({ platform: 'linux' }), 'field'],
    'a platform whose os is no text': [layer({ platform: { os: 1, architecture: 'a' } }), 'field'],
    'annotations for show': [
      image({ annotations: Object.fromEntries(Array.from({ length: 5001 }, (_, n) => [`a${n}`, ''])) }),
      'limit',
    ],
    'annotations for show, a few a layer': [
      image({
        layers: Array.from({ length: 1000 }, (_, n) =>
          descriptor(`${n}`, { annotations: { a: '', b: '', c: '', d: '', e: '', f: '' } }),
        ),
      }),
      'limit',
    ],
    'urls for show, a few an entry': [
      index({
        manifests: Array.from({ length: 100 }, (_, n) =>
          descriptor(`${n}`, { urls: Array<string>(11).fill('https://a.example/') }),
        ),
      }),
      'limit',
    ],
    'too many layers': [image({ layers: Array.from({ length: 1001 }, () => descriptor('a')) }), 'limit'],
    'too many manifests': [
      index({ manifests: Array.from({ length: 1001 }, () => descriptor('a')) }),
      'limit',
    ],
    'too many urls': [layer({ urls: Array.from({ length: 17 }, () => 'https://a.example/') }), 'limit'],
  }
  for (const [name, [value, code, contentType]] of Object.entries(cases)) {
    test(name, () => refuses(value, code, contentType))
  }

  test('an inherited field', () => {
    const bytes = `{"schemaVersion":2,"__proto__":${JSON.stringify(image())}}`
    refuses(bytes, 'schema')
  })
})

test('the limits themselves are within the limits', () => {
  assert.doesNotThrow(() => parse(image({ layers: Array.from({ length: 1000 }, () => descriptor('a')) })))
  assert.doesNotThrow(() => parse(index({ manifests: Array.from({ length: 1000 }, () => descriptor('a')) })))
})
