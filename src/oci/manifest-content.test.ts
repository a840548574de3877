import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { digestOf, matchesDigest, parseDigest } from './digest.ts'
import { isEvidenceBlob } from './evidence-blob.ts'
import { closureOf, foreignUrls, isEvidenceManifest, looksLikeManifest, parseManifest } from './manifest.ts'

type Json = Record<string, unknown>

const digest = (text: string) => digestOf(Buffer.from(text))
const LAYER_TYPE = 'application/vnd.oci.image.layer.v1.tar+gzip'
const CONFIG_TYPE = 'application/vnd.oci.image.config.v1+json'

function descriptor(text: string, fields: Json = {}): Json {
  return { mediaType: LAYER_TYPE, digest: digest(text), size: text.length, ...fields }
}

function image(fields: Json = {}): Json {
  return { schemaVersion: 2, config: descriptor('config'), layers: [descriptor('one')], ...fields }
}

function index(fields: Json = {}): Json {
  return { schemaVersion: 2, manifests: [descriptor('child')], ...fields }
}

function parse(value: Json) {
  return parseManifest(Buffer.from(JSON.stringify(value)), undefined)
}

test('closureOf names each digest once, and not the subject', () => {
  const subject = descriptor('subject')
  const layers = [descriptor('one'), descriptor('two'), descriptor('one')]
  assert.deepEqual(closureOf(parse(image({ layers, subject }))), {
    children: [],
    blobs: [digest('config'), digest('one'), digest('two')],
  })
  const manifests = [descriptor('a'), descriptor('b'), descriptor('a')]
  assert.deepEqual(closureOf(parse(index({ manifests, subject }))), {
    children: [digest('a'), digest('b')],
    blobs: [],
  })
})

test('foreignUrls names the hosts of every descriptor once', () => {
  const at = (...urls: string[]) => ({ urls })
  const manifest = image({
    config: descriptor('config', at('https://A.example/x')),
    layers: [descriptor('one', at('http://b.example:8080/x?y', 'https://a.example:443')), descriptor('two')],
    subject: descriptor('subject', at('https://c.example')),
  })
  assert.deepEqual(foreignUrls(parse(manifest)), ['a.example', 'b.example:8080', 'c.example'])
  assert.deepEqual(foreignUrls(parse(index({ manifests: [descriptor('a', at('https://d.example/'))] }))), [
    'd.example',
  ])
  assert.deepEqual(foreignUrls(parse(image())), [])
})

describe('looksLikeManifest', () => {
  const text = JSON.stringify(image())
  const yes: Record<string, string> = {
    'an image': text,
    'an index': JSON.stringify(index()),
    'schema 1': '{"name":"a","fsLayers":[],"history":[]}',
    'leading white space': ` \r\n\t${text}`,
    'a byte order mark': `\uFEFF${text}`,
    'trailing data': `${text} x`,
    'a second value': `{} ${text}`,
    'no end': text.slice(0, -20),
    'keys in another case': '{"SCHEMAVERSION":2,"LAYERS":[]}',
    'an escaped key': '{"\\u006danifests":[]}',
    'a key by dotless i': '{"man\u0131fests":[]}',
    'a key all in escapes': '{"\\u004D\\u0041\\u004e\\u0049\\u0046\\u0045\\u017F\\u0054\\u0053":[]}',
    'a key behind a hundred thousand others': `{${'"\\u006danifest":0,'.repeat(100_000)}"manifests":[]}`,
    'a key behind much space': `${' '.repeat(500_000)}{"manifests":[]}`,
    'a key behind a long text': `{"a":"${'\\"'.repeat(300_000)}","manifests":[]}`,
    'a key by long s': '{"manife\u017ft\u017f":[]}',
    'layers and config alone': '{"layers":[],"CONFIG":{}}',
    'keys twice': '{"a":1,"a":{"b":[1,{"c":"}"}]},"manifests":[]}',
    'a key behind deep nesting': `{"a":${'['.repeat(5000)}${']'.repeat(5000)},"manifests":[]}`,
    'a key behind a text with quotes': '{"a":"\\\\\\"","manifests":[]}',
  }
  for (const [name, document] of Object.entries(yes)) {
    test(`true: ${name}`, () => assert.equal(looksLikeManifest(Buffer.from(document)), true))
  }
  test('true: bytes that are not UTF-8', () => {
    assert.equal(looksLikeManifest(Buffer.from('{"a":"\xff","manifests":[]}', 'latin1')), true)
  })

  const no: Record<string, string> = {
    nothing: '',
    'an image config':
      '{"architecture":"amd64","os":"linux","config":{"Env":["manifests"]},"rootfs":{"type":"layers","diff_ids":[]},"history":[{"created_by":"{\\"manifests\\":1}"}]}',
    'a simple signing payload':
      '{"critical":{"identity":{"docker-reference":"a"},"image":{"docker-manifest-digest":"sha256:a"},"type":"cosign container image signature"},"optional":null}',
    'a DSSE envelope':
      '{"payloadType":"application/vnd.in-toto+json","payload":"e30=","signatures":[{"sig":"a"}]}',
    'an in-toto statement':
      '{"_type":"https://in-toto.io/Statement/v1","subject":[],"predicateType":"a","predicate":{"manifests":[],"schemaVersion":2}}',
    'a Sigstore bundle':
      '{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{},"dsseEnvelope":{}}',
    'an SPDX document': '{"spdxVersion":"SPDX-2.3","packages":[]}',
    'a CycloneDX document': '{"bomFormat":"CycloneDX","specVersion":"1.5","components":[]}',
    'layers as a value': '{"a":"layers","b":"config","c":["manifests","schemaVersion"]}',
    'an empty object': '{}',
    'an array': '["manifests"]',
    'a text': 'schemaVersion',
    'keys that only begin or end alike':
      '{"manifest":[],"manifestss":[],"amanifests":[],"layers ":[],"config":{}}',
    'keys with escapes of no letters':
      '{"\\manifests":[],"\\u006anifests":[],"\\u6danifests":[],"manifest\\u":[]}',
    'keys that are cut': '{"manifest',
    "a tokenizer's vocabulary": `{${Array.from({ length: 50_000 }, (_, n) => `"\\u0120m${n}":${n}`).join(',')}}`,
    "a scanner's report": '{"SchemaVersion":2,"ArtifactName":"a","Results":[]}',
  }
  for (const [name, document] of Object.entries(no)) {
    test(`false: ${name}`, () => assert.equal(looksLikeManifest(Buffer.from(document)), false))
  }
  test('false: a compressed layer', () => assert.equal(looksLikeManifest(gzipSync(text)), false))
})

