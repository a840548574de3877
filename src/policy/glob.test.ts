import assert from 'node:assert/strict'
import test from 'node:test'
import { compileGlob, type Glob } from './glob.ts'

function globOf(source: string): Glob {
  const result = compileGlob(source)
  assert.ok(result.ok, result.ok ? '' : result.message)
  return result.glob
}

const MATCHES: readonly (readonly [name: string, glob: string, repository: string, matches: boolean])[] = [
  ['a literal name', 'ghcr.io/acme/app', 'ghcr.io/acme/app', true],
  ['a literal name is no prefix', 'ghcr.io/acme/app', 'ghcr.io/acme/app-suffix', false],
  ['a literal name is no suffix', 'ghcr.io/foo', 'prefix-ghcr.io/foo', false],
  ['a dot is a dot', 'ghcr.io/**', 'ghcrxio/foo', false],
  ['a dot in a path is a dot', 'ghcr.io/a.b/*', 'ghcr.io/axb/c', false],
  ['* stops at a slash', 'ghcr.io/acme/*', 'ghcr.io/acme/team/app', false],
  ['* needs its slash', 'ghcr.io/*/*', 'ghcr.io/foo', false],
  ['* in two components', 'ghcr.io/*/*', 'ghcr.io/foo/bar', true],
  ['* may be empty', 'ghcr.io/foo*', 'ghcr.io/foo', true],
  ['** may be empty', 'ghcr.io/foo**', 'ghcr.io/foo', true],
  ['** crosses slashes', 'ghcr.io/**', 'ghcr.io/a/b/c', true],
  ['** keeps its slash', 'ghcr.io/acme/**', 'ghcr.io/acme', false],
  ['** does not leave its organisation', 'ghcr.io/acme/**', 'ghcr.io/acme-evil/app', false],
  ['** in the middle', 'ghcr.io/**/app', 'ghcr.io/a/b/app', true],
  ['*** is ** and *', 'ghcr.io/***', 'ghcr.io/a/b', true],
  ['** alone is everything', '**', 'ghcr.io/foo', true],
  ['** alone is Docker Hub, too', '**', 'docker.io/library/foo', true],
  ['*/** is everything', '*/**', 'ghcr.io/foo', true],
  ['a wildcard in the registry', '*.acme.io/**', 'eu.acme.io/app', true],
  ['a wildcard in the registry stops at a slash', '*.acme.io/**', 'evil.com/x.acme.io/app', false],
  ['a registry cut by **', 'ghc**', 'ghcr.io/foo', true],
  ['a registry cut by ** in a spelling of Docker Hub', 'index.docker.**', 'docker.io/library/foo', true],
  ['a port', 'localhost:5000/**', 'localhost:5000/app', true],
  ['a port is compared', 'localhost:5000/**', 'localhost:5001/app', false],

  ['an official image', 'nginx', 'docker.io/library/nginx', true],
  ['an official image is not another registry', 'nginx', 'ghcr.io/library/nginx', false],
  ['an official image is not a user', 'nginx', 'docker.io/nginx/nginx', false],
  ['an image of a user', 'acme/app', 'docker.io/acme/app', true],
  ['docker.io without library', 'docker.io/nginx', 'docker.io/library/nginx', true],
  ['index.docker.io', 'index.docker.io/library/*', 'docker.io/library/nginx', true],
  ['registry-1.docker.io', 'registry-1.docker.io/acme/*', 'docker.io/acme/app', true],
  ['all of Docker Hub', 'index.docker.io/**', 'docker.io/acme/app', true],
  ['two components of Docker Hub', 'index.docker.io/*/*', 'docker.io/acme/app', true],
  ['* is official images', '*', 'docker.io/library/nginx', true],
  ['* is not all of Docker Hub', '*', 'docker.io/acme/app', false],
  ['* is not another registry', '*', 'ghcr.io/app', false],
  ['*/* is Docker Hub', '*/*', 'docker.io/acme/app', true],
  ['*/* is not another registry', '*/*', 'ghcr.io/app', false],
  ['a short name with *', 'foo*', 'docker.io/library/foobar', true],
  ['a short name with **', 'foo**', 'docker.io/library/foo', true],
  ['a user with *', 'acme*/app', 'docker.io/acme-eu/app', true],
  ['a user with * is a registry, too', 'acme*/app', 'acme.example.com/app', true],
]

for (const [name, source, repository, expected] of MATCHES) {
  test(`glob ${source}: ${name}`, () => {
    assert.equal(globOf(source).matches(repository), expected)
  })
}

const FAULTS: readonly (readonly [name: string, glob: string, message: RegExp])[] = [
  ['a tag', 'ghcr.io/acme/app:v1', /tags and digests are not matched because verdicts are by digest/],
  ['a tag glob', 'ghcr.io/acme/app:*', /tags and digests are not matched/],
  ['a tag of a short name', 'nginx:1.27', /tags and digests are not matched/],
  ['a digest', 'ghcr.io/acme/app@sha256:*', /tags and digests are not matched/],
  ['a character class', 'ghcr.io/[a-z]*', /expected only letters/],
  ['a regular expression', '.+', /expected only letters/],
  ['a blank', 'ghcr.io/a b', /expected only letters/],
  ['a capital', 'ghcr.io/Acme/*', /expected lower case/],
  ['nothing', '', /expected only letters/],
  ['a slash at the end', 'ghcr.io/acme/', /no empty part/],
  ['a slash at the beginning', '/acme', /no empty part/],
  ['two slashes', 'ghcr.io//acme', /no empty part/],
  ['a registry alone', 'ghcr.io', /write ghcr.io\/\*\* for all of a registry/],
  ['a host that is none', '-.io/app', /no registry host/],
  ['no end', 'a'.repeat(513), /at most 512 characters/],
]

for (const [name, source, message] of FAULTS) {
  test(`glob with ${name} does not compile`, () => {
    const result = compileGlob(source)
    assert.ok(!result.ok)
    assert.match(result.message, message)
  })
}

test('spellings of one glob have one canonical form', () => {
  const forms = ['nginx', 'docker.io/nginx', 'index.docker.io/library/nginx', 'registry-1.docker.io/nginx']
  assert.deepEqual([...new Set(forms.map((form) => globOf(form).canonical))], ['docker.io/library/nginx'])
})

test('whatever a glob matches begins with what is literal of it', () => {
  for (const [, source, repository, matches] of MATCHES) {
    if (matches) assert.ok(repository.startsWith(globOf(source).literal), `${source} ${repository}`)
  }
})

test('a glob of many stars takes no exponential time', () => {
  const glob = globOf(`ghcr.io/${'**a'.repeat(100)}`)
  assert.equal(glob.matches(`ghcr.io/${'a'.repeat(99)}b${'a'.repeat(99)}/b`), false)
})
