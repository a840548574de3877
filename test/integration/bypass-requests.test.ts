import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { digestOf } from '../../src/oci/digest.ts'
import { startRegistry, type TestRegistry } from '../../src/testing/registry.ts'
import { publish, publishSigned, startHarness, uniqueImage, type Harness } from './harness.ts'
import { rawRequest, statusesOf } from './http.ts'

/** Requests that one reader takes for another: spellings, framing, hosts, and what upstream says back. */

let harness: Harness
let other: TestRegistry

before(async () => {
  other = await startRegistry()
  // Learns its own registry's name only when it is up, so the second upstream is configured beside it.
  harness = await startHarness({ upstream: { aliases: ['hub', 'one.test'] } })
  await publishSigned(harness, { repository: 'enforced/app', image: uniqueImage('requests') })
  publish(harness, { repository: 'enforced/secret', image: uniqueImage('secret') })
  publish(harness, { repository: 'free/app', image: uniqueImage('requests') })
})
after(async () => {
  await harness[Symbol.asyncDispose]()
  await other[Symbol.asyncDispose]()
})

function raw(requestLine: string, headers: readonly string[] = ['Host: proxy'], body = ''): Promise<string> {
  return rawRequest(harness.port(), [requestLine, ...headers, 'Connection: close', '', body].join('\r\n'))
}

for (const target of [
  '/v2/free/../enforced/secret/manifests/v1',
  '/v2/free/%2e%2e/enforced/secret/manifests/v1',
  '/v2/free/./app/manifests/v1',
  '/v2/free%2fapp/manifests/v1',
  '/v2/free%2Fapp/manifests/v1',
  '/v2/enforced%2fsecret/manifests/v1',
  '/v2//free/app/manifests/v1',
  '//v2/free/app/manifests/v1',
  '/v2/free//app/manifests/v1',
  '/v2/free\\..\\enforced/secret/manifests/v1',
  '/v2/free/app/manifests/v1#/../x',
  '/v2/free/app/manifests/v1%00',
  '/v2/free/app/manifests/%76%31',
  '/v2/Free/App/manifests/v1',
  '/v2/free/app/manifests/v1?ns=hub&ns=evil.example',
  '/v2/free/app/manifests/v1?ns=hub&n%73=evil.example',
  '/v2/free/app/manifests/v1?ns=../evil',
  '/v2/free/app/manifests/v1?ns=user@evil.example',
  '/v2/free/app/manifests/v1?ns=http://evil.example',
  '/hub/v2/free/app/manifests/v1?ns=evil.example',
  '/v2/free/app/manifests/sha256:../../../../etc/passwd',
  '/v2/free/app/blobs/sha256:..%2f..%2fetc%2fpasswd',
  '/../v2/free/app/manifests/v1',
  `/v2/${'a/'.repeat(2500)}manifests/v1`,
  'http://evil.example/v2/free/app/manifests/v1',
  'http://proxy/v2/free/app/manifests/v1',
  '*',
]) {
  test(`path trick: ${target.slice(0, 60)}`, async () => {
    harness.registry.requests.length = 0
    const statuses = statusesOf(await raw(`GET ${target} HTTP/1.1`))
    assert.equal(statuses.length, 1)
    assert.ok([400, 404].includes(statuses[0] ?? 0), `${statuses[0]}`)
    assert.equal(harness.registry.requests.length, 0, 'nothing of it may reach upstream')
  })
}

test('names that contain words of the API are names', async () => {
  publish(harness, { repository: 'free/manifests/blobs', tag: 'list', image: uniqueImage('words') })
  const reply = await harness.get('/v2/free/manifests/blobs/manifests/list')
  assert.equal(reply.status, 200)
  assert.deepEqual(reply.body, uniqueImage('words').manifest)
})

test('spellings of one registry are one repository to policy', async () => {
  for (const target of [
    '/v2/hub/enforced/secret/manifests/v1',
    '/one.test/v2/enforced/secret/manifests/v1',
    '/v2/enforced/secret/manifests/v1?ns=one.test',
  ]) {
    // oxlint-disable-next-line no-await-in-loop -- one after another
    assert.equal((await harness.get(target)).status, 403, target)
  }
  const conflicting = await harness.get(`/v2/one.test/free/app/manifests/v1?ns=${harness.registry.host}`)
  assert.equal(conflicting.status, 200, 'two names of one registry agree')
})

test('another Host changes nothing but a virtual host, and Host never says where to connect', async () => {
  for (const host of ['evil.example', 'mirror.test.evil.example', '127.0.0.1:1']) {
    // oxlint-disable-next-line no-await-in-loop -- three
    assert.equal((await harness.get('/v2/enforced/secret/manifests/v1', { host })).status, 403)
  }
  const forwarded = {
    'x-forwarded-host': 'evil.example',
    'x-original-url': '/v2/free/app/manifests/v1',
    'x-rewrite-url': '/v2/',
  }
  assert.equal((await harness.get('/v2/enforced/secret/manifests/v1', forwarded)).status, 403)
})

const SMUGGLED = 'GET /v2/enforced/app/manifests/v1 HTTP/1.1\r\nHost: proxy\r\n\r\n'

