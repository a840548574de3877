import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { isRef, parseSourceUri } from './source-uri.ts'

const APP = 'https://github.com/acme/app'

const LOCATIONS: readonly (readonly [uri: string, repository: string, ref?: string])[] = [
  ['https://github.com/acme/app', APP],
  ['git+https://github.com/acme/app', APP],
  ['git+https://github.com/acme/app.git', APP],
  ['git+https://GitHub.COM/acme/app', APP],
  ['git+https://github.com/acme/app@refs/tags/v1', APP, 'refs/tags/v1'],
  ['git+https://github.com/acme/app.git@refs/heads/a/b', APP, 'refs/heads/a/b'],
  ['git+https://github.com/acme/app@refs/tags/@acme/app@1.0.0', APP, 'refs/tags/@acme/app@1.0.0'],
  ['https://github.com/acme/app.git#refs/heads/main', APP, 'refs/heads/main'],
  ['https://github.com/acme/app.git#refs/heads/main:docker/base', APP, 'refs/heads/main'],
  ['https://gitlab.example/group/sub/app', 'https://gitlab.example/group/sub/app'],
  ['https://git.example:8443/acme/app', 'https://git.example:8443/acme/app'],
  ['http://git.example/acme/app', 'http://git.example/acme/app'],
  // Other names than github.com's acme/app, and they stay so.
  ['https://github.com.evil.example/acme/app', 'https://github.com.evil.example/acme/app'],
  ['https://github.com:443/acme/app', 'https://github.com:443/acme/app'],
  ['https://github.com/Acme/app', 'https://github.com/Acme/app'],
]

for (const [uri, repository, ref] of LOCATIONS) {
  test(`${uri} is a place in ${repository}`, () => {
    assert.deepEqual(parseSourceUri(uri), { repository, ref })
  })
}

const CONFUSING = [
  '',
  'github.com/acme/app',
  'ssh://git@github.com/acme/app',
  'git@github.com:acme/app.git',
  'file:///acme/app',
  'HTTPS://github.com/acme/app',
  ' https://github.com/acme/app',
  'https://github.com',
  'https://github.com/',
  'https:///acme/app',
  'https://github.com@evil.example/acme/app',
  'https://user:password@github.com/acme/app',
  'https://evil.example\\@github.com/acme/app',
  'https://github.com./acme/app',
  'https://.github.com/acme/app',
  'https://gith\u{fc}b.com/acme/app',
  'https://[::1]/acme/app',
  'https://github.com:port/acme/app',
  'https://github.com/acme/../evil/app',
  'https://github.com/acme/./app',
  'https://github.com/acme//app',
  'https://github.com/acme/app/',
  'https://github.com/acme/%2e%2e/app',
  'https://github.com/acme/app?x=1',
  'https://github.com/acme/app\n',
  'https://github.com/acme/ap\u{430}',
  'https://github.com/acme/.git',
  'https://github.com/acme/app@refs/heads/../tags/v1',
  'https://github.com/acme/app@',
  'https://github.com/acme/app@refs/heads/a b',
  'https://github.com/acme/app@refs/tags/v1\u{200b}',
]

for (const uri of CONFUSING) {
  test(`${JSON.stringify(uri)} names no source`, () => {
    assert.equal(typeof parseSourceUri(uri), 'string')
  })
}

test('one spelling: what is parsed is parsed to itself', () => {
  fc.assert(
    fc.property(
      fc.oneof(fc.webUrl({ withQueryParameters: true, withFragments: true }), fc.string()),
      (text) => {
        const location = parseSourceUri(text)
        if (typeof location === 'string') return
        assert.deepEqual(parseSourceUri(location.repository), { ...location, ref: undefined })
        assert.equal(new URL(location.repository).username, '')
      },
    ),
  )
})

test('refs that git has none of', () => {
  for (const ref of ['', 'refs/heads/', '/refs', 'a..b', 'a b', 'a:b', 'a@{1}', 'a\\b', 'a*', 'a\u{7f}']) {
    assert.equal(isRef(ref), false, ref)
  }
})
