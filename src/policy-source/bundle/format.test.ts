import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { digestOf } from '../../oci/digest.ts'
import { MEDIA_TYPE } from '../../oci/manifest-types.ts'
import { parseManifest } from '../../oci/manifest.ts'
import {
  ARTIFACT_TYPE,
  EXPIRES,
  LAYER_TYPE,
  readBundleManifest,
  rollbackProblem,
  SERIAL,
  TITLE,
  type ContentsResult,
} from './format.ts'

const EMPTY_TYPE = 'application/vnd.oci.empty.v1+json'

function descriptor(mediaType: string, size = 3): object {
  return { mediaType, size, digest: digestOf(Buffer.from(mediaType)) }
}

function layer(path: string | undefined, mediaType: string = LAYER_TYPE.policy, size = 3): object {
  return { ...descriptor(mediaType, size), ...(path === undefined ? {} : { annotations: { [TITLE]: path } }) }
}

const GOOD = {
  schemaVersion: 2,
  mediaType: MEDIA_TYPE.ociManifest,
  artifactType: ARTIFACT_TYPE,
  config: descriptor(EMPTY_TYPE),
  layers: [layer('a.yaml'), layer('keys/a.pem', LAYER_TYPE.key)],
  annotations: { [SERIAL]: '7' },
}

function read(changes: object): ContentsResult {
  return readBundleManifest(parseManifest(Buffer.from(JSON.stringify({ ...GOOD, ...changes })), undefined))
}

suite('the manifest of a policy bundle', () => {
  test('files, serial and expiry', () => {
    const annotations = { [SERIAL]: '12', [EXPIRES]: '2027-06-01T00:00:00+02:00', 'org.example': 'anything' }
    const result = read({ annotations })
    assert.ok(result.ok)
    const { serial, expires, files } = result.contents
    assert.deepEqual([serial, expires?.toISOString()], [12, '2027-05-31T22:00:00.000Z'])
    assert.deepEqual(
      files.map(({ path, kind }) => [path, kind]),
      [
        ['a.yaml', 'policy'],
        ['keys/a.pem', 'key'],
      ],
    )
  })

  test('a registry of image-spec 1.0: the type of the config stands for the artifact type', () => {
    assert.ok(read({ artifactType: undefined, config: descriptor(ARTIFACT_TYPE) }).ok)
  })

  const many = Array.from({ length: 17 }, (_, index) =>
    layer(`${index}.yaml`, LAYER_TYPE.policy, 1024 * 1024),
  )
  const refused: readonly (readonly [string, object, RegExp])[] = [
    [
      'an index',
      { config: undefined, layers: undefined, mediaType: undefined, manifests: [] },
      /expected one artifact/,
    ],
    ['an image', { artifactType: undefined }, /found artifact type application\/vnd\.oci\.empty/],
    [
      'another artifact',
      { artifactType: 'application/vnd.example' },
      /found artifact type application\/vnd\.example/,
    ],
    ['no serial', { annotations: {} }, /whole number/],
    ['serial 0', { annotations: { [SERIAL]: '0' } }, /whole number/],
    ['a serial with a leading zero', { annotations: { [SERIAL]: '07' } }, /whole number/],
    ['a serial that no number holds', { annotations: { [SERIAL]: '9'.repeat(16) } }, /whole number/],
    ['a serial of another kind', { annotations: { [SERIAL]: '1e3' } }, /whole number/],
    ['an expiry that is none', { annotations: { [SERIAL]: '7', [EXPIRES]: 'tomorrow' } }, /no RFC 3339 time/],
    ['no files', { layers: [] }, /found no policy file/],
    ['only keys', { layers: [layer('a.pem', LAYER_TYPE.key)] }, /found no policy file/],
    ['a file without a name', { layers: [layer(undefined)] }, /without the annotation/],
    ['an absolute name', { layers: [layer('/etc/a.yaml')] }, /plain relative path/],
    ['a parent', { layers: [layer('../a.yaml')] }, /plain relative path/],
    ['a parent within', { layers: [layer('a/../../b.yaml')] }, /plain relative path/],
    ['a hidden name', { layers: [layer('.a.yaml')] }, /plain relative path/],
    ['a backslash', { layers: [layer('a\\b.yaml')] }, /plain relative path/],
    ['a control character', { layers: [layer('a\u0000.yaml')] }, /plain relative path/],
    ['too deep', { layers: [layer('a/b/c/d/e/f.yaml')] }, /plain relative path/],
    ['too long a name', { layers: [layer(`${'a'.repeat(251)}.yaml`)] }, /plain relative path/],
    ['a name twice', { layers: [layer('a.yaml'), layer('a.yaml')] }, /found a\.yaml twice/],
    ['a name twice but for its case', { layers: [layer('a.yaml'), layer('A.yaml')] }, /found a\.yaml twice/],
    [
      'a type that nobody knows',
      { layers: [layer('a.yaml', 'text/plain')] },
      /of type text\/plain, expected/,
    ],
    ['a policy that is called a key', { layers: [layer('a.pem')] }, /whose name says another/],
    [
      'a large file',
      { layers: [layer('a.yaml', LAYER_TYPE.policy, 1024 * 1024 + 1)] },
      /expected at most 1048576/,
    ],
    ['many large files', { layers: many }, /bytes of files, expected at most/],
  ]
  for (const [name, changes, expected] of refused) {
    test(`refused: ${name}`, () => {
      const result = read(changes)
      assert.match(result.ok ? 'accepted' : result.problem, expected)
    })
  }
})

suite('what may follow what was in force', () => {
  const [a, b] = [digestOf(Buffer.from('a')), digestOf(Buffer.from('b'))]
  const rows = [
    { name: 'anything, where nothing was', serial: 1, digest: a, last: undefined, problem: undefined },
    { name: 'a higher serial', serial: 8, digest: a, last: { serial: 7, digest: b }, problem: undefined },
    { name: 'the same bundle', serial: 7, digest: b, last: { serial: 7, digest: b }, problem: undefined },
    {
      name: 'a lower serial',
      serial: 6,
      digest: a,
      last: { serial: 7, digest: b },
      problem: /never rolled back/,
    },
    {
      name: 'the same serial on another bundle',
      serial: 7,
      digest: a,
      last: { serial: 7, digest: b },
      problem: /that of sha256:.* already/,
    },
  ] as const
  for (const { name, serial, digest, last, problem } of rows) {
    test(name, () => {
      const found = rollbackProblem({ serial, digest }, last)
      if (problem === undefined) assert.equal(found, undefined)
      else assert.match(found ?? 'accepted', problem)
    })
  }
})
