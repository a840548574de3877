import assert from 'node:assert/strict'
import { after, before, beforeEach, test } from 'node:test'
import { MEDIA_TYPE } from '../../src/oci/manifest-types.ts'
import type { Fault } from '../../src/testing/registry.ts'
import { publish, publishSigned, startHarness, uniqueImage, type Harness } from './harness.ts'
import { errorOf, type Reply } from './http.ts'

/**
 * containerd and BuildKit ask the real registry after any error from a mirror. What they are told where a policy
 * enforces must leave them nothing to ask for; test/e2e shows that the real ones then stop.
 */

let harness: Harness

before(async () => {
  const timeouts = { connect: '1s', headers: '200ms', body: '1s' }
  harness = await startHarness({
    upstream: { timeouts },
    config: { cache: { tagTtl: '0s', violatedTtl: '0s' } },
  })
  publish(harness, { repository: 'enforced/unsigned', image: uniqueImage('hard stop') })
  publish(harness, { repository: 'observed/unsigned', image: uniqueImage('hard stop') })
  await publishSigned(harness, { repository: 'enforced/signed', image: uniqueImage('hard stop signed') })
})
beforeEach(() => harness.registry.behave(undefined))
after(async () => await harness[Symbol.asyncDispose]())

const CLIENTS = [
  ['containerd through hosts.toml', '?ns=hub', {}],
  ['containerd by its name', '', { 'user-agent': 'containerd/2.1.0' }],
  ['BuildKit', '', { 'user-agent': 'buildkit/v0.20' }],
] as const

/** HEAD of the tag names a document that no registry has, and GET of that is the refusal. */
async function assertStoppedByTag(
  target: string,
  query: string,
  headers: Record<string, string>,
): Promise<Reply> {
  const head = await harness.head(`${target}/manifests/v1${query}`, headers)
  assert.equal(head.status, 200)
  assert.equal(head.headers['content-type'], MEDIA_TYPE.ociManifest)
  const digest = head.headers['docker-content-digest'] ?? ''
  assert.match(digest, /^sha256:[0-9a-f]{64}$/)
  assert.equal(harness.registry.manifest(target.slice('/v2/'.length), digest), undefined)
  const get = await harness.get(`${target}/manifests/${digest}${query}`, headers)
  assert.equal(head.headers['content-length'], String(get.body.length))
  assert.ok(get.status >= 400, `${get.status}`)
  assert.ok(errorOf(get).message !== '')
  return get
}

async function assertStoppedByDigest(target: string, headers: Record<string, string>): Promise<Reply> {
  const head = await harness.head(target, headers)
  assert.equal(head.status, 300)
  assert.equal(head.headers['location'], undefined)
  return head
}

for (const [client, query, headers] of CLIENTS) {
  test(`refused, ${client}: by tag a document of our own, by digest a redirect to nowhere, both with the reason`, async () => {
    const { digest } = uniqueImage('hard stop')
    const get = await assertStoppedByTag('/v2/enforced/unsigned', query, headers)
    assert.equal(get.status, 403)
    assert.match(errorOf(get).message, /^blocked by policy signed: /)
    const head = await assertStoppedByDigest(`/v2/enforced/unsigned/manifests/${digest}${query}`, headers)
    assert.match(head.reasonPhrase, /^blocked by policy signed: /)
    assert.equal(
      (await harness.get(`/v2/enforced/unsigned/manifests/${digest}${query}`, headers)).status,
      403,
    )
    assert.equal((await harness.get(`/v2/enforced/unsigned/manifests/v1${query}`, headers)).status, 403)
  })

  test(`let through, ${client}: as for anybody else`, async () => {
    const { digest } = uniqueImage('hard stop signed')
    for (const reference of ['v1', digest]) {
      // oxlint-disable-next-line no-await-in-loop -- two
      const head = await harness.head(`/v2/enforced/signed/manifests/${reference}${query}`, headers)
      assert.equal(head.status, 200)
      assert.equal(head.headers['docker-content-digest'], digest)
    }
  })
}

