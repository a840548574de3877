import assert from 'node:assert/strict'
import { after, before, beforeEach, suite, test } from 'node:test'
import { Agent } from 'undici'
import { REKOR_FAULTS, type RekorFault } from '../../testing/rekor-faults.ts'
import { startRekorServer, type RekorServer } from '../../testing/rekor-server.ts'
import { createSigstore, type Sigstore } from '../../testing/sigstore.ts'
import { createRekorClient, type RekorClient } from './client.ts'
import { createLogSend, type LogAnswer, type LogRequest } from './send.ts'

const BODY = Buffer.from(
  '{"apiVersion":"0.0.1","kind":"hashedrekord","spec":{"data":{"hash":{"algorithm":"sha256","value":"' +
    `${'a'.repeat(64)}"}},"signature":{"content":"AAAA","publicKey":{"content":"LS0t"}}}}`,
)
const DIGEST = `sha256:${'a'.repeat(64)}`
const never = new AbortController().signal
/** Faults that a client cannot see without verifying: the UUID is right. */
const UNSEEN: ReadonlySet<RekorFault> = new Set([
  'tampered-promise',
  'tampered-time',
  'tampered-proof',
  'tampered-checkpoint',
  'foreign-log',
])
const UNAVAILABLE: ReadonlySet<RekorFault> = new Set(['refused', 'hang', 'slow', '500', '429'])

