import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { digestOf } from '../oci/digest.ts'
import { referenceText } from '../oci/reference.ts'
import { parseTarget, type Target, type TargetError } from './target.ts'

const DIGEST = digestOf(Buffer.from('x'))
const BARE = { ns: undefined, prefix: undefined }

function accept(raw: string): Target {
  const parsed = parseTarget(raw)
  assert.ok(parsed.ok, raw)
  return parsed.target
}

function refusal(raw: string): TargetError {
  const parsed = parseTarget(raw)
  assert.ok(!parsed.ok, raw)
  return parsed
}

describe('shapes that clients send', () => {
  const manifest = (name: string, tag: string) => ({
    kind: 'manifest',
    name,
    reference: { kind: 'tag', tag },
  })
  const cases: Record<string, object> = {
    '/v2/': { kind: 'ping' },
    '/v2': { kind: 'ping' },
    '/v2/?ns=docker.io': { kind: 'ping', ns: 'docker.io' },
    '/docker.io/v2/': { kind: 'ping', prefix: 'docker.io' },
    '/docker.io/v2': { kind: 'ping', prefix: 'docker.io' },
    '/v2/library/alpine/manifests/3.20': manifest('library/alpine', '3.20'),
    '/v2/acme/app/manifests/v1?ns=ghcr.io': { ...manifest('acme/app', 'v1'), ns: 'ghcr.io' },
    '/v2/app/manifests/v1?ns=127.0.0.1%3A5000': { ...manifest('app', 'v1'), ns: '127.0.0.1:5000' },
    '/v2/ghcr.io/acme/app/manifests/v1': manifest('ghcr.io/acme/app', 'v1'),
    '/v2/localhost:5000/app/manifests/v1': manifest('localhost:5000/app', 'v1'),
    '/v2/127.0.0.1:5000/app/manifests/v1': manifest('127.0.0.1:5000/app', 'v1'),
    '/ghcr.io/v2/acme/app/manifests/v1': { ...manifest('acme/app', 'v1'), prefix: 'ghcr.io' },
    '/localhost:5000/v2/app/manifests/v1': { ...manifest('app', 'v1'), prefix: 'localhost:5000' },
    '/v2/v2/app/manifests/v1': manifest('v2/app', 'v1'),
    '/hub/v2/v2/manifests/v2': { ...manifest('v2', 'v2'), prefix: 'hub' },
    '/v2/a/manifests/b/manifests/c': manifest('a/manifests/b', 'c'),
    '/v2/a/tags/manifests/list': manifest('a/tags', 'list'),
    '/v2/a/blobs/uploads/manifests/v1': manifest('a/blobs/uploads', 'v1'),
    [`/v2/a/manifests/sha256-${'a'.repeat(64)}.sig`]: manifest('a', `sha256-${'a'.repeat(64)}.sig`),
    [`/v2/a/manifests/${DIGEST}`]: {
      kind: 'manifest',
      name: 'a',
      reference: { kind: 'digest', digest: DIGEST },
    },
    [`/v2/a/b/blobs/${DIGEST}?unknown=1`]: { kind: 'blob', name: 'a/b', digest: DIGEST },
    '/v2/a/tags/list': { kind: 'tags', name: 'a' },
    '/v2/a/tags/list?n=0&last=v1&ns=ghcr.io': { kind: 'tags', name: 'a', n: 0, last: 'v1', ns: 'ghcr.io' },
    '/v2/x/manifests/tags/list': { kind: 'tags', name: 'x/manifests' },
    [`/v2/a/referrers/${DIGEST}`]: { kind: 'referrers', name: 'a', digest: DIGEST },
    [`/v2/a/referrers/${DIGEST}?artifactType=application%2Fvnd.dev.sigstore.bundle%2Bjson%3Bversion%3D0.3`]: {
      kind: 'referrers',
      name: 'a',
      digest: DIGEST,
      artifactType: 'application/vnd.dev.sigstore.bundle+json;version=0.3',
    },
  }
  for (const [raw, target] of Object.entries(cases)) {
    test(raw, () => assert.deepEqual({ ...accept(raw) }, { ...BARE, ...target }))
  }
})

