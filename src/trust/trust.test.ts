import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { before, suite, test } from 'node:test'
import { createSigstore, type Sigstore, type TrustedRootJson } from '../testing/sigstore.ts'
import type { KeySet } from '../verify/types.ts'
import { loadPublicGoodRoot } from './public-good.ts'
import { createTrustSnapshot, type SnapshotParts } from './snapshot.ts'
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
  const key = { id: 'sha256:1', key: generateKeyPairSync('ed25519').publicKey }
  const held = { key, validFrom: undefined, validUntil: undefined, isCurrent: true, isRetiring: false }
  const missing: KeySet = { kind: 'missing', dependency: 'kms', message: 'gone for 1 h' }
  const keysOf = (set: KeySet): ReadonlyMap<string, KeySet> => new Map([['keys:a', set]])

  test('the version follows names and documents, not their order', () => {
    const [a, b] = [parseTrustRoot('a', sigstore.trustedRootJson()), loadPublicGoodRoot()]
    const { version, roots } = createTrustSnapshot({ roots: [a, b] })
    assert.equal(createTrustSnapshot({ roots: [b, a] }).version, version)
    assert.notEqual(createTrustSnapshot({ roots: [a] }).version, version)
    assert.notEqual(createTrustSnapshot({ roots: [{ ...a, name: 'c' }, b] }).version, version)
    assert.deepEqual(roots.get('a'), [a])
  })

  const same: readonly (readonly [string, SnapshotParts, SnapshotParts])[] = [
    [
      'how long a root has been unusable',
      { roots: [], unusable: new Map([['a', '91 d']]) },
      { roots: [], unusable: new Map([['a', '92 d']]) },
    ],
    [
      'why a key is missing',
      { roots: [], keys: keysOf(missing) },
      { roots: [], keys: keysOf({ ...missing, message: 'gone for 2 h' }) },
    ],
  ]
  for (const [name, one, other] of same) {
    test(`no verdict depends on it: ${name}`, () => {
      assert.equal(createTrustSnapshot(one).version, createTrustSnapshot(other).version)
    })
  }

  const sets: readonly (readonly [string, KeySet])[] = [
    ['missing', missing],
    ['none', { kind: 'held', keys: [] }],
    ['one', { kind: 'held', keys: [held] }],
    ['one that is not current', { kind: 'held', keys: [{ ...held, isCurrent: false }] }],
    ['one that is retiring', { kind: 'held', keys: [{ ...held, isRetiring: true }] }],
    ['one with a start', { kind: 'held', keys: [{ ...held, validFrom: new Date(0) }] }],
    ['one with an end', { kind: 'held', keys: [{ ...held, validUntil: new Date(0) }] }],
    ['another', { kind: 'held', keys: [{ ...held, key: { ...key, id: 'sha256:2' } }] }],
    [
      'one of another scheme',
      { kind: 'held', keys: [{ ...held, key: { ...key, scheme: { hash: 'sha512' } } }] },
    ],
  ]
  test('every difference in keys makes another version', () => {
    const versions = sets.map(([, set]) => createTrustSnapshot({ roots: [], keys: keysOf(set) }).version)
    assert.equal(new Set(versions).size, sets.length)
  })

  test('of two roots of one name the staying one comes first; a retiring one makes another version', () => {
    const root = loadPublicGoodRoot()
    const old = { ...parseTrustRoot('public-good', sigstore.trustedRootJson()), isRetiring: true }
    const { roots, version } = createTrustSnapshot({ roots: [old, root] })
    assert.deepEqual(roots.get('public-good'), [root, old])
    assert.notEqual(createTrustSnapshot({ roots: [{ ...old, isRetiring: false }, root] }).version, version)
  })

  test('usable and unusable at once: refused', () => {
    const parts = { roots: [loadPublicGoodRoot()], unusable: new Map([['public-good', 'too old']]) }
    assert.throws(() => createTrustSnapshot(parts), { name: 'TrustError', code: 'snapshot' })
  })
})
