import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { before, suite, test } from 'node:test'
import { createRekorRoutes } from '../../testing/rekor-routes.ts'
import { createSigstore, managedSigner, type Sigstore } from '../../testing/sigstore.ts'
import { bundleCandidate, publicKeyOf, STATEMENT, SUBJECT, trustRootOf } from '../../testing/verification.ts'
import type { Unlogged } from '../../verify/types.ts'
import { verifyCandidate } from '../../verify/verify.ts'
import { TrustError } from '../trust-error.ts'
import { createRekorClient, type RekorClient } from './client.ts'
import { LogLookUp, type LookUpEvent, type LookUpOptions } from './look-up.ts'
import type { SendToLog } from './send.ts'

const query = (id: string, wording = ''): Pick<Unlogged, 'trustRoot' | 'query'> => ({
  trustRoot: 'test',
  query: {
    id,
    wording,
    proposals: ['{}'],
    isExact: true,
    indexedBy: undefined,
    signature: '',
    signer: '',
    envelopeHashes: [],
  },
})

/** A log that has nothing, unless it is told otherwise. */
function logOf(findProposed: RekorClient['findProposed']): RekorClient {
  const nothing = () => Promise.resolve(undefined)
  return { findProposed, getByUuid: nothing, getByIndex: nothing, search: () => Promise.resolve([]) }
}

function lookUpIn(log: RekorClient, options: Partial<LookUpOptions> = {}): LogLookUp {
  const limit = () => new AbortController().signal
  return new LogLookUp({ logs: new Map([['test', log]]), elapsed: () => 0, limit, ...options })
}

suite('what is asked of a log', () => {
  test('"no such entry" is remembered for a while, and then asked again', async () => {
    let [asked, now] = [0, 0]
    const events: LookUpEvent['result'][] = []
    const log = logOf(() => {
      asked += 1
      return Promise.resolve([])
    })
    const lookUp = lookUpIn(log, {
      elapsed: () => now,
      absentTtlMs: 1000,
      onEvent: ({ result }) => events.push(result),
    })
    assert.deepEqual(await lookUp.find(query('a')), { kind: 'absent' })
    now = 999
    assert.deepEqual(await lookUp.find(query('a')), { kind: 'absent' })
    assert.equal(asked, 1)
    assert.deepEqual(await lookUp.find(query('b')), { kind: 'absent' })
    now = 1000
    await lookUp.find(query('a'))
    assert.equal(asked, 3)
    assert.deepEqual(events, ['absent', 'remembered', 'absent', 'absent'])
  })

  test('what is absent in some words is asked for in others: nobody can have a signature denied by a copy', async () => {
    let asked = 0
    const log = logOf(() => {
      asked += 1
      return Promise.resolve([])
    })
    const lookUp = lookUpIn(log)
    await lookUp.find(query('a', 'of a copy'))
    await lookUp.find(query('a', 'of the first'))
    assert.equal(asked, 2)
  })

  test('a failure is no absence: it is not remembered', async () => {
    let asked = 0
    const log = logOf(() => {
      asked += 1
      return Promise.reject(new TrustError(asked === 1 ? 'unavailable' : 'refused', 'no answer'))
    })
    const events: LookUpEvent['result'][] = []
    const lookUp = lookUpIn(log, { onEvent: ({ result }) => events.push(result) })
    assert.equal((await lookUp.find(query('a'))).kind, 'failed')
    assert.equal((await lookUp.find(query('a'))).kind, 'failed')
    assert.deepEqual(events, ['unavailable', 'refused'])
  })

  test('what throws something else is unavailable', async () => {
    const lookUp = lookUpIn(logOf(() => Promise.reject(new TypeError('broken'))))
    const result = await lookUp.find(query('a'))
    assert.equal(result.kind === 'failed' && result.error.code, 'unavailable')
  })

  test('those who ask the same at the same time share one question', async () => {
    const answer = Promise.withResolvers<[]>()
    let asked = 0
    const lookUp = lookUpIn(
      logOf(() => {
        asked += 1
        return answer.promise
      }),
    )
    const results = Promise.all([lookUp.find(query('a')), lookUp.find(query('a')), lookUp.find(query('b'))])
    answer.resolve([])
    assert.deepEqual(await results, [{ kind: 'absent' }, { kind: 'absent' }, { kind: 'absent' }])
    assert.equal(asked, 2)
  })

  test('at most eight questions run at a time', async () => {
    const answer = Promise.withResolvers<[]>()
    let [running, most] = [0, 0]
    const lookUp = lookUpIn(
      logOf(async () => {
        running += 1
        most = Math.max(most, running)
        await answer.promise
        running -= 1
        return []
      }),
    )
    const results = Promise.all(Array.from({ length: 50 }, (_, index) => lookUp.find(query(String(index)))))
    answer.resolve([])
    assert.equal((await results).length, 50)
    assert.equal(most, 8)
  })

  test('a look-up that waits too long for its turn is a failure', async () => {
    const lookUp = lookUpIn(
      logOf(() => Promise.resolve([])),
      { limit: () => AbortSignal.abort() },
    )
    const result = await lookUp.find(query('a'))
    assert.equal(result.kind === 'failed' && result.error.code, 'unavailable')
  })

  test('no log: nothing to ask', async () => {
    assert.deepEqual(await lookUpIn(logOf(() => assert.fail())).find({ ...query('a'), trustRoot: 'other' }), {
      kind: 'absent',
    })
  })
})

suite('an envelope in a bundle', () => {
  let sigstore: Sigstore
  let unlogged: Unlogged
  let requests: string[]
  let send: SendToLog

  before(async () => {
    sigstore = await createSigstore()
    const routes = createRekorRoutes(sigstore)
    send = ({ method, url, body = '' }) => {
      requests.push(`${method} ${url.pathname}`)
      const request = {
        method,
        url: url.href,
        path: url.pathname,
        query: url.searchParams,
        headers: {},
        body: Buffer.from(body),
      }
      const { status = 404, body: answer = '' } = routes(request) ?? {}
      return Promise.resolve({ status, body: Buffer.from(answer), whole: true })
    }
    const pair = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
    // Logged in another wording than a proposal can guess: the envelope is known by its payload only.
    const mutateBody = (body: { spec: unknown }) =>
      Object.assign(body.spec as object, { envelopeHash: { algorithm: 'sha256', value: 'c'.repeat(64) } })
    const bundle = await sigstore.dsse(STATEMENT, managedSigner(pair), { mutateBody })
    // Others have logged the same content with keys of their own.
    await sigstore.dsse(STATEMENT, managedSigner(generateKeyPairSync('ec', { namedCurve: 'prime256v1' })))
    bundle.verificationMaterial.tlogEntries = []
    const input = {
      subject: SUBJECT,
      roots: [trustRootOf(sigstore.trustedRoot())],
      keys: [publicKeyOf(pair.publicKey)],
      logsToAsk: ['test'],
    }
    ;[unlogged] = verifyCandidate(bundleCandidate(bundle), input).unlogged as [Unlogged]
  })

  test('is found by the hash of its payload where the proposals miss it; those of others are passed over', async () => {
    requests = []
    const lookUp = lookUpIn(createRekorClient({ url: 'https://log.test', send }))
    const result = await lookUp.find(unlogged)
    assert.equal(result.kind === 'found' && result.entries.length, 1)
    assert.deepEqual(requests, [
      'POST /api/v1/log/entries/retrieve',
      'POST /api/v1/index/retrieve',
      'POST /api/v1/log/entries/retrieve',
    ])
  })
})