describe('second spellings of a path are refused with 400', () => {
  const cases: Record<string, string> = {
    'encoded slash': '/v2/a%2fb/manifests/v1',
    'encoded slash, upper case': '/v2/a%2Fb/manifests/v1',
    'encoded dots': '/v2/a/%2e%2e/b/manifests/v1',
    'encoded letter': '/v2/%61/manifests/v1',
    'double encoding': '/v2/a%252fb/manifests/v1',
    'encoded NUL': '/v2/a/manifests/v1%00',
    'encoding in the endpoint': '/v2/a/%6danifests/v1',
    'encoded prefix': '/ghcr%2Eio/v2/a/manifests/v1',
    'empty segment': '/v2/a//b/manifests/v1',
    'leading empty segment': '//v2/a/manifests/v1',
    'authority in the path': '//evil.example/v2/a/manifests/v1',
    'empty segment after v2': '/v2//a/manifests/v1',
    'dot segment': '/v2/a/./b/manifests/v1',
    'parent segment': '/v2/a/../b/manifests/v1',
    'parent segment at the end': '/v2/a/manifests/..',
    'dot segment as a tag': '/v2/a/manifests/.',
    backslash: '/v2/a\\b/manifests/v1',
    fragment: '/v2/a/manifests/v1#x',
    'absolute form': 'http://evil.example/v2/a/manifests/v1',
    'authority form': 'evil.example:443',
    'asterisk form': '*',
    empty: '',
    space: '/v2/a/manifests/v1 x',
    'line feed': '/v2/a/manifests/v1\n',
    tab: '/v2/a\t/manifests/v1',
    'beyond ASCII': '/v2/\u00e9/manifests/v1',
    'look-alike letter': '/v2/\u0430lpine/manifests/v1',
    'too long': `/v2/a/manifests/v1?x=${'a'.repeat(4096)}`,
  }
  for (const [name, raw] of Object.entries(cases)) {
    test(name, () => assert.equal(refusal(raw).status, 400))
  }
})