suite('Rekor client', () => {
  const agent = new Agent()
  let sigstore: Sigstore
  let server: RekorServer
  let client: RekorClient
  let uuid: string
  let logIndex: string

  before(async () => {
    sigstore = await createSigstore()
    server = await startRekorServer(sigstore)
    const entry = sigstore.logs.v1.append(BODY, sigstore.now())
    logIndex = entry.logIndex
    client = createRekorClient({ url: `${server.url}/`, send: createLogSend(agent, 'test'), timeoutMs: 250 })
    uuid = (await client.getByIndex(logIndex, never))?.uuid ?? ''
  })
  beforeEach(() => server.behave(undefined))
  after(async () => {
    await server.stop()
    await agent.close()
  })

  test('one entry is found by proposal, UUID, leaf hash, index and content', async () => {
    for (const found of [
      (await client.findProposed(BODY.toString(), never))[0],
      await client.getByUuid(uuid, never),
      await client.getByUuid(uuid.slice(16), never),
      await client.getByIndex(logIndex, never),
      (await client.search(DIGEST, never))[0],
    ]) {
      assert.equal(found?.uuid, uuid)
      assert.deepEqual(found?.entry.canonicalizedBody, BODY)
    }
  })

  test('what is not there is a result', async () => {
    const other = BODY.toString().replace('AAAA', 'BBBB')
    assert.deepEqual(await client.findProposed(other, never), [])
    assert.equal(await client.getByUuid('0'.repeat(64), never), undefined)
    assert.equal(await client.getByIndex('1', never), undefined)
    assert.deepEqual(await client.search(`sha256:${'b'.repeat(64)}`, never), [])
  })

  test('a proposal that the log will not look at is in no log', async () => {
    assert.deepEqual(await client.findProposed('{"kind":"hashedrekord"}', never), [])
  })

  test('what is neither UUID nor index is not asked for', async () => {
    const asked = server.requests.length
    for (const text of ['', '../../index', 'A'.repeat(64), 'a'.repeat(72)])
      assert.equal(await client.getByUuid(text, never), undefined)
    for (const text of ['', '-1', '01', '1e3', '9'.repeat(17)])
      assert.equal(await client.getByIndex(text, never), undefined)
    assert.equal(server.requests.length, asked)
  })

  for (const fault of REKOR_FAULTS.filter((name) => !UNSEEN.has(name))) {
    const code = UNAVAILABLE.has(fault) ? 'unavailable' : 'refused'
    test(`${fault}: ${code}`, async () => {
      server.behave(fault)
      const expected = { name: 'TrustError', code }
      if (fault !== 'tampered-index') await assert.rejects(client.getByUuid(uuid, never), expected)
      if (fault !== 'tampered-body' && fault !== 'other-key' && fault !== 'wrong-entry')
        await assert.rejects(client.getByIndex(logIndex, never), expected)
    })
  }

  test('a redirect is not followed', async () => {
    server.behave('redirect')
    await assert.rejects(client.getByIndex(logIndex, never), { code: 'refused', message: /answered 302/ })
  })

  const scripted = (answer: Partial<LogAnswer>, requests: LogRequest[] = []): RekorClient =>
    createRekorClient({
      url: 'https://log.test/rekor',
      send: (request) => {
        requests.push(request)
        return Promise.resolve({ status: 200, body: Buffer.from('[]'), whole: true, ...answer })
      },
    })

  test('a path in front of the API is kept', async () => {
    const requests: LogRequest[] = []
    await scripted({}, requests).findProposed('{}', never)
    assert.equal(requests[0]?.url.href, 'https://log.test/rekor/api/v1/log/entries/retrieve')
    assert.equal(requests[0]?.body, '{"entries":[{}]}')
  })

  const json = (value: unknown) => ({ body: Buffer.from(JSON.stringify(value)) })
  for (const [name, answer] of [
    ['a 404 from what is no log', { status: 404 }],
    ['a 403', { status: 403 }],
    ['no content', { status: 204 }],
    ['an object for a list', json({})],
    ['a list of something else', json([1])],
    ['an entry without a UUID', json([{ x: {} }])],
    ['an object of nothing', json([{}])],
    ['what is no UTF-8', { body: Buffer.from([0xff]) }],
    ['more than is read', { whole: false }],
  ] as const) {
    test(`a proposal is answered with ${name}: refused`, async () => {
      await assert.rejects(scripted(answer).findProposed('{}', never), {
        name: 'TrustError',
        code: 'refused',
      })
    })
  }

  test('thousands of entries in one object are not read', async () => {
    const flood = Object.fromEntries(
      Array.from({ length: 5000 }, (_, index) => [index.toString(16).padStart(64, '0'), {}]),
    )
    await assert.rejects(scripted(json([flood])).findProposed('{}', never), {
      code: 'refused',
      message: /expected one, found 5000/,
    })
  })

  test('an index that floods: 20 entries are fetched, in two questions', async () => {
    const requests: LogRequest[] = []
    const uuids = Array.from({ length: 5000 }, (_, index) => index.toString(16).padStart(64, '0'))
    const flooded = createRekorClient({
      url: 'https://log.test',
      send: (request) => {
        requests.push(request)
        const value = request.url.pathname.includes('/index/') ? uuids : []
        return Promise.resolve({ status: 200, body: Buffer.from(JSON.stringify(value)), whole: true })
      },
    })
    assert.deepEqual(await flooded.search(DIGEST, never), [])
    const asked = requests.slice(1).map(({ body = '' }) => JSON.parse(body) as { entryUUIDs: string[] })
    assert.deepEqual(
      asked.map(({ entryUUIDs }) => entryUUIDs.length),
      [10, 10],
    )
  })

  test('entries that were not asked for are no answer', async () => {
    const value = JSON.parse((await client.getByUuid(uuid, never))?.json ?? '') as unknown
    const lying = createRekorClient({
      url: 'https://log.test',
      send: ({ url }) => {
        const answer = url.pathname.includes('/index/') ? ['0'.repeat(64)] : [value]
        return Promise.resolve({ status: 200, body: Buffer.from(JSON.stringify(answer)), whole: true })
      },
    })
    await assert.rejects(lying.search(DIGEST, never), { code: 'refused', message: /another entry/ })
  })

  test('an abort ends the question', async () => {
    server.behave('hang')
    await assert.rejects(client.getByIndex(logIndex, AbortSignal.abort()), { code: 'unavailable' })
  })
})
