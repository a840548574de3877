import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { convert as convertForeign, newPem } from '../testing/foreign-policies.ts'
import type { Difference } from './imported.ts'

const [A, B, P384] = [newPem(), newPem(), newPem('P-384')]
const base64 = (text: string) => Buffer.from(text).toString('base64')
const REJECT = { type: 'reject' }
const ACCEPT = { type: 'insecureAcceptAnything' }
const signed = (more: object = {}) => ({ type: 'sigstoreSigned', keyData: base64(A), ...more })

function convert(value: object, accept: readonly Difference[] = ['names']) {
  const { names, specs, ...rest } = convertForeign(value, { accept, keyFiles: { '/etc/keys/a.pub': A } })
  return {
    policies: specs.map((spec, index): Record<string, unknown> => ({ name: names[index], ...spec })),
    ...rest,
  }
}

const docker = (scopes: object, fallback: object = REJECT) => ({
  default: [fallback],
  transports: { docker: scopes },
})
const images = (...globs: readonly string[]) => globs.map((glob) => ({ glob }))
const KEY_1 = [{ name: 'key-1', key: { data: A } }]

describe('policy.json', () => {
  it('rejects what it does not name: every image needs a policy', () => {
    const { policies, configuration, refusals } = convert(docker({ 'ghcr.io/acme': [signed()] }))
    assert.deepEqual(refusals, [])
    assert.deepEqual(policies, [
      {
        name: 'ghcr.io-acme',
        mode: 'enforce',
        images: images('ghcr.io/acme', 'ghcr.io/acme/**'),
        authorities: KEY_1,
      },
    ])
    assert.deepEqual(configuration, [{ policies: { unmatched: 'enforce' } }])
  })

  it('accepts what it does not name', () => {
    const { policies, configuration } = convert(docker({ 'quay.io': [REJECT] }, ACCEPT))
    assert.deepEqual(policies, [
      {
        name: 'quay.io',
        mode: 'enforce',
        images: images('quay.io/**'),
        authorities: [{ name: 'nothing', static: { action: 'fail', message: 'rejected by policy.json' } }],
      },
      {
        name: 'default',
        mode: 'enforce',
        images: images('**'),
        authorities: [{ name: 'anything', static: { action: 'pass' } }],
      },
    ])
    assert.deepEqual(configuration, [])
  })

  it('asks for a signature of everything', () => {
    const { policies } = convert({ default: [signed()] })
    assert.deepEqual(policies, [
      { name: 'default', mode: 'enforce', images: images('**'), authorities: KEY_1 },
    ])
  })

  it('takes the default of the transport for that of the file', () => {
    const { policies, configuration } = convert(docker({ '': [REJECT] }, ACCEPT))
    assert.deepEqual([policies, configuration], [[], [{ policies: { unmatched: 'enforce' } }]])
  })

  const requirements: readonly (readonly [string, readonly object[], object])[] = [
    [
      'any of its keys',
      [{ type: 'sigstoreSigned', keyDatas: [base64(A), base64(B)] }],
      { authorities: [...KEY_1, { name: 'key-2', key: { data: B } }] },
    ],
    ['a file', [{ type: 'sigstoreSigned', keyPath: '/etc/keys/a.pub' }], { authorities: KEY_1 }],
    [
      'SHA-256 with any curve',
      [{ type: 'sigstoreSigned', keyData: base64(P384) }],
      { authorities: [{ name: 'key-1', key: { data: P384, hashAlgorithm: 'sha256' } }] },
    ],
    [
      'all requirements',
      [signed(), { type: 'sigstoreSigned', keyData: base64(B) }],
      {
        authorities: [
          { name: 'key-1-1', key: { data: A } },
          { name: 'key-2-1', key: { data: B } },
        ],
        require: { all: [{ any: ['key-1-1'] }, { any: ['key-2-1'] }] },
      },
    ],
    ['anything, and a signature', [ACCEPT, signed()], { authorities: KEY_1 }],
    [
      'a rejection among others',
      [signed(), REJECT],
      { authorities: [{ name: 'nothing', static: { action: 'fail', message: 'rejected by policy.json' } }] },
    ],
  ]
  for (const [name, list, expected] of requirements) {
    it(name, () => {
      const { policies, refusals } = convert(docker({ 'ghcr.io': list }))
      assert.deepEqual(refusals, [])
      assert.deepEqual(policies, [
        { name: 'ghcr.io', mode: 'enforce', images: images('ghcr.io/**'), ...expected },
      ])
    })
  }

  const scopes: readonly (readonly [string, readonly string[]])[] = [
    ['localhost:5000/a/b', ['localhost:5000/a/b', 'localhost:5000/a/b/**']],
    ['*.example.com', ['*.example.com/**', '*.example.com:*/**']],
    ['docker.io/library/nginx', ['docker.io/library/nginx', 'docker.io/library/nginx/**']],
    ['docker.io/nginx', ['docker.io/nginx/**']],
  ]
  for (const [scope, globs] of scopes) {
    it(`the scope ${scope}`, () =>
      assert.deepEqual(convert(docker({ [scope]: [ACCEPT] })).policies[0]?.['images'], images(...globs)))
  }

  it('a scope in one that accepts anything counts as there', () => {
    const { refusals } = convert(docker({ 'ghcr.io': [ACCEPT], 'ghcr.io/acme': [signed()] }))
    assert.deepEqual(refusals, [])
  })

  const refused: readonly (readonly [string, object, RegExp])[] = [
    [
      'names that are not compared',
      docker({ 'ghcr.io': [signed()] }),
      /signedIdentity: cannot be enforced the same.*--accept names/,
    ],
    [
      'a scope in another',
      docker({ 'ghcr.io': [REJECT], 'ghcr.io/acme': [ACCEPT] }),
      /^transports\.docker\.ghcr\.io: .*only the inner one counts/,
    ],
    [
      'a registry in a domain',
      docker({ '*.example.com': [REJECT], 'a.example.com:5000/b': [ACCEPT] }),
      /only the inner one counts/,
    ],
    ['a default beside scopes', docker({ 'ghcr.io': [ACCEPT] }, signed()), /^default: .*in its place/],
    ['a tag', docker({ 'ghcr.io/a:v1': [ACCEPT] }), /one tag or digest/],
    ['no registry', docker({ 'acme/app': [ACCEPT] }), /names no registry|names no repository/],
    [
      'a registry that is called otherwise there',
      docker({ 'index.docker.io/acme': [ACCEPT] }),
      /no image is in.*write docker\.io/,
    ],
    ['no default', { transports: {}, default: [] }, /^default: found no requirement/],
    ['no requirement', docker({ 'ghcr.io': [] }), /found no requirement/],
    ['GPG', docker({ 'ghcr.io': [{ type: 'signedBy', keyType: 'GPGKeys' }] }), /GPG/],
    ['an unknown type', docker({ 'ghcr.io': [{ type: 'x' }] }), /nobody knows/],
    ['an unknown field', docker({ 'ghcr.io': [{ ...ACCEPT, x: 1 }] }), /nobody knows/],
    ['no key', docker({ 'ghcr.io': [{ type: 'sigstoreSigned' }] }), /found none of keyPath/],
    ['two kinds of key', docker({ 'ghcr.io': [signed({ keyPath: 'a' })] }), /keyPath and keyData/],
    [
      'a file that cannot be read',
      docker({ 'ghcr.io': [{ type: 'sigstoreSigned', keyPath: '/nowhere' }] }),
      /keyPath: .*run the import where the file is/,
    ],
    [
      'a log key',
      docker({ 'ghcr.io': [signed({ rekorPublicKeyPath: 'a' })] }),
      /rekorPublicKeyPath: .*trusted_root\.json/,
    ],
    [
      'Fulcio',
      docker({
        'ghcr.io': [
          {
            type: 'sigstoreSigned',
            fulcio: { caData: 'a', oidcIssuer: 'https://i.example', subjectEmail: 'a@b' },
          },
        ],
      }),
      /fulcio: .*issuer: "https:\/\/i\.example", subject: "a@b"/,
    ],
    ['an own PKI', docker({ 'ghcr.io': [{ type: 'sigstoreSigned', pki: {} }] }), /pki: /],
  ]
  for (const [name, value, refusal] of refused) {
    it(`${name}: refused`, () => {
      const { policies, refusals } = convert(value, name.startsWith('names') ? [] : ['names'])
      assert.deepEqual(policies, [])
      assert.ok(
        refusals.some((one) => refusal.test(one)),
        refusals.join('\n'),
      )
    })
  }

  it('says which transports are dropped', () => {
    const { notes } = convert({
      default: [REJECT],
      transports: { docker: {}, 'docker-daemon': { '': [ACCEPT] } },
    })
    assert.match(notes.join('\n'), /transport docker-daemon is dropped/)
  })
})
