import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { CLIENT_TOOLS, REGISTRY_NAME, startClient, type Client, type ClientName } from './harness/clients.ts'
import {
  FIXTURE_ISSUER,
  FIXTURE_PREDICATE,
  FIXTURE_VERSIONS,
  fixtureDigest,
  fixtureLayers,
  fixtureSubject,
  pushFixture,
} from './harness/fixtures.ts'
import { openHouse, type House } from './harness/house.ts'
import type { PolicyInput } from './harness/portcullis.ts'
import { missing } from './harness/tools.ts'

/** The version that the refusals are tried with: one manifest, so clients say the same thing in the fewest requests. */
const VERSION = 'v1.4.0'
const OTHER_BUILDER = 'https://github.com/somebody/else/.github/workflows/release.yml@refs/heads/main'
const OTHER_ISSUER = 'https://issuer.example.test'

function slsaPolicy(name: string, glob: string, keyless: { issuer?: string; subject?: string }): PolicyInput {
  const { issuer = FIXTURE_ISSUER, subject = fixtureSubject(VERSION) } = keyless
  return {
    name,
    glob: `${REGISTRY_NAME}/${glob}`,
    predicateType: FIXTURE_PREDICATE,
    keyless: { issuer, subject },
  }
}

const POLICIES: readonly PolicyInput[] = [
  ...FIXTURE_VERSIONS.map((version) =>
    slsaPolicy(`accepted-${version.replaceAll('.', '-')}`, `accepted/${version}`, {
      subject: fixtureSubject(version),
    }),
  ),
  slsaPolicy('other-builder', 'wrong-builder/slsa', { subject: OTHER_BUILDER }),
  slsaPolicy('other-issuer', 'wrong-issuer/slsa', { issuer: OTHER_ISSUER }),
  slsaPolicy('unattested', 'unattested/slsa', {}),
]

type Refusal = { readonly case: string; readonly repository: string; readonly says: readonly RegExp[] }

const REFUSALS: readonly Refusal[] = [
  {
    case: 'provenance by another builder',
    repository: 'wrong-builder/slsa',
    says: [/other-builder/, /generator_container_slsa3\.yml/],
  },
  {
    case: 'provenance by another issuer',
    repository: 'wrong-issuer/slsa',
    says: [/other-issuer/, /token\.actions\.githubusercontent\.com/],
  },
  {
    case: 'no attestation at all',
    repository: 'unattested/slsa',
    says: [/unattested/, /no |nothing|unsigned/],
  },
  { case: 'no policy', repository: 'unlisted/slsa', says: [/no policy/i] },
]

for (const name of Object.keys(CLIENT_TOOLS) as readonly ClientName[]) {
  const skip = missing({ tools: ['docker-registry', 'skopeo', ...CLIENT_TOOLS[name]], fixtures: true })

  describe(`${name} pulls real images with keyless provenance`, { skip }, () => {
    const stack = new AsyncDisposableStack()
    let house: House
    let client: Client

    before(async () => {
      house = await openHouse(stack, { policies: POLICIES })
      const { registry, directory } = house
      for (const version of FIXTURE_VERSIONS) {
        await pushFixture(registry.host, `accepted/${version}`, version, { workDirectory: directory })
      }
      for (const { repository } of REFUSALS) {
        const attested = repository !== 'unattested/slsa'
        await pushFixture(registry.host, repository, VERSION, { attested, workDirectory: directory })
      }
      client = await startClient(name, directory, house.proxy.host)
      stack.defer(() => client.stop())
    })
    after(() => stack.disposeAsync())

    for (const version of FIXTURE_VERSIONS) {
      test(`accepted: ${version} by the right builder`, async () => {
        const pulled = await client.pull(`accepted/${version}:${version}`)
        assert.ok(pulled.ok, pulled.output)
        await client.clean()
      })
    }

    for (const refusal of REFUSALS) {
      test(`refused by tag: ${refusal.case}`, async () => {
        house.door.forget()
        const pulled = await client.pull(`${refusal.repository}:${VERSION}`)
        assertRefused(pulled, refusal.says)
        await assertLayersStayed(house, VERSION)
      })

      test(`refused by digest: ${refusal.case}`, async () => {
        house.door.forget()
        const pulled = await client.pull(`${refusal.repository}@${await fixtureDigest(VERSION)}`)
        // containerd shows only the reason phrase then, which is cut to 200 characters: long clauses lose their end.
        assertRefused(pulled, name === 'containerd' ? refusal.says.slice(0, 1) : refusal.says)
        await assertLayersStayed(house, VERSION)
      })
    }

    test('refused although the client has the bytes already, from a repository where they are accepted', async () => {
      const accepted = await client.pull(`accepted/${VERSION}:${VERSION}`)
      assert.ok(accepted.ok, accepted.output)
      const pulled = await client.pull(`wrong-builder/slsa:${VERSION}`)
      assertRefused(pulled, [/other-builder/])
      await client.clean()
    })
  })
}

function assertRefused(pulled: { ok: boolean; output: string }, says: readonly RegExp[]): void {
  assert.equal(pulled.ok, false, `pulled what must be refused:\n${pulled.output}`)
  for (const pattern of says) assert.match(pulled.output, pattern)
}

/** What a refused image is made of never left the registry, by whatever name. */
async function assertLayersStayed(house: House, version: typeof VERSION): Promise<void> {
  const layers = await fixtureLayers(version)
  const fetched = house.door.seen().filter(({ path }) => layers.some((layer) => path.endsWith(layer)))
  assert.deepEqual(fetched, [])
}
