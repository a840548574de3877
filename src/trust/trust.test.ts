import assert from 'node:assert/strict'
import { before, suite, test } from 'node:test'
import { createSigstore, type Sigstore, type TrustedRootJson } from '../testing/sigstore.ts'
import { loadPublicGoodRoot } from './public-good.ts'
import { createTrustSnapshot } from './snapshot.ts'
import { TrustError } from './trust-error.ts'
import { parseTrustRoot } from './trust-root.ts'

let sigstore: Sigstore

before(async () => {
  sigstore = await createSigstore()
})

type Mutable<T> = { -readonly [K in keyof T]: Mutable<T[K]> }
type Json = Mutable<TrustedRootJson>

/** What a field may be replaced with, whatever its type says. */
function put(holder: object | undefined, key: string, value: unknown): void {
  if (holder === undefined) assert.fail('nothing to change')
  if (value === undefined) Reflect.deleteProperty(holder, key)
  else Reflect.set(holder, key, value)
}

suite('parseTrustRoot', () => {
  test('a whole one is read; its version is the hash of the document', () => {
    const json = sigstore.trustedRootJson()
    const root = parseTrustRoot('ours', json)
    assert.deepEqual([root.name, root.json], ['ours', json])
    assert.match(root.version, /^sha256:[0-9a-f]{64}$/)
    assert.notEqual(root.version, parseTrustRoot('ours', `${json} `).version)
    assert.equal(root.material.tlogs.length, 2)
  })

  const refused: readonly (readonly [string, RegExp, (json: Json) => void])[] = [
    [
      'a log without a validity',
      /tlogs\[0\]\.publicKey\.validFor\.start/,
      ({ tlogs }) => put(tlogs[0]?.publicKey, 'validFor', undefined),
    ],
    [
      'a log without a start',
      /tlogs\[1\]\.publicKey\.validFor\.start/,
      ({ tlogs }) => put(tlogs[1]?.publicKey, 'validFor', {}),
    ],
    [
      'a log that ends before it starts',
      /tlogs\[0\]\.publicKey\.validFor\.end/,
      ({ tlogs }) => put(tlogs[0]?.publicKey.validFor, 'end', '1999-01-01T00:00:00Z'),
    ],
    ['a log without a key', /tlogs\[0\]\.publicKey/, ({ tlogs }) => put(tlogs[0], 'publicKey', undefined)],
    [
      'a log with a key that is none',
      /malformed/,
      ({ tlogs }) => put(tlogs[0]?.publicKey, 'rawBytes', 'AAAA'),
    ],
    ['a log without an id', /tlogs\[0\]\.logId/, ({ tlogs }) => put(tlogs[0], 'logId', undefined)],
    ['a log without a URL', /tlogs\[0\]\.baseUrl/, ({ tlogs }) => put(tlogs[0], 'baseUrl', undefined)],
    [
      'a CT log without a start',
      /ctlogs\[0\]\.publicKey\.validFor\.start/,
      ({ ctlogs }) => put(ctlogs[0]?.publicKey, 'validFor', {}),
    ],
    [
      'an authority without a validity',
      /certificateAuthorities\[0\]\.validFor\.start/,
      ({ certificateAuthorities }) => put(certificateAuthorities[0], 'validFor', undefined),
    ],
    [
      'an authority with a start that is no date',
      /certificateAuthorities\[0\]\.validFor\.start/,
      ({ certificateAuthorities }) => put(certificateAuthorities[0]?.validFor, 'start', 'x'),
    ],
    [
      'an authority without certificates',
      /certificateAuthorities\[0\]\.certChain/,
      ({ certificateAuthorities }) => put(certificateAuthorities[0]?.certChain, 'certificates', []),
    ],
    [
      'an authority with a certificate that is none',
      /malformed/,
      ({ certificateAuthorities }) =>
        put(certificateAuthorities[0]?.certChain, 'certificates', [{ rawBytes: 'AAAA' }]),
    ],
    [
      'a timestamp authority without a validity',
      /timestampAuthorities\[0\]\.validFor\.start/,
      ({ timestampAuthorities }) => put(timestampAuthorities[0], 'validFor', undefined),
    ],
    ['another media type', /mediaType/, (json) => put(json, 'mediaType', 'application/json')],
    [
      'nothing in it',
      /both empty/,
      (json) => {
        json.tlogs = []
        json.certificateAuthorities = []
      },
    ],
  ]
  for (const [name, message, edit] of refused) {
    test(`${name}: refused by name`, () => {
      const json = structuredClone(sigstore.trustedRoot()) as Json
      edit(json)
      assert.throws(
        () => parseTrustRoot('ours', JSON.stringify(json)),
        (error) => error instanceof TrustError && error.code === 'trust-root' && message.test(error.message),
      )
    })
  }
  for (const text of ['', 'null', '[]', '{}', '"x"', `{"a":"${'x'.repeat(2_000_000)}"}`]) {
    test(`${text.slice(0, 10) || 'nothing'}: refused`, () => {
      assert.throws(() => parseTrustRoot('ours', text), { name: 'TrustError', code: 'trust-root' })
    })
  }
})

test('the public-good root is built in', () => {
  const { name, material } = loadPublicGoodRoot()
  assert.equal(name, 'public-good')
  assert.deepEqual(
    material.tlogs.map(({ baseURL }) => baseURL),
    ['https://rekor.sigstore.dev', 'https://log2025-1.rekor.sigstore.dev'],
  )
  assert.ok(material.certificateAuthorities.length > 0)
  assert.equal(loadPublicGoodRoot('sigstore').name, 'sigstore')
})

suite('createTrustSnapshot', () => {
  test('the version follows names and documents, not their order', () => {
    const [a, b] = [parseTrustRoot('a', sigstore.trustedRootJson()), loadPublicGoodRoot()]
    const { version, roots } = createTrustSnapshot([a, b])
    assert.equal(createTrustSnapshot([b, a]).version, version)
    assert.notEqual(createTrustSnapshot([a]).version, version)
    assert.notEqual(createTrustSnapshot([{ ...a, name: 'c' }, b]).version, version)
    assert.equal(roots.get('a'), a)
  })
  test('two roots of one name: refused', () => {
    const root = loadPublicGoodRoot()
    assert.throws(() => createTrustSnapshot([root, root]), { name: 'TrustError', code: 'snapshot' })
  })
})
