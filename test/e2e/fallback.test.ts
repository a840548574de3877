import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { CLIENT_TOOLS, REGISTRY_NAME, startContainerdClient, type Containerd } from './harness/clients.ts'
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

/**
 * containerd takes every error of a mirror as a reason to ask `server`. Here `server` is the real registry, which would
 * gladly serve what the proxy refuses: the refusal has to leave containerd nothing that the registry could answer.
 */
describe('containerd whose hosts.toml falls back to the real registry', { skip }, () => {
  const stack = new AsyncDisposableStack()
  let house: House
  let back: Door
  let client: Containerd

  before(async () => {
    const expected = { predicateType: FIXTURE_PREDICATE }
    house = await openHouse(stack, {
      policies: [
        {
          name: 'right-builder',
          glob: `${REGISTRY_NAME}/accepted/**`,
          keyless: { issuer: FIXTURE_ISSUER, subject: fixtureSubject(VERSION) },
          ...expected,
        },
        {
          name: 'other-builder',
          glob: `${REGISTRY_NAME}/refused/**`,
          keyless: { issuer: FIXTURE_ISSUER, subject: OTHER_BUILDER },
          ...expected,
        },
      ],
    })
    const { registry, directory } = house
    await pushFixture(registry.host, 'accepted/slsa', VERSION, { workDirectory: directory })
    await pushFixture(registry.host, 'refused/slsa', VERSION, { workDirectory: directory })
    await pushFixture(registry.host, 'refused/slsa', INDEX_VERSION, { workDirectory: directory })
    back = await registry.openDoor()
    client = await startContainerdClient(directory, house.proxy.host)
    stack.defer(() => client.stop())
    await client.useServer(back.url)
  })
  after(() => stack.disposeAsync())

  for (const version of [VERSION, INDEX_VERSION] as const) {
    test(`refused by tag: ${version}`, async () => {
      back.forget()
      const pulled = await client.pull(`refused/slsa:${version}`)
      assert.equal(pulled.ok, false, `pulled around the proxy:\n${pulled.output}`)
      assert.match(pulled.output, /other-builder/)
      assertNothingServed(back)
    })

    test(`refused by digest: ${version}`, async () => {
      back.forget()
      const pulled = await client.pull(`refused/slsa@${await fixtureDigest(version)}`)
      assert.equal(pulled.ok, false, `pulled around the proxy:\n${pulled.output}`)
      assert.match(pulled.output, /other-builder/)
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

function assertNothingServed(door: Door): void {
  const served = door.seen().filter(({ path, status }) => path !== '/v2/' && status < 400)
  assert.deepEqual(served, [])
}