test('whatever parses as a manifest looks like one', () => {
  const fields = fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 2 }), { maxKeys: 4 })
  const mix = fc.constantFrom(image(), index(), image({ annotations: { a: '}"' } }))
  fc.assert(
    fc.property(
      fields,
      mix,
      fc.constantFrom(undefined, '\t'),
      fc.boolean(),
      (extra, manifest, indent, first) => {
        const document = first ? { ...manifest, ...extra, ...manifest } : { ...extra, ...manifest }
        const bytes = Buffer.from(JSON.stringify(document, undefined, indent))
        assert.equal(looksLikeManifest(bytes), true)
        // Cut anywhere after its first telling key, it still does not pass for a blob.
        assert.equal(looksLikeManifest(bytes.subarray(0, -1)), true)
      },
    ),
  )
})

describe('isEvidenceManifest', () => {
  const BUNDLE = 'application/vnd.dev.sigstore.bundle.v0.3+json'
  const evidence = (configType: string, layerTypes: readonly string[], fields: Json = {}) =>
    parse({
      schemaVersion: 2,
      config: descriptor('config', { mediaType: configType }),
      layers: layerTypes.map((mediaType, at) => descriptor(`layer ${at}`, { mediaType, ...fields })),
    })
  const yes: Record<string, [configType: string, layerTypes: string[]]> = {
    'a cosign signature': [CONFIG_TYPE, ['application/vnd.dev.cosign.simplesigning.v1+json']],
    'two cosign attestations': [CONFIG_TYPE, Array<string>(2).fill('application/vnd.dsse.envelope.v1+json')],
    'a Sigstore bundle': ['application/vnd.oci.empty.v1+json', [BUNDLE]],
    'an old Sigstore bundle': [
      'application/vnd.oci.empty.v1+json',
      ['application/vnd.dev.sigstore.bundle+json;version=0.1'],
    ],
    "BuildKit's attestations": [
      CONFIG_TYPE,
      ['application/vnd.in-toto+json', 'application/vnd.in-toto+json'],
    ],
    'an SBOM': [CONFIG_TYPE, ['text/spdx+json', 'application/vnd.cyclonedx+json']],
  }
  for (const [name, [configType, layerTypes]] of Object.entries(yes)) {
    test(`true: ${name}`, () => assert.equal(isEvidenceManifest(evidence(configType, layerTypes)), true))
  }

  const no = {
    'an image': parse(image()),
    'an index': parse(index()),
    'no layers': evidence(CONFIG_TYPE, []),
    'a layer beside a bundle': evidence(CONFIG_TYPE, [BUNDLE, LAYER_TYPE]),
    'a layer that only begins like a bundle': evidence(CONFIG_TYPE, [`${BUNDLE}+gzip`]),
    'another config': evidence('application/vnd.cncf.helm.config.v1+json', [BUNDLE]),
    'too many layers': evidence(CONFIG_TYPE, Array<string>(101).fill(BUNDLE)),
    'a layer from elsewhere': evidence(CONFIG_TYPE, [BUNDLE], { urls: ['https://a.example/'] }),
    'a large layer': evidence(CONFIG_TYPE, [BUNDLE], { size: 16 * 1024 * 1024 + 1 }),
    'a config from elsewhere': parse({
      schemaVersion: 2,
      config: descriptor('config', { mediaType: CONFIG_TYPE, urls: ['https://a.example/'] }),
      layers: [descriptor('a', { mediaType: BUNDLE })],
    }),
  }
  for (const [name, manifest] of Object.entries(no)) {
    test(`false: ${name}`, () => assert.equal(isEvidenceManifest(manifest), false))
  }
})

const IMAGES = new URL('../../../shared/fixtures/images/', import.meta.url)

test('real images', { skip: existsSync(IMAGES) ? false : 'no fixtures beside the project' }, () => {
  let manifests = 0
  let evidence = 0
  for (const name of readdirSync(IMAGES).filter((entry) => !entry.endsWith('.digest'))) {
    const folder = new URL(`${name}/blobs/sha256/`, IMAGES)
    for (const hex of readdirSync(folder)) {
      const bytes = readFileSync(new URL(hex, folder))
      const expected = parseDigest(`sha256:${hex}`)
      assert.ok(expected !== undefined && matchesDigest(bytes, expected))
      if (!looksLikeManifest(bytes)) continue
      const manifest = parseManifest(bytes, undefined)
      manifests++
      if (!isEvidenceManifest(manifest)) continue
      evidence++
      for (const blob of closureOf(manifest).blobs) {
        const path = new URL(blob.slice('sha256:'.length), folder)
        assert.equal(isEvidenceBlob(readFileSync(path)), true)
      }
    }
  }
  assert.ok(manifests >= 6, `${manifests} manifests`)
  assert.ok(evidence >= 5, `${evidence} that carry evidence`)
})