const FAULTS: readonly (readonly [string, Fault, number])[] = [
  ['404', { status: 404 }, 404],
  ['401', { status: 401 }, 404],
  ['403', { status: 403 }, 403],
  ['429', { status: 429 }, 429],
  ['500', { status: 500 }, 503],
  ['a reset', 'reset', 503],
  ['silence', 'hang', 503],
  [
    'rubbish',
    { status: 200, headers: { 'docker-content-digest': `sha256:${'0'.repeat(64)}` }, body: 'rubbish' },
    502,
  ],
]

for (const [name, fault, status] of FAULTS) {
  test(`upstream answers with ${name}: a node with its own way to it must not find what the gate could not check`, async () => {
    const image = uniqueImage(`unseen ${name}`)
    const target = `/v2/enforced/unseen-${name.replace(' ', '-')}`
    publish(harness, { repository: target.slice('/v2/'.length), image })
    harness.registry.behave(() => fault)
    const get = await assertStoppedByTag(target, '?ns=hub', {})
    assert.equal(get.status, status)
    await assertStoppedByDigest(`${target}/manifests/${image.digest}?ns=hub`, {})
    // So many failures in a row, and the proxy leaves the registry alone: the next test needs one that does not.
    await harness.restart()
  })
}

test('clients that do not fall back get the plain answer', async () => {
  for (const agent of [
    'docker/28.0.0 go/go1.24',
    'cosign/v3.0.0',
    'containers/5.30 (github.com/containers/image)',
    'not containerd/1.0',
  ]) {
    // oxlint-disable-next-line no-await-in-loop -- four
    const head = await harness.head('/v2/enforced/unsigned/manifests/v1', { 'user-agent': agent })
    assert.equal(head.status, 403, agent)
  }
})

test('where no policy enforces, nothing is stopped', async () => {
  assert.equal((await harness.head('/v2/observed/none/manifests/v1?ns=hub')).status, 404)
  assert.equal((await harness.head('/v2/free/none/manifests/v1?ns=hub')).status, 404)
  const head = await harness.head('/v2/observed/unsigned/manifests/v1?ns=hub')
  assert.equal(head.headers['docker-content-digest'], uniqueImage('hard stop').digest)
})

test('switched off: 403 for HEAD and GET', async () => {
  await using plain = await startHarness({ config: { refusals: { hardStop: 'off' } } })
  const image = uniqueImage('plain')
  publish(plain, { repository: 'enforced/unsigned', image })
  for (const reference of ['v1', image.digest]) {
    // oxlint-disable-next-line no-await-in-loop -- two
    const head = await plain.head(`/v2/enforced/unsigned/manifests/${reference}?ns=hub`)
    assert.equal(head.status, 403)
    assert.match(head.reasonPhrase, /^blocked by policy signed: /)
  }
})

test('the refusal document is only ever refused, wherever it is asked for', async () => {
  const head = await harness.head('/v2/enforced/unsigned/manifests/v1?ns=hub')
  const digest = head.headers['docker-content-digest'] ?? ''
  for (const repository of ['enforced/unsigned', 'enforced/signed', 'observed/unsigned', 'free/app']) {
    // oxlint-disable-next-line no-await-in-loop -- four
    assert.ok((await harness.get(`/v2/${repository}/manifests/${digest}`)).status >= 400)
    // oxlint-disable-next-line no-await-in-loop -- four
    assert.equal((await harness.get(`/v2/${repository}/blobs/${digest}`)).status, 404)
  }
  await harness.restart()
  assert.equal((await harness.get(`/v2/enforced/unsigned/manifests/${digest}?ns=hub`)).status, 404)
})

test('a registry that is not configured: closed too where every image needs a policy, open where none is asked for', async () => {
  for (const unmatched of ['enforce', 'observe'] as const) {
    await using closed = await startHarness({ config: { policies: { directory: 'policies', unmatched } } })
    const head = await closed.head('/v2/acme/app/manifests/v1?ns=unknown.example')
    assert.equal(head.status, unmatched === 'enforce' ? 200 : 404)
    if (unmatched === 'observe') continue
    const digest = head.headers['docker-content-digest'] ?? ''
    const get = await closed.get(`/v2/acme/app/manifests/${digest}?ns=unknown.example`)
    assert.equal(get.status, 404)
    assert.equal(errorOf(get).code, 'NAME_UNKNOWN')
  }
})
