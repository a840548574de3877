import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Questions } from './app.ts'
import type { RegistryClient } from './upstream/types.ts'
import { createRouter } from './upstream/route.ts'

const DIGEST = `sha256:${'a'.repeat(64)}`

function refuse(): never {
  throw new Error('nobody is asked here')
}

function clientOf(): RegistryClient {
  return {
    getManifest: refuse,
    headTag: refuse,
    getBlob: refuse,
    headBlob: refuse,
    locateBlob: refuse,
    getReferrers: refuse,
    getTags: refuse,
    close: () => Promise.resolve(),
  }
}

function createQuestions(registries = ['docker.io', 'ghcr.io']) {
  const table = [
    { registry: 'docker.io', aliases: [], virtualHosts: ['docker.proxy.example'] },
    { registry: 'ghcr.io', aliases: [], virtualHosts: ['ghcr.proxy.example'] },
  ]
  const clients = new Map(registries.map((registry) => [registry, clientOf()]))
  const upstreams = { client: (registry: string) => clients.get(registry) }
  return { clients, questions: new Questions({ router: createRouter(table, undefined), upstreams }) }
}

function textOf(questions: Questions, raw: string, host?: string): string {
  const question = questions.read(raw, host)
  switch (question.kind) {
    case 'asked':
      return `${question.target.kind} of ${question.repository.registry}/${question.repository.name}`
    case 'ping':
      return 'ping'
    case 'malformed':
    case 'unrouted':
      return `${question.kind} ${question.answer.status}`
  }
}

describe('a question', () => {
  const cases: Record<string, [raw: string, host: string | undefined, expected: string]> = {
    manifest: ['/v2/a/b/manifests/v1?ns=ghcr.io', undefined, 'manifest of ghcr.io/a/b'],
    blob: [`/v2/ghcr.io/a/b/blobs/${DIGEST}`, undefined, 'blob of ghcr.io/a/b'],
    'by the host': [
      '/v2/alpine/manifests/v1',
      'docker.proxy.example',
      'manifest of docker.io/library/alpine',
    ],
    ping: ['/v2/', undefined, 'ping'],
    'no registry and no default': ['/v2/a/manifests/v1', 'other.example', 'unrouted 404'],
    'an unknown registry': ['/v2/a/manifests/v1?ns=quay.io', undefined, 'unrouted 404'],
    'a path of two spellings': ['/v2/a//b/manifests/v1', undefined, 'malformed 400'],
    catalog: ['/v2/_catalog', undefined, 'malformed 405'],
  }
  for (const [name, [raw, host, expected]] of Object.entries(cases)) {
    test(`${name}: the first time and the second`, () => {
      const { questions } = createQuestions()
      assert.equal(textOf(questions, raw, host), expected)
      assert.equal(textOf(questions, raw, host), expected)
    })
  }

  test('the same target means something else under another host', () => {
    const { clients, questions } = createQuestions()
    for (const [registry, host] of [
      ['docker.io', 'docker.proxy.example'],
      ['ghcr.io', 'ghcr.proxy.example'],
      ['docker.io', 'docker.proxy.example'],
    ] as const) {
      const question = questions.read('/v2/a/b/manifests/v1', host)
      assert.ok(question.kind === 'asked')
      assert.equal(question.repository.registry, registry)
      assert.equal(question.client, clients.get(registry))
    }
    assert.equal(textOf(questions, '/v2/a/b/manifests/v1'), 'unrouted 404')
  })

  test('is read once for all who ask the same, unless it is very long', () => {
    const { questions } = createQuestions()
    const ask = (raw: string) => questions.read(raw, undefined)
    const usual = `/v2/ghcr.io/a/manifests/${DIGEST}`
    assert.equal(ask(usual), ask(usual))
    const long = `/v2/ghcr.io/a/manifests/v1?x=${'a'.repeat(1000)}`
    assert.deepEqual(ask(long), ask(long))
    assert.notEqual(ask(long), ask(long))
  })

  test('has its path as it came, without the query', () => {
    const question = createQuestions().questions.read('/ghcr.io/v2/a/tags/list?n=3', undefined)
    assert.equal(question.kind === 'asked' ? question.path : '', '/ghcr.io/v2/a/tags/list')
  })

  test('to a registry without a client is a fault of ours', () => {
    const { questions } = createQuestions(['docker.io'])
    assert.throws(() => questions.read('/v2/ghcr.io/a/manifests/v1', undefined), TypeError)
  })
})
