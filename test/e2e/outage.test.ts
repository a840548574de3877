import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { CLIENT_TOOLS, REGISTRY_NAME, startClient, type Client, type ClientName } from './harness/clients.ts'
import {
  FIXTURE_ISSUER,
  FIXTURE_PREDICATE,
  fixtureDigest,
  fixtureSubject,
  pushFixture,
} from './harness/fixtures.ts'
import { openHouse, type House } from './harness/house.ts'
import { missing } from './harness/tools.ts'

const VERSION = 'v1.4.0'
const INDEX_VERSION = 'v2.0.0'
const CLIENTS = ['docker', 'containerd', 'skopeo'] as const satisfies readonly ClientName[]
const TOOLS = CLIENTS.flatMap((name) => CLIENT_TOOLS[name])

/** The tests follow each other: first the registry is up, then it is gone for good. */
describe(
  'the registry dies',
  { skip: missing({ tools: ['docker-registry', ...TOOLS], fixtures: true }) },
  () => {
    const stack = new AsyncDisposableStack()
    const clients: Client[] = []
    let house: House

    before(async () => {
      const policies = ([VERSION, INDEX_VERSION] as const).map((version) => ({
        name: `builder-${version.replaceAll('.', '-')}`,
        glob: `${REGISTRY_NAME}/${version}/**`,
        predicateType: FIXTURE_PREDICATE,
        keyless: { issuer: FIXTURE_ISSUER, subject: fixtureSubject(version) },
      }))
      house = await openHouse(stack, { policies })
      const { registry, directory } = house
      for (const version of [VERSION, INDEX_VERSION] as const) {
        await pushFixture(registry.host, `${version}/seen`, version, { workDirectory: directory })
        await pushFixture(registry.host, `${version}/unseen`, version, { workDirectory: directory })
      }
      for (const name of CLIENTS) {
        const client = await startClient(name, directory, house.proxy.host)
        stack.defer(() => client.stop())
        clients.push(client)
      }
      for (const version of [VERSION, INDEX_VERSION]) {
        const pulled = await clients[0]!.pull(`${version}/seen:${version}`)
        assert.ok(pulled.ok, pulled.output)
      }
      await Promise.all(clients.map((client) => client.clean()))
      await registry.stop()
    })
    after(() => stack.disposeAsync())

    async function assertServed(image: string): Promise<void> {
      for (const client of clients) {
        const pulled = await client.pull(image)
        assert.ok(pulled.ok, `${client.name}: ${pulled.output}`)
        await client.clean()
      }
    }

    for (const version of [VERSION, INDEX_VERSION] as const) {
      test(`${version}, pulled once by one client, is served to all: by tag`, () =>
        assertServed(`${version}/seen:${version}`))

      test(`${version}, pulled once by one client, is served to all: by digest`, async () =>
        assertServed(`${version}/seen@${await fixtureDigest(version)}`))

      test(`${version} is held in a repository where it was never seen, although its bytes are here`, async () => {
        for (const client of clients) {
          const pulled = await client.pull(`${version}/unseen@${await fixtureDigest(version)}`)
          assert.equal(pulled.ok, false, `${client.name} pulled what nobody verified:\n${pulled.output}`)
          assert.match(pulled.output, /held by policy builder-/)
        }
      })
    }

    test('nor does a crash: killed, started again with everything it depends on gone, it serves within a second', async () => {
      await Promise.all(clients.map((client) => client.clean()))
      const startMs = await house.proxy.crash()
      for (const version of [VERSION, INDEX_VERSION] as const) {
        await assertServed(`${version}/seen:${version}`)
        await assertServed(`${version}/seen@${await fixtureDigest(version)}`)
      }
      console.log(`ready ${Math.round(startMs)} ms after the crash`)
    })
  },
)
