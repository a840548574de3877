import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { imageName, isRepositoryName, parseImageReference, parseRegistry, parseTag } from './reference.ts'

const DIGEST = `sha256:${'b'.repeat(64)}`

describe('parseImageReference gives the canonical name', () => {
  const cases = {
    alpine: 'docker.io/library/alpine:latest',
    'alpine:3.20': 'docker.io/library/alpine:3.20',
    'library/alpine': 'docker.io/library/alpine:latest',
    'docker.io/alpine': 'docker.io/library/alpine:latest',
    'index.docker.io/library/alpine': 'docker.io/library/alpine:latest',
    'registry-1.docker.io/acme/app': 'docker.io/acme/app:latest',
    'registry.hub.docker.com/alpine': 'docker.io/library/alpine:latest',
    'acme/app': 'docker.io/acme/app:latest',
    'ghcr.io/acme/app:v1': 'ghcr.io/acme/app:v1',
    'localhost/app': 'localhost/app:latest',
    'localhost:5000/a/b:v1': 'localhost:5000/a/b:v1',
    [`host:5000/a@${DIGEST}`]: `host:5000/a@${DIGEST}`,
    [`alpine:3.20@${DIGEST}`]: `docker.io/library/alpine@${DIGEST}`,
  }
  for (const [text, name] of Object.entries(cases)) {
    test(text, () => {
      const parsed = parseImageReference(text)
      assert.ok(parsed !== undefined)
      assert.equal(imageName(parsed.repository, parsed.reference), name)
    })
  }
})

describe('parseImageReference refuses', () => {
  const cases = {
    empty: '',
    'upper case name': 'Acme/app',
    'upper case registry': 'GHCR.io/acme/app',
    'trailing dot in the registry': 'ghcr.io./acme/app',
    'empty component': 'ghcr.io//app',
    'dot segment': 'ghcr.io/../app',
    'percent-encoding': 'ghcr.io/a%2fb',
    'leading slash': '/alpine',
    'trailing slash': 'ghcr.io/',
    'empty tag': 'alpine:',
    'tag too long': `alpine:${'a'.repeat(129)}`,
    'tag with a slash': 'alpine:a/b:c',
    'empty digest': 'alpine@',
    'short digest': 'alpine@sha256:abc',
    'two digests': `alpine@${DIGEST}@${DIGEST}`,
    'bad tag before a good digest': `alpine:-x@${DIGEST}`,
    'name too long': `ghcr.io/${'a'.repeat(256)}`,
    scheme: 'https://ghcr.io/acme/app',
    'user info': 'user:pw@ghcr.io/acme/app',
  }
  for (const [name, text] of Object.entries(cases)) {
    test(name, () => assert.equal(parseImageReference(text), undefined))
  }
})

test('library/ counts towards the length of a name', () => {
  assert.ok(parseImageReference('a'.repeat(247)) !== undefined)
  assert.equal(parseImageReference('a'.repeat(248)), undefined)
})

test('names, registries and tags end where they end', () => {
  for (const end of ['\n', '\0', ' ', '%00']) {
    assert.equal(isRepositoryName(`a/b${end}`), false)
    assert.equal(parseRegistry(`ghcr.io${end}`), undefined)
    assert.equal(parseTag(`v1${end}`), undefined)
  }
})
