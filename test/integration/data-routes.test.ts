import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { createDataListener, type AppDeps } from '../../src/app.ts'
import { listen, type Listener } from '../../src/server.ts'
import { startHarness, type Harness } from './harness.ts'

const ROUTES: readonly { method: string; path: string; status: number; told: RegExp; what: string }[] = [
  { what: 'the base of the API', method: 'GET', path: '/v2/', status: 200, told: /^\{\}$/ },
  { what: 'a name of nothing', method: 'GET', path: '/v3/', status: 404, told: /"errors"/ },
  { what: 'an upload', method: 'POST', path: '/v2/a/b/blobs/uploads/', status: 405, told: /UNSUPPORTED/ },
  { what: 'a push', method: 'PUT', path: '/v2/a/b/manifests/v1', status: 405, told: /UNSUPPORTED/ },
  {
    what: 'a file of trust',
    method: 'GET',
    path: '/tuf/nobody/root.json',
    status: 404,
    told: /^not found$/m,
  },
  {
    what: 'a write to trust',
    method: 'PUT',
    path: '/tuf/nobody/root.json',
    status: 405,
    told: /UNSUPPORTED/,
  },
  {
    what: 'a question to the log',
    method: 'POST',
    path: '/rekor/corp/api/v1/log/entries/retrieve',
    status: 400,
    told: /"code":400/,
  },
  { what: 'a write to the log', method: 'PUT', path: '/rekor/nobody', status: 405, told: /UNSUPPORTED/ },
]

describe('routes of the data listener', () => {
  let harness: Harness
  before(async () => {
    harness = await startHarness()
  })
  after(async () => await harness[Symbol.asyncDispose]())

  for (const { what, method, path, status, told } of ROUTES) {
    it(`${what}: ${method} ${path} is ${status}`, async () => {
      const body = method === 'GET' ? {} : { body: 'x' }
      const answer = await fetch(`http://127.0.0.1:${harness.port()}${path}`, { method, ...body })
      assert.match(await answer.text(), told)
      assert.equal(answer.status, status)
    })
  }
})

describe('what nobody expected', () => {
  let harness: Harness
  let listener: Listener
  let fail: AppDeps['manifest']['answer']
  before(async () => {
    harness = await startHarness()
    const { app, listeners } = harness.running().deps
    const [{ door } = assert.fail()] = listeners
    const manifest: AppDeps['manifest'] = {
      answerWarm: () => undefined,
      final: (answer) => answer,
      answer: async (...asked) => await fail(...asked),
    }
    listener = await listen(createDataListener({ ...app, manifest }, door), { host: '127.0.0.1', port: 0 })
  })
  after(async () => {
    await listener.close(0)
    await harness[Symbol.asyncDispose]()
  })
  const pull = async () =>
    await fetch(`http://127.0.0.1:${listener.address.port}/v2/observed/app/manifests/v1`)

  it('is answered with nothing of it', async () => {
    fail = async () => await Promise.reject(new Error('a secret of the store'))
    const answer = await pull()
    assert.equal(answer.status, 500)
    const text = await answer.text()
    assert.match(text, /internal error; see the log of the proxy/)
    assert.doesNotMatch(text, /secret/)
  })

  it('stops nobody who asks next', async () => {
    fail = async () => ({ status: 200, headers: {}, body: Buffer.from('whole') })
    assert.equal(await (await pull()).text(), 'whole')
  })
})
