import assert from 'node:assert/strict'
import { request } from 'node:http'
import { suite, test } from 'node:test'
import { TrustKeeper } from '../trust/keeper.ts'
import { refusePages } from './cross-site.ts'
import { serveRoutes } from './testing/serve-routes.ts'
import { createTrustRoutes } from './trust.ts'

async function ask(body: string, headers: Record<string, string | number>): Promise<number | undefined> {
  const keeper = new TrustKeeper([], {
    now: () => new Date(0),
    elapsed: () => 0,
    random: () => 0,
    onEvent: () => undefined,
  })
  await using server = await serveRoutes(createTrustRoutes(keeper, refusePages(new Set())))
  return await new Promise((resolve, reject) => {
    const options = { method: 'POST', headers: { 'content-type': 'application/json', ...headers } }
    const outgoing = request(`${server.url}/trust/refresh`, options)
    outgoing.on('error', reject)
    outgoing.on('response', (incoming) => resolve(incoming.resume().statusCode))
    outgoing.end(body)
  })
}

const GOOD = JSON.stringify({ names: [] })
const LONG = JSON.stringify({ names: ['x'.repeat(5_000)] })

suite('POST /trust/refresh', () => {
  for (const [name, body, headers, status] of [
    ['as the command sends it', GOOD, { 'content-length': GOOD.length }, 200],
    ['a body of unknown length', GOOD, { 'transfer-encoding': 'chunked' }, 411],
    ['a long body', LONG, { 'content-length': LONG.length }, 413],
    ['no JSON', '{', { 'content-length': 1 }, 400],
  ] as const) {
    test(`${name}: ${status}`, async () => {
      assert.equal(await ask(body, headers), status)
    })
  }
})
