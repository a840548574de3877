import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { buildImage } from '../../src/testing/images.ts'
import { CLIENT_TOOLS, REGISTRY_NAME, startClient, type Client, type ClientName } from './harness/clients.ts'
import {
  COSIGN_MAJORS,
  cosign,
  cosignPath,
  generateKeys,
  startPrivateSigstore,
  type CosignInput,
  type CosignMajor,
} from './harness/cosign.ts'
import { openHouse, temporaryDirectory } from './harness/house.ts'
import type { PolicyInput } from './harness/portcullis.ts'
import { pushImage } from './harness/push.ts'
import { missing } from './harness/tools.ts'

const ISSUER = 'https://issuer.example.test'
const RELEASE = 'https://ci.example.test/acme/app/.ci/release.yml@refs/tags/v1'
const FORK = 'https://ci.example.test/mallory/app/.ci/release.yml@refs/tags/v1'
const PREDICATE_TYPE = 'https://example.test/reviewed/v1'

const BY = ['key', 'identity'] as const
const WHAT = ['sign', 'attest'] as const
/** Who signs; every policy wants `right`. */
const WHO = ['right', 'wrong'] as const

type Case = {
  readonly major: CosignMajor
  readonly by: (typeof BY)[number]
  readonly what: (typeof WHAT)[number]
  readonly who: (typeof WHO)[number]
}

const CASES: readonly Case[] = COSIGN_MAJORS.flatMap((major) =>
  BY.flatMap((by) => WHAT.flatMap((what) => WHO.map((who) => ({ major, by, what, who })))),
)

function repositoryOf({ major, by, what, who }: Case): string {
  return `cosign${major}/${by}/${what}/${who}`
}

function policyOf({ major, by, what }: Omit<Case, 'who'>, keyPem: string): PolicyInput {
  const named = {
    name: `cosign${major}-${by}-${what}`,
    glob: `${REGISTRY_NAME}/cosign${major}/${by}/${what}/*`,
    ...(what === 'attest' ? { predicateType: PREDICATE_TYPE } : {}),
  }
  if (by === 'key') return { ...named, keyPem }
  return { ...named, keyless: { issuer: ISSUER, subject: RELEASE, trustRoot: 'private' } }
}

const absent = COSIGN_MAJORS.filter((major) => cosignPath(major) === undefined)
const tools = [
  'docker-registry',
  ...Object.values(CLIENT_TOOLS).flat(),
  ...absent.map((major) => `cosign${major}`),
]

describe('images signed by cosign', { skip: missing({ tools }) }, () => {
  const stack = new AsyncDisposableStack()
  const clients: Client[] = []

  before(async () => {
    const work = await temporaryDirectory(stack)
    const sigstore = await startPrivateSigstore(stack, work)
    const program = cosignPath(3) ?? ''
    const keys = {
      right: await generateKeys(program, work, 'right'),
      wrong: await generateKeys(program, work, 'wrong'),
    }
    const keyPem = await readFile(keys.right.publicKey, 'utf8')
    const policies = CASES.filter(({ who }) => who === 'right').map((one) => policyOf(one, keyPem))
    const house = await openHouse(stack, { policies, privateTrustRoot: sigstore.trustedRoot })
    const predicateFile = join(work, 'predicate.json')
    await writeFile(predicateFile, JSON.stringify({ reviewer: 'somebody' }))

    for (const one of CASES) {
      const repository = repositoryOf(one)
      const host = house.registry.host
      const digest = await pushImage(
        { host, repository },
        'v1',
        buildImage({ files: { 'name.txt': repository } }),
      )
      const what: CosignInput['what'] =
        one.what === 'sign'
          ? { kind: 'sign' }
          : { kind: 'attest', predicateFile, predicateType: PREDICATE_TYPE }
      const identity = { issuer: ISSUER, subject: one.who === 'right' ? RELEASE : FORK }
      const signing: CosignInput['signing'] =
        one.by === 'key' ? { by: 'key', key: keys[one.who] } : { by: 'identity', identity, sigstore }
      await cosign({ major: one.major, image: `${host}/${repository}@${digest}`, what, signing })
    }
    for (const name of Object.keys(CLIENT_TOOLS) as readonly ClientName[]) {
      const client = await startClient(name, house.directory, house.proxy.host)
      stack.defer(() => client.stop())
      clients.push(client)
    }
  })
  after(() => stack.disposeAsync())

  for (const one of CASES) {
    const accepted = one.who === 'right'
    const says = one.by === 'key' ? /key/ : /mallory/
    test(`cosign ${one.major}, ${one.what} by the ${one.who} ${one.by}: ${accepted ? 'accepted' : 'refused'}`, async () => {
      for (const client of clients) {
        const pulled = await client.pull(`${repositoryOf(one)}:v1`)
        assert.equal(pulled.ok, accepted, `${client.name}: ${pulled.output}`)
        if (!accepted) {
          assert.match(pulled.output, new RegExp(`cosign${one.major}-${one.by}-${one.what}`), client.name)
          assert.match(pulled.output, says, client.name)
        }
      }
    })
  }
})