for (const [name, headers, body, allowed] of [
  [
    'two lengths',
    ['Host: proxy', 'Content-Length: 0', `Content-Length: ${SMUGGLED.length}`],
    SMUGGLED,
    [400],
  ],
  [
    'length and chunks',
    ['Host: proxy', `Content-Length: ${SMUGGLED.length + 5}`, 'Transfer-Encoding: chunked'],
    `0\r\n\r\n${SMUGGLED}`,
    [400],
  ],
  ['an unknown transfer coding', ['Host: proxy', 'Transfer-Encoding: xchunked'], SMUGGLED, [400, 403]],
  ['a space before the colon', ['Host: proxy', `Content-Length : ${SMUGGLED.length}`], SMUGGLED, [400]],
  ['a folded header', ['Host: proxy', 'X: a', ` Content-Length: ${SMUGGLED.length}`], SMUGGLED, [400]],
  ['no host', [], '', [400]],
  ['two hosts', ['Host: proxy', 'Host: mirror.test'], '', [400, 403]],
  ['a body', ['Host: proxy', `Content-Length: ${SMUGGLED.length}`], SMUGGLED, [400, 403]],
] as const) {
  test(`framing: GET with ${name} is one request or none`, async () => {
    const statuses = statusesOf(await raw('GET /v2/enforced/secret/manifests/v1 HTTP/1.1', headers, body))
    assert.ok(statuses.length <= 1, statuses.join())
    for (const status of statuses) assert.ok((allowed as readonly number[]).includes(status), `${status}`)
  })
}

test('header injection: nothing that a client sends comes back in a header', async () => {
  const text = await raw('GET /v2/enforced/app/tags/list?n=1&ns=hub&last=%0d%0aX-Evil:1 HTTP/1.1')
  assert.deepEqual(statusesOf(text), [400])
  assert.ok(!/x-evil/i.test(text))
})

test('a large head is cut off', async () => {
  const statuses = statusesOf(await raw('GET /v2/ HTTP/1.1', ['Host: proxy', `X: ${'a'.repeat(64 * 1024)}`]))
  // What is unread makes the kernel reset the connection, which may overtake the answer.
  assert.ok(statuses.every((status) => status === 431))
  assert.equal((await harness.get('/v2/')).status, 200)
})

test('what upstream says stays with upstream: no header of its own comes through', async () => {
  const image = uniqueImage('steered')
  await publishSigned(harness, { repository: 'enforced/steered', image })
  const steering = {
    location: 'https://evil.example/',
    link: '<https://evil.example/v2/>; rel="next"',
    'www-authenticate': 'Basic realm="evil"',
    'set-cookie': 'a=b',
    'content-location': 'https://evil.example/',
    'x-evil': '1',
    'strict-transport-security': 'max-age=1',
  }
  harness.registry.behave(({ url }) => {
    if (url.includes('/tags/list'))
      return { status: 200, headers: steering, body: '{"name":"evil/name","tags":["v1","../x","v2"]}' }
    if (url.endsWith('/manifests/v1'))
      return { status: 200, headers: { ...steering, 'content-type': image.mediaType }, body: image.manifest }
    return undefined
  })
  const manifest = await harness.get('/v2/enforced/steered/manifests/v1')
  const tags = await harness.get('/v2/enforced/steered/tags/list')
  harness.registry.behave(undefined)
  for (const reply of [manifest, tags]) {
    for (const name of Object.keys(steering)) assert.ok(!(reply.headers[name] ?? '').includes('evil'), name)
    assert.equal(reply.headers['set-cookie'], undefined)
  }
  assert.equal(manifest.status, 200)
  assert.equal(tags.status, 502, 'a list that goes on at another host is not followed')
})

test('a refusal by upstream is told in a head of our own', async () => {
  const headers = { 'www-authenticate': 'Bearer realm="https://evil.example/token"' }
  harness.registry.behave(() => ({
    status: 401,
    headers,
    body: '{"errors":[{"code":"EVIL","message":"log in at\\u0000evil"}]}',
  }))
  const reply = await harness.get('/v2/free/none/manifests/v1')
  harness.registry.behave(undefined)
  assert.equal(reply.status, 404)
  assert.equal(reply.headers['www-authenticate'], undefined)
  assert.equal(
    (await harness.get('/v2/free/app/manifests/v1')).status,
    200,
    'one bad challenge decides nothing for later requests',
  )
})

test('one upstream a namespace: a name that is missing there is looked up nowhere else', async () => {
  other.putManifest('free/confused', 'v1', uniqueImage('confused').manifest)
  const config = { upstreams: upstreamsOf(harness.registry, other), defaultUpstream: harness.registry.host }
  await using both = await startHarness({ config })
  assert.equal((await both.get(`/v2/${other.host}/free/confused/manifests/v1`)).status, 200)
  other.requests.length = 0
  assert.equal((await both.get(`/v2/${harness.registry.host}/free/confused/manifests/v1`)).status, 404)
  assert.equal((await both.get('/v2/free/confused/manifests/v1')).status, 404)
  assert.equal(other.requests.length, 0)
})

function upstreamsOf(...registries: readonly TestRegistry[]): object {
  return Object.fromEntries(
    registries.map(({ host, url }) => [host, { url, allowPrivateAddresses: true, retries: 0 }]),
  )
}

test('an upstream at a private address is not dialled unless that is configured, and no redirect leads there', async () => {
  await using closed = await startHarness({ upstream: { allowPrivateAddresses: false } })
  publish(closed, { repository: 'free/app', image: uniqueImage('ssrf') })
  assert.ok((await closed.get('/v2/free/app/manifests/v1')).status >= 502)
  assert.equal(closed.registry.requests.length, 0)
  const image = uniqueImage('redirected')
  publish(harness, { repository: 'free/redirected', image })
  const digest = digestOf(image.config)
  harness.registry.behave(({ url }) =>
    url.includes(`/blobs/${digest}`)
      ? { status: 307, headers: { location: 'http://169.254.169.254/latest/meta-data/' } }
      : undefined,
  )
  assert.equal((await harness.get('/v2/free/redirected/manifests/v1')).status, 200)
  const reply = await harness.get(`/v2/free/redirected/blobs/${digest}`)
  harness.registry.behave(undefined)
  assert.ok(reply.status >= 500, `${reply.status}`)
})
