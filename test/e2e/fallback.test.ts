import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import {
  CLIENT_TOOLS,
  REGISTRY_NAME,
  startBlockedMirrorClient,
  startContainerdClient,
  type Client,
} from './harness/clients.ts'
import {
  FIXTURE_ISSUER,
  FIXTURE_PREDICATE,
  fixtureDigest,
  fixtureSubject,
  pushFixture,
} from './harness/fixtures.ts'
import { openHouse, type House } from './harness/house.ts'
import type { Door } from './harness/registry.ts'
import { missing } from './harness/tools.ts'

const skip = missing({ tools: ['docker-registry', 'skopeo', ...CLIENT_TOOLS.containerd], fixtures: true })
const VERSION = 'v1.4.0'
const INDEX_VERSION = 'v2.0.0'
const OTHER_BUILDER = 'https://github.com/somebody/else/.github/workflows/release.yml@refs/heads/main'

const POLICIES = [
  { name: 'right-builder', glob: 'accepted/**', subject: fixtureSubject(VERSION) },
  { name: 'other-builder', glob: 'refused/**', subject: OTHER_BUILDER },
].map(({ name, glob, subject }) => ({
  name,
  glob: `${REGISTRY_NAME}/${glob}`,
  predicateType: FIXTURE_PREDICATE,
  keyless: { issuer: FIXTURE_ISSUER, subject },
}))

type Start = (house: House, back: Door) => Promise<Client>

/**
 * Clients that know the real registry, which would gladly serve what the proxy refuses. containerd takes every error of a
 * mirror as a reason to ask `server`, so the refusal has to leave it nothing that the registry could answer; skopeo asks
 * the primary location unless that is blocked.
 */
const KNOWING: readonly { readonly name: string; readonly start: Start }[] = [
  {
    name: 'containerd whose hosts.toml falls back to the real registry',
    start: async ({ directory, proxy }, back) => {
      const client = await startContainerdClient(directory, proxy.host)
      await client.useServer(back.url)
      return client
    },
  },
  {
    name: 'skopeo with the real registry as a blocked location',
    start: ({ directory, proxy }, back) => startBlockedMirrorClient(directory, proxy.host, back.host),
  },
]

for (const knowing of KNOWING) {
  describe(knowing.name, { skip }, () => {
    const stack = new AsyncDisposableStack()
    let back: Door
    let client: Client

    before(async () => {
      const house = await openHouse(stack, { policies: POLICIES })
      const { registry, directory } = house
      await pushFixture(registry.host, 'accepted/slsa', VERSION, { workDirectory: directory })
      await pushFixture(registry.host, 'refused/slsa', VERSION, { workDirectory: directory })
      await pushFixture(registry.host, 'refused/slsa', INDEX_VERSION, { workDirectory: directory })
      back = await registry.openDoor()
      client = await knowing.start(house, back)
      stack.defer(() => client.stop())
    })
    after(() => stack.disposeAsync())

    for (const version of [VERSION, INDEX_VERSION] as const) {
      test(`refused by tag: ${version}`, async () => {
        back.forget()
        assertRefused(await client.pull(`refused/slsa:${version}`))
        assertNothingServed(back)
      })

      test(`refused by digest: ${version}`, async () => {
        back.forget()
        assertRefused(await client.pull(`refused/slsa@${await fixtureDigest(version)}`))
        assertNothingServed(back)
      })
    }

    test('what is accepted is pulled through the proxy alone', async () => {
      back.forget()
      const pulled = await client.pull(`accepted/slsa:${VERSION}`)
      assert.ok(pulled.ok, pulled.output)
      assert.deepEqual(back.seen(), [])
    })
  })
}

function assertRefused(pulled: { ok: boolean; output: string }): void {
  assert.equal(pulled.ok, false, `pulled around the proxy:\n${pulled.output}`)
  assert.match(pulled.output, /other-builder/)
}

/** Whatever the client asked the real registry for, it got nothing that is an image. */
function assertNothingServed(door: Door): void {
  const served = door.seen().filter(({ path, status }) => path !== '/v2/' && status < 400)
  assert.deepEqual(served, [])
}
