import assert from 'node:assert/strict'
import { before, suite, test } from 'node:test'
import { createRekorRoutes } from '../testing/rekor-routes.ts'
import { createSigstore, type Sigstore } from '../testing/sigstore.ts'
import { mintUnlogged, UNLOGGED_KINDS, type UnloggedFixture } from '../testing/unlogged.ts'
import { SUBJECT } from '../testing/verification.ts'
import { entryInLogEntry, type ReadLogEntry } from '../verify/log-entry-json.ts'
import { verifyCandidate } from '../verify/verify.ts'
import { answerRekor, LOG_QUERY_BYTES_MAX } from './rekor.ts'

const ENTRIES = '/api/v1/log/entries'

suite('log entries that are re-served', () => {
  let sigstore: Sigstore
  let minted: UnloggedFixture
  const kept = new Map<string, ReadLogEntry>()
  let entry: ReadLogEntry

  const state = {
    getLogEntry: (log: string, uuid: string) => (log === 'corp' ? kept.get(uuid)?.json : undefined),
    findLogEntry: (log: string, index: string) => {
      const found = [...kept.values()].find(({ logIndex }) => log === 'corp' && logIndex === index)
      return found === undefined ? undefined : { uuid: found.leafHash, json: found.json }
    },
  }
  const get = (path: string, log = 'corp') =>
    answerRekor({ method: 'GET', target: `/rekor/${log}${path}` }, state)
  const post = (path: string, value: unknown) => {
    const body = Buffer.isBuffer(value) ? value : Buffer.from(JSON.stringify(value))
    return answerRekor({ method: 'POST', target: `/rekor/corp${path}`, body }, state)
  }
  const json = ({ body }: { body: Buffer }): unknown => JSON.parse(body.toString())
  /** What the log itself says to the same question. */
  const original = (method: string, path: string, body?: unknown) => {
    const { pathname, searchParams: query } = new URL(path, 'http://log')
    const bytes = Buffer.from(JSON.stringify(body) ?? '')
    const reply = createRekorRoutes(sigstore)({
      method,
      url: path,
      path: pathname,
      query,
      headers: {},
      body: bytes,
    })
    return JSON.parse(String(reply?.body)) as unknown
  }

  before(async () => {
    sigstore = await createSigstore()
    minted = await mintUnlogged(sigstore)
    for (const { logIndex } of sigstore.logs.v1.entries.values()) {
      const read = entryInLogEntry(original('GET', `${ENTRIES}?logIndex=${logIndex}`))
      kept.set(read.leafHash, read)
    }
    const [first] = kept.values()
    entry = first ?? assert.fail()
  })

  test('by UUID, leaf hash and index: what the log says', () => {
    for (const path of [
      `${ENTRIES}/${entry.uuid}`,
      `${ENTRIES}/${entry.leafHash}`,
      `${ENTRIES}?logIndex=${entry.logIndex}`,
    ]) {
      const answer = get(path)
      assert.equal(answer.status, 200)
      assert.equal(answer.headers['content-type'], 'application/json')
      assert.equal(answer.headers['content-length'], String(answer.body.length))
      assert.deepEqual(json(answer), original('GET', path))
    }
  })

  test('what cosign proposes finds the entry of each kind of signature', async () => {
    const old = await mintUnlogged(sigstore, { intoto001: true })
    for (const { logIndex } of sigstore.logs.v1.entries.values()) {
      const read = entryInLogEntry(original('GET', `${ENTRIES}?logIndex=${logIndex}`))
      kept.set(read.leafHash, read)
    }
    for (const { root, key, candidates } of [minted, old]) {
      for (const kind of UNLOGGED_KINDS) {
        const input = { subject: SUBJECT, roots: [root], keys: [key], logsToAsk: [root.name] }
        const [unlogged] = verifyCandidate(candidates[kind], input).unlogged ?? []
        const proposals = (unlogged?.query.proposals ?? []).map((proposal) => JSON.parse(proposal) as unknown)
        const answer = json(post(`${ENTRIES}/retrieve`, { entries: proposals }))
        assert.deepEqual(answer, original('POST', `${ENTRIES}/retrieve`, { entries: proposals }))
        assert.ok(Array.isArray(answer) && answer.length === 1, kind)
      }
    }
  })

  test('by several UUIDs and indexes at once', () => {
    const question = { entryUUIDs: [entry.uuid, '0'.repeat(64)], logIndexes: [Number(entry.logIndex)] }
    assert.equal((json(post(`${ENTRIES}/retrieve`, question)) as unknown[]).length, 2)
    assert.deepEqual(json(post(`${ENTRIES}/retrieve`, {})), [])
  })

  test('what is neither number nor text asks for nothing', () => {
    for (const value of [{ toString: 1, valueOf: 1 }, [entry.logIndex], [entry.uuid], null, true]) {
      const question = { logIndexes: [value], entryUUIDs: [value] }
      assert.deepEqual(json(post(`${ENTRIES}/retrieve`, question)), [])
    }
  })

  test('an index that nobody has promised is not answered to', () => {
    const bare = entry.json.replace(/,"signedEntryTimestamp":"[^"]*"/, '')
    assert.notEqual(bare, entry.json)
    const unsigned = {
      getLogEntry: () => bare,
      findLogEntry: () => ({ uuid: entry.leafHash, json: bare }),
    }
    const ask = (path: string) =>
      answerRekor({ method: 'GET', target: `/rekor/corp${ENTRIES}${path}` }, unsigned).status
    assert.equal(ask(`/${entry.uuid}`), 200)
    assert.equal(ask(`?logIndex=${entry.logIndex}`), 404)
  })

  const missing: readonly (readonly [string, () => ReturnType<typeof get>])[] = [
    ['an entry that is not kept', () => get(`${ENTRIES}/${'0'.repeat(64)}`)],
    ['another tree', () => get(`${ENTRIES}/${'0'.repeat(16)}${entry.leafHash}`)],
    ['an index that is not kept', () => get(`${ENTRIES}?logIndex=1`)],
    ['no index', () => get(ENTRIES)],
    ['an index that is none', () => get(`${ENTRIES}?logIndex=0x1`)],
    ['a log that is not known', () => get(`${ENTRIES}/${entry.uuid}`, 'other')],
    ['a path that is none', () => get(`${ENTRIES}/../${entry.uuid}`)],
    ['an index and more', () => get(`${ENTRIES}?logIndex=1&x=1`)],
    ['another spelling', () => get(`${ENTRIES}/${entry.uuid}/`)],
    ['the key of the log, which nobody should take from here', () => get('/api/v1/log/publicKey')],
    ['the state of the log', () => get('/api/v1/log')],
  ]
  for (const [name, ask] of missing) {
    test(`${name}: 404 in Rekor’s words`, () => {
      const answer = ask()
      assert.equal(answer.status, 404)
      assert.deepEqual(json(answer), { code: 404, message: 'no such entry in this copy of the log' })
    })
  }

  test('an entry that was damaged on disk is not served', () => {
    const damaged = { ...state, getLogEntry: () => entry.json.replace(/"body":"..../, '"body":"AAAA') }
    const target = `/rekor/corp${ENTRIES}/${entry.uuid}`
    assert.equal(answerRekor({ method: 'GET', target }, damaged).status, 404)
    assert.equal(answerRekor({ method: 'GET', target }, state).status, 200)
  })

  test('nothing can be added, and a bad question is told so', () => {
    assert.equal(post(ENTRIES, {}).status, 405)
    assert.equal(get(`${ENTRIES}/retrieve`).status, 405)
    assert.equal(post(`${ENTRIES}/retrieve`, Buffer.from('{')).status, 400)
    assert.equal(post(`${ENTRIES}/retrieve`, Buffer.alloc(LOG_QUERY_BYTES_MAX + 1, 0x20)).status, 400)
    assert.equal(post(`${ENTRIES}/retrieve`, { logIndexes: Array(11).fill(1) }).status, 422)
  })

  test('proposals that are none find nothing', () => {
    const entries = [
      null,
      1,
      {},
      { kind: 'dsse', apiVersion: '0.0.1', spec: { proposedContent: { envelope: '{' } } },
      { kind: 'rekord', apiVersion: '0.0.1' },
    ]
    assert.deepEqual(json(post(`${ENTRIES}/retrieve`, { entries })), [])
  })
})
