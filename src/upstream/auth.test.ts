import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parseTag, type ManifestReference } from '../oci/reference.ts'
import type { Credential } from './credentials.ts'
import {
  createTestClient,
  startScriptedServer,
  type Reply,
  type Script,
  type ScriptedServer,
  type Seen,
} from './testing/scripted-server.ts'
import { UpstreamError, type UpstreamErrorCode } from './types.ts'

const repository = { registry: 'test', name: 'team/app' }
const latest: ManifestReference = { kind: 'tag', tag: parseTag('latest')! }
const never = new AbortController().signal
const user: Credential = { kind: 'basic', username: 'robot', password: 'pa:ss' }
const userHeader = `Basic ${Buffer.from('robot:pa:ss').toString('base64')}`

function fails(code: UpstreamErrorCode) {
  return (error: unknown) => error instanceof UpstreamError && error.code === code
}

function isToken({ target }: Seen): boolean {
  return target.startsWith('/token')
}

/** A registry that wants `Bearer good`, and whose token endpoint, on the same host, answers with `token`. */
function bearerRegistry(token: (request: Seen) => Reply, realm = 'http://HOST/token'): Script {
  return (request) => {
    if (isToken(request)) return token(request)
    if (request.headers.authorization === 'Bearer good') return { body: '{}' }
    const where = realm.replace('HOST', String(request.headers.host))
    const scope = 'repository:team/app:pull,push'
    const challenge = `Bearer realm="${where}",service="the, service",scope="${scope}"`
    return { status: 401, headers: { 'www-authenticate': challenge } }
  }
}

const granted = (): Reply => ({ body: '{"token":"good","expires_in":300}' })

function client(server: ScriptedServer, credential?: Credential, now = () => 0) {
  const asked: string[] = []
  const credentials = {
    get: (host: string) => {
      asked.push(host)
      return Promise.resolve(credential)
    },
  }
  return { ...createTestClient(server.url, { deps: { credentials, now } }), asked }
}

