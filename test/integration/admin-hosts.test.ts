import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { startHarness, type Harness } from './harness.ts'
import { requestTo } from './http.ts'

/** Who may ask the admin listener for what: tools under its addresses and names, no page under a name of its own. */

const GUARDED = ['/metrics', '/trust', '/policies', '/rollout', '/drill', '/explain?image=ghcr.io/a/b:c']
const TOOLS = [
  { name: 'its address, as a scraper of pods has it', headers: { host: '10.0.3.17:5001' } },
  { name: 'its IPv6 address', headers: { host: '[fdaa:0:1::3]:5001' } },
  { name: 'localhost', headers: { host: 'localhost:5001' } },
  { name: 'a name that it was given', headers: { host: 'edge.internal:5001' } },
  { name: 'a browser in which somebody has typed it', headers: { 'sec-fetch-site': 'none' } },
]
const PAGES = [
  { name: 'a name that was rebound', headers: { host: 'rebound.example:5001' } },
  { name: 'a name that begins like an address', headers: { host: '10.0.3.17.rebound.example' } },
  { name: 'another origin', headers: { origin: 'https://evil.example' } },
  { name: 'a page of its own address', headers: { 'sec-fetch-site': 'same-origin' } },
]

describe('the admin listener', () => {
  let harness: Harness
  before(async () => {
    harness = await startHarness({ config: { listen: { data: { port: 0 }, admin: ADMIN } } })
  })
  after(async () => await harness[Symbol.asyncDispose]())

  const ADMIN = { port: 0, names: ['edge.internal'] }
  const statusOf = async (target: string, headers: Record<string, string>): Promise<number> => {
    const { port } = harness.running().admin.address
    return (await requestTo(port, { method: 'GET', target, headers })).status
  }

  for (const { name, headers } of TOOLS) {
    it(`shows its metrics to ${name}`, async () => assert.equal(await statusOf('/metrics', headers), 200))
  }

  for (const { name, headers } of PAGES) {
    it(`tells ${name} no more than that it runs`, async () => {
      for (const target of GUARDED) {
        // oxlint-disable-next-line no-await-in-loop -- one after the other
        assert.equal(await statusOf(target, headers), 403, target)
      }
      assert.equal(await statusOf('/healthz', headers), 200)
    })
  }

  it('knows the name that it listens on', () => {
    assert.deepEqual([...harness.running().deps.admin.names], ['127.0.0.1', 'edge.internal'])
  })
})