describe('values outside their grammar are refused', () => {
  const cases: Record<string, [raw: string, status: number, code: string]> = {
    'upper case name': ['/v2/Acme/app/manifests/v1', 400, 'NAME_INVALID'],
    'upper case registry': ['/v2/GHCR.io/acme/app/manifests/v1', 400, 'NAME_INVALID'],
    'registry with a trailing dot': ['/v2/ghcr.io./acme/app/manifests/v1', 400, 'NAME_INVALID'],
    'registry with an empty port': ['/v2/localhost:/app/manifests/v1', 400, 'NAME_INVALID'],
    'registry with two ports': ['/v2/localhost:1:2/app/manifests/v1', 400, 'NAME_INVALID'],
    'port in a later component': ['/v2/a/localhost:5000/manifests/v1', 400, 'NAME_INVALID'],
    'registry alone': ['/v2/localhost:5000/manifests/v1', 400, 'NAME_INVALID'],
    'user info': ['/v2/user@ghcr.io/app/manifests/v1', 400, 'NAME_INVALID'],
    'no name': ['/v2/manifests/v1', 400, 'NAME_INVALID'],
    'name too long': [`/v2/${'a'.repeat(256)}/manifests/v1`, 400, 'NAME_INVALID'],
    'component that ends in a separator': ['/v2/a-/manifests/v1', 400, 'NAME_INVALID'],
    'three underscores': ['/v2/a___b/manifests/v1', 400, 'NAME_INVALID'],
    'bad name of tags': ['/v2/A/tags/list', 400, 'NAME_INVALID'],
    'bad prefix': ['/GHCR.io/v2/a/manifests/v1', 400, 'NAME_INVALID'],
    'prefix with user info': ['/user@ghcr.io/v2/', 400, 'NAME_INVALID'],
    'bad ns': ['/v2/a/manifests/v1?ns=GHCR.io', 400, 'NAME_INVALID'],
    'ns that is a URL': ['/v2/a/manifests/v1?ns=http%3A%2F%2Fevil.example', 400, 'NAME_INVALID'],
    'ns with a path': ['/v2/a/manifests/v1?ns=ghcr.io%2Facme', 400, 'NAME_INVALID'],
    'ns with user info': ['/v2/a/manifests/v1?ns=ghcr.io%40evil.example', 400, 'NAME_INVALID'],
    'ns with a trailing dot': ['/v2/a/manifests/v1?ns=ghcr.io.', 400, 'NAME_INVALID'],
    'bad ns of a ping': ['/v2/?ns=..', 400, 'NAME_INVALID'],
    'ns twice': ['/v2/a/manifests/v1?ns=ghcr.io&ns=ghcr.io', 400, 'UNSUPPORTED'],
    'ns twice, once encoded': ['/v2/a/manifests/v1?ns=ghcr.io&%6es=quay.io', 400, 'UNSUPPORTED'],
    'bad escape in an unknown parameter': ['/v2/a/manifests/v1?x=%zz', 400, 'UNSUPPORTED'],
    'bad tag': ['/v2/a/manifests/-v1', 404, 'MANIFEST_UNKNOWN'],
    'tag too long': [`/v2/a/manifests/${'v'.repeat(129)}`, 404, 'MANIFEST_UNKNOWN'],
    'empty tag': ['/v2/a/manifests/', 404, 'MANIFEST_UNKNOWN'],
    'bad digest of a manifest': ['/v2/a/manifests/sha256:baddigeststring', 400, 'DIGEST_INVALID'],
    'upper case digest': [`/v2/a/manifests/sha256:${'A'.repeat(64)}`, 400, 'DIGEST_INVALID'],
    'tag with a digest': [`/v2/a/manifests/v1@${DIGEST}`, 400, 'DIGEST_INVALID'],
    'bad digest of a blob': ['/v2/a/blobs/sha256:abc', 400, 'DIGEST_INVALID'],
    'tag of a blob': ['/v2/a/blobs/latest', 400, 'DIGEST_INVALID'],
    'bad digest of referrers': ['/v2/a/referrers/latest', 400, 'DIGEST_INVALID'],
    'negative n': ['/v2/a/tags/list?n=-1', 400, 'UNSUPPORTED'],
    'n in another base': ['/v2/a/tags/list?n=0x10', 400, 'UNSUPPORTED'],
    'huge n': ['/v2/a/tags/list?n=99999999999999999999', 400, 'UNSUPPORTED'],
    'last that is no tag': ['/v2/a/tags/list?last=..%2F..', 400, 'UNSUPPORTED'],
    'bad artifactType': [`/v2/a/referrers/${DIGEST}?artifactType=x`, 400, 'UNSUPPORTED'],
  }
  for (const [name, [raw, status, code]] of Object.entries(cases)) {
    test(name, () => {
      const { status: actual, code: actualCode } = refusal(raw)
      assert.deepEqual([actual, actualCode], [status, code])
    })
  }
})

describe('endpoints that are not served', () => {
  const cases: Record<string, number> = {
    '/v1/_ping': 405,
    '/v1/search?q=a': 405,
    '/v2/_catalog': 405,
    '/v2/_catalog?n=10': 405,
    '/ghcr.io/v2/_catalog': 405,
    '/v2/_oci/ext/discover': 405,
    '/v2/a/b/blobs/uploads/': 405,
    '/v2/a/b/blobs/uploads': 405,
    '/v2/a/blobs/uploads/c0ffee?_state=x': 405,
    '/': 404,
    '/healthz': 404,
    '/v2/a': 404,
    '/v2/a/manifests/v1/': 404,
    '/v2/a/manifests/v1/x': 404,
    '/v2/a/tags': 404,
    '/v2/a/tags/list/': 404,
    '/V2/a/manifests/v1': 404,
    '/v3/a/manifests/v1': 404,
    '/mirror/docker.io/v2/a/manifests/v1': 404,
  }
  for (const [raw, status] of Object.entries(cases)) {
    test(raw, () => {
      const refused = refusal(raw)
      assert.deepEqual([refused.status, refused.code], [status, 'UNSUPPORTED'])
    })
  }
})