describe('bearer', () => {
  test('asks anonymously with our own scope, and keeps the token', async () => {
    await using server = await startScriptedServer(bearerRegistry(granted))
    await using one = client(server)
    await one.getManifest(repository, latest, never)
    await one.getManifest(repository, latest, never)
    const tokens = server.seen.filter(isToken)
    assert.equal(tokens.length, 1)
    assert.equal(server.seen.length, 4)
    assert.equal(tokens[0]?.headers.authorization, undefined)
    const query = new URL(tokens[0]?.target ?? '', server.url).searchParams
    assert.deepEqual([query.get('scope'), query.get('service')], ['repository:team/app:pull', 'the, service'])
    assert.deepEqual(one.asked, [server.host])
  })

  test('sends name and password to the token endpoint only', async () => {
    await using server = await startScriptedServer(bearerRegistry(granted))
    await using one = client(server, user)
    await one.getManifest(repository, latest, never)
    const sent = server.seen.map(({ target, headers }) => [target.split('?')[0], headers.authorization])
    assert.deepEqual(sent, [
      ['/v2/team/app/manifests/latest', undefined],
      ['/token', userHeader],
      ['/v2/team/app/manifests/latest', 'Bearer good'],
    ])
  })

  test('posts an identity token as a refresh token', async () => {
    const grant = () => ({ body: '{"access_token":"good","refresh_token":"x"}' })
    await using server = await startScriptedServer(bearerRegistry(grant))
    await using one = client(server, { kind: 'identity-token', token: 'refresh me' })
    await one.getManifest(repository, latest, never)
    const token = server.seen.find(isToken)
    assert.deepEqual([token?.method, token?.target], ['POST', '/token'])
    const form = new URLSearchParams(token?.body)
    assert.deepEqual([form.get('grant_type'), form.get('refresh_token')], ['refresh_token', 'refresh me'])
  })

  test('many requests at once share one token request', async () => {
    await using server = await startScriptedServer(bearerRegistry(granted))
    await using one = client(server, user)
    await Promise.all(Array.from({ length: 10 }, () => one.getManifest(repository, latest, never)))
    assert.equal(server.seen.filter(isToken).length, 1)
  })

  test('the caller that started the token request may leave', async () => {
    const first = new AbortController()
    await using server = await startScriptedServer(
      bearerRegistry(() => {
        first.abort()
        return granted()
      }),
    )
    await using one = client(server)
    const left = one.getManifest(repository, latest, first.signal)
    const stayed = one.getManifest(repository, latest, never)
    await assert.rejects(left, fails('deadline'))
    await stayed
  })

  test('an expired token is renewed before the request', async () => {
    let nowMs = 0
    await using server = await startScriptedServer(bearerRegistry(granted))
    await using one = client(server, undefined, () => nowMs)
    await one.getManifest(repository, latest, never)
    nowMs = 269_000
    await one.getManifest(repository, latest, never)
    assert.equal(server.seen.filter(isToken).length, 1)
    nowMs = 300_000
    await one.getManifest(repository, latest, never)
    assert.equal(server.seen.filter(isToken).length, 2)
    assert.equal(server.seen.length, 6, 'no further 401')
  })

  test('a further repository gets its token without being refused first', async () => {
    await using server = await startScriptedServer(bearerRegistry(granted))
    await using one = client(server)
    await one.getManifest(repository, latest, never)
    await one.getManifest({ registry: 'test', name: 'team/other' }, latest, never)
    assert.equal(server.seen.length, 5)
    assert.match(server.seen.filter(isToken)[1]?.target ?? '', /team%2Fother/)
  })

  test('a token that upstream no longer takes is dropped, once', async () => {
    let valid = 'first'
    let issued = 'first'
    await using server = await startScriptedServer((request) => {
      if (isToken(request)) return { body: JSON.stringify({ token: issued }) }
      if (request.headers.authorization === `Bearer ${valid}`) return { body: '{}' }
      return {
        status: 401,
        headers: { 'www-authenticate': `Bearer realm="http://${String(request.headers.host)}/token"` },
      }
    })
    await using one = client(server)
    await one.getManifest(repository, latest, never)
    valid = issued = 'second'
    await one.getManifest(repository, latest, never)
    assert.equal(server.seen.filter(isToken).length, 2)
    valid = 'none'
    issued = 'third'
    const before = server.seen.length
    await assert.rejects(one.getManifest(repository, latest, never), fails('unauthorized'))
    assert.equal(server.seen.length - before, 3)
  })

  const refusals: [string, Reply, UpstreamErrorCode][] = [
    ['401', { status: 401, body: 'secret-body' }, 'unauthorized'],
    ['403', { status: 403 }, 'unauthorized'],
    ['404 is not absence', { status: 404 }, 'unavailable'],
    ['429', { status: 429 }, 'rate-limited'],
    ['500', { status: 500 }, 'unavailable'],
    ['a redirect', { status: 302, headers: { location: '/token2' } }, 'unavailable'],
    ['no JSON', { body: 'hello' }, 'unavailable'],
    ['no token', { body: '{}' }, 'unavailable'],
    ['a token with a line break', { body: '{"token":"a\\r\\nb: c"}' }, 'unavailable'],
    ['too large an answer', { body: `{"token":"${'a'.repeat(70_000)}"}` }, 'unavailable'],
  ]
  for (const [name, reply, code] of refusals) {
    test(`token endpoint: ${name}`, async () => {
      await using server = await startScriptedServer(bearerRegistry(() => reply))
      await using one = client(server, user)
      await assert.rejects(one.getManifest(repository, latest, never), (error: unknown) => {
        assert(error instanceof UpstreamError)
        assert.equal(error.code, code)
        assert(!/secret-body|pa:ss/.test(error.message))
        return true
      })
    })
  }

  test('a realm elsewhere gets neither credentials nor a request', async () => {
    await using attacker = await startScriptedServer(granted)
    const realm = attacker.url.replace('127.0.0.1', 'localhost')
    for (const where of [`${realm}/token`, `${attacker.url}/token`, `${attacker.url}@HOST/token`]) {
      await using server = await startScriptedServer(bearerRegistry(granted, where))
      await using one = client(server, user)
      await assert.rejects(one.getManifest(repository, latest, never), fails('unauthorized'))
    }
    assert.equal(attacker.seen.length, 0)
  })

  test('a realm on a host that the operator named', async () => {
    await using tokens = await startScriptedServer(granted)
    await using server = await startScriptedServer(bearerRegistry(granted, `${tokens.url}/token`))
    await using one = createTestClient(server.url, { config: { realmHosts: [tokens.host] } })
    await one.getManifest(repository, latest, never)
    assert.equal(tokens.seen.length, 1)
  })
})

describe('basic', () => {
  const basicRegistry: Script = ({ headers }) =>
    headers.authorization === userHeader
      ? { body: '{}' }
      : { status: 401, headers: { 'www-authenticate': 'Negotiate, Basic realm="a, b"' } }

  test('logs in, and from then on without being asked', async () => {
    await using server = await startScriptedServer(basicRegistry)
    await using one = client(server, user)
    await one.getManifest(repository, latest, never)
    await one.getManifest(repository, latest, never)
    assert.deepEqual(
      server.seen.map(({ headers }) => headers.authorization),
      [undefined, userHeader, userHeader],
    )
  })

  test('wrong credentials are tried once', async () => {
    await using server = await startScriptedServer(basicRegistry)
    await using one = client(server, { ...user, password: 'wrong' })
    await assert.rejects(one.getManifest(repository, latest, never), fails('unauthorized'))
    assert.equal(server.seen.length, 2)
  })

  test('no credentials', async () => {
    await using server = await startScriptedServer(basicRegistry)
    await using one = client(server)
    await assert.rejects(one.getManifest(repository, latest, never), fails('unauthorized'))
    assert.equal(server.seen.length, 1)
  })

  test('a 401 from where the upstream redirects gets no credentials', async () => {
    await using other = await startScriptedServer(basicRegistry)
    await using server = await startScriptedServer(() => ({
      status: 307,
      headers: { location: `${other.url}/x` },
    }))
    await using one = client(server, user)
    await assert.rejects(one.getManifest(repository, latest, never), fails('unauthorized'))
    assert.deepEqual([other.seen.length, other.seen[0]?.headers.authorization], [1, undefined])
  })
})
