import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { pushSignedImage, type SignedImage } from '../../load-tests/image.ts'
import { CLIENT_TOOLS, REGISTRY_NAME, startClient, type ClientName } from './harness/clients.ts'
import { imagePolicy, revocation } from './harness/documents.ts'
import { temporaryDirectory } from './harness/house.ts'
import { answers, freePort, start, until, type Running } from './harness/process.ts'
import { startRegistry } from './harness/registry.ts'
import { missing } from './harness/tools.ts'

/** Policies that change while real clients pull, and two rings that are told apart by the listener. */

const NAMES = ['docker', 'containerd', 'podman', 'skopeo'] as const satisfies readonly ClientName[]
const MAIN = new URL('../../src/main.ts', import.meta.url).pathname
const skip = missing({ tools: ['docker-registry', ...NAMES.flatMap((name) => [...CLIENT_TOOLS[name]])] })

type World = {
  readonly directory: string
  readonly image: SignedImage
  readonly proxy: Running
  /** `127.0.0.1:port` of the ring where all is enforced, and of the one where all is observed. */
  readonly hosts: Readonly<Record<'default' | 'lab', string>>
  /** Writes the policies and waits until the proxy has looked at them. */
  readonly change: (text: string, event: 'loaded' | 'refused') => Promise<void>
}

/** What the lab's ring only observes. */
const IN_LAB = { rings: { lab: 'observe' } }
const policy = ({ publicKey }: SignedImage): object => imagePolicy(publicKey, IN_LAB)
const revoked = ({ digest }: SignedImage): object => revocation(digest, IN_LAB)

const documents = (...all: readonly object[]): string => all.map((one) => JSON.stringify(one)).join('\n---\n')

async function openWorld(stack: AsyncDisposableStack): Promise<World> {
  const directory = await temporaryDirectory(stack)
  const registry = await startRegistry(directory)
  stack.defer(() => registry.stop())
  const image = await pushSignedImage(registry.host, 'acme/app', 'v1')
  const [data, admin, lab] = [await freePort(), await freePort(), await freePort()]
  const policies = join(directory, 'policies')
  await mkdir(policies)
  const file = join(policies, 'all.yaml')
  await writeFile(file, documents(policy(image)))
  const config = {
    listen: { data: { port: data }, admin: { port: admin }, additional: [{ name: 'lab', port: lab }] },
    rings: [{ name: 'lab', when: [{ listener: 'lab' }] }],
    dataDirectory: join(directory, 'data'),
    upstreams: { [REGISTRY_NAME]: { url: `http://${registry.host}`, allowPrivateAddresses: true } },
    defaultUpstream: REGISTRY_NAME,
    policies: { directory: policies, unmatched: 'enforce', reloadEvery: 'off' },
    trust: { refresh: 'off' },
  }
  const path = join(directory, 'portcullis.yaml')
  await writeFile(path, JSON.stringify(config))
  const command = { command: process.execPath, args: [MAIN, 'serve', '--config', path] }
  const proxy = await start('portcullis', command, () => answers(`http://127.0.0.1:${admin}/readyz`))
  stack.defer(() => proxy.stop())
  return {
    directory,
    image,
    proxy,
    hosts: { default: `127.0.0.1:${data}`, lab: `127.0.0.1:${lab}` },
    async change(text, event) {
      const events = () => proxy.output().split(`"kind":"${event}"`).length
      const seen = events()
      await writeFile(file, text)
      process.kill(proxy.pid, 'SIGHUP')
      await until(`policies are ${event}`, () => events() > seen)
    },
  }
}

describe('policies that change while clients pull', { skip }, () => {
  let stack: AsyncDisposableStack
  let world: World
  let nodes = 0
  before(async () => {
    stack = new AsyncDisposableStack()
    world = await openWorld(stack)
  })
  after(() => stack.disposeAsync())

  for (const name of NAMES) {
    test(`${name}: revoked in one ring, warned of in the other; a broken file lifts nothing`, async () => {
      const { image, directory, hosts, change } = world
      const pulled = async (ring: 'default' | 'lab', reference: string) => {
        // A node that has nothing yet: what one has already it does not ask for again.
        const own = join(directory, String((nodes += 1)))
        await mkdir(own, { recursive: true })
        const client = await startClient(name, own, hosts[ring])
        try {
          return await client.pull(`acme/app${reference}`)
        } finally {
          await client.stop()
        }
      }
      const good = await pulled('default', ':v1')
      assert.ok(good.ok, good.output)
      await change(documents(policy(image), revoked(image)), 'loaded')
      for (const reference of [':v1', `@${image.digest}`]) {
        // oxlint-disable-next-line no-await-in-loop -- one client at a time
        const refused = await pulled('default', reference)
        assert.equal(refused.ok, false, refused.output)
        assert.match(refused.output, /blocked by revocation incident-7/)
      }
      const lab = await pulled('lab', ':v1')
      assert.ok(lab.ok, lab.output)
      await change('kind: Nonsense\n', 'refused')
      assert.equal((await pulled('default', ':v1')).ok, false)
      await change(documents(policy(image)), 'loaded')
      const lifted = await pulled('default', ':v1')
      assert.ok(lifted.ok, lifted.output)
    })
  }
})