/** The one spelling of a target; parameters in the order of the fields. */
function spell(target: Target): string {
  const query = new URLSearchParams()
  const add = (name: string, value: string | number | undefined) => {
    if (value !== undefined) query.set(name, String(value))
  }
  if (target.kind === 'tags') add('n', target.n)
  if (target.kind === 'tags') add('last', target.last)
  if (target.kind === 'referrers') add('artifactType', target.artifactType)
  add('ns', target.ns)
  const base = target.prefix === undefined ? '/v2/' : `/${target.prefix}/v2/`
  return `${base}${spellEndpoint(target)}${query.size === 0 ? '' : `?${query.toString()}`}`
}

function spellEndpoint(target: Target): string {
  switch (target.kind) {
    case 'ping':
      return ''
    case 'manifest':
      return `${target.name}/manifests/${referenceText(target.reference)}`
    case 'blob':
      return `${target.name}/blobs/${target.digest}`
    case 'tags':
      return `${target.name}/tags/list`
    case 'referrers':
      return `${target.name}/referrers/${target.digest}`
  }
}

const host = fc.constantFrom(
  'ghcr.io',
  'docker.io',
  'localhost:5000',
  '127.0.0.1:5000',
  'hub',
  'xn--bcher-kva.example',
)
const component = fc.oneof(
  fc.constantFrom('manifests', 'blobs', 'tags', 'list', 'uploads', 'referrers', 'v2', 'library'),
  fc.stringMatching(/^[a-z0-9]{1,4}([._-][a-z0-9]{1,3}){0,2}$/),
)
const name = fc
  .tuple(fc.option(host, { nil: undefined }), fc.array(component, { minLength: 1, maxLength: 4 }))
  .map(([first, rest]) => (first === undefined ? rest : [first, ...rest]).join('/'))
const endpoint = fc.oneof(
  fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,20}$/).map((tag) => `manifests/${tag}`),
  fc.constantFrom(`manifests/${DIGEST}`, `blobs/${DIGEST}`, `referrers/${DIGEST}`, 'tags/list'),
)

test('every well-formed target is accepted and has exactly one spelling', () => {
  const optionalHost = fc.option(host, { nil: undefined })
  fc.assert(
    fc.property(optionalHost, name, endpoint, optionalHost, (prefix, repository, tail, ns) => {
      const search = ns === undefined ? '' : `?ns=${encodeURIComponent(ns)}`
      const raw = `${prefix === undefined ? '' : `/${prefix}`}/v2/${repository}/${tail}${search}`
      const target = accept(raw)
      assert.ok(target.kind !== 'ping')
      assert.equal(target.name, repository)
      assert.equal(spell(target), raw)
      assert.deepEqual(accept(spell(target)), target)
    }),
  )
})

test('whatever is accepted holds nothing that could be read in two ways', () => {
  const tricks = '/ // . .. %2f %2e %00 \\ ? & = # : @ ; v2 v1 A a ns n'.split(' ')
  const parts = [
    'ghcr.io',
    'localhost:5000',
    '/manifests/',
    '/blobs/',
    '/referrers/',
    '/tags/list',
    DIGEST,
    ' ',
  ]
  const piece = fc.constantFrom(...tricks, ...parts)
  const raws = fc.array(piece, { maxLength: 14 }).map((pieces) => `/v2/${pieces.join('')}`)
  fc.assert(
    fc.property(raws, (raw) => {
      const parsed = parseTarget(raw)
      if (!parsed.ok || parsed.target.kind === 'ping') return
      assert.match(parsed.target.name, /^[a-z0-9._:/-]+$/)
      assert.doesNotMatch(parsed.target.name, /\.\.|\/\/|%|^\/|\/$/)
      const path = raw.split('?', 1)[0]
      assert.equal(spell({ ...parsed.target, ns: undefined }).split('?', 1)[0], path)
      // A parser that normalises (WHATWG) sees the same path.
      assert.equal(new URL(raw, 'http://proxy.example').pathname, path)
    }),
    { numRuns: 5000 },
  )
})
