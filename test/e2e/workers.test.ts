import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, before, describe, test } from 'node:test'
import { createSigner, pushSignedImage, type SignedImage } from '../../load-tests/image.ts'
import type { Digest } from '../../src/oci/digest.ts'
import { buildImage } from '../../src/testing/images.ts'
import { CLIENT_TOOLS, startClient, type Client, type ClientName } from './harness/clients.ts'
import { imagePolicy, revocation } from './harness/documents.ts'
import { temporaryDirectory } from './harness/house.ts'
import { until } from './harness/process.ts'
import { pushImage } from './harness/push.ts'
import { startRegistry } from './harness/registry.ts'
import { serve, type Served } from './harness/serve.ts'
import { missing } from './harness/tools.ts'

/** Real clients at a keeper with two workers: which of them answers makes no difference, nor that one of them dies. */

const NAMES = ['docker', 'containerd', 'podman', 'skopeo'] as const satisfies readonly ClientName[]
const skip = missing({ tools: ['docker-registry', ...NAMES.flatMap((name) => [...CLIENT_TOOLS[name]])] })
const READY = 'ready\n'

const SETTINGS = [
  { name: 'two workers', processes: 2, config: { workers: 2 } },
  { name: 'two workers and one for cold pulls', processes: 3, config: { workers: 2, coldWorkers: 1 } },
] as const
const HANDED_OVER = /^portcullis_pulls_handed_over_total\{result="answered"\} (\d+)$/m

for (const { name, processes, config } of SETTINGS) {
  describe(name, { skip }, () => {
    const stack = new AsyncDisposableStack()
    const clients: Client[] = []
    let directory: string
    let proxy: Served
    let signed: SignedImage
    let unsigned: Digest

    before(async () => {
      directory = await temporaryDirectory(stack)
      const registry = await startRegistry(directory)
      stack.defer(() => registry.stop())
      const images = ['signed', 'unsigned'].map((name) => buildImage({ files: { 'etc/name': `${name}\n` } }))
      const [good = assert.fail(), bad = assert.fail()] = images
      signed = await pushSignedImage(registry.host, 'acme/app', 'v1', { image: good, signer: createSigner() })
      unsigned = await pushImage({ host: registry.host, repository: 'acme/bare' }, 'v1', bad)
      proxy = await serve(stack, {
        directory,
        upstreamUrl: `http://${registry.host}`,
        policies: [imagePolicy(signed.publicKey)],
        config,
      })
    })
    after(() => stack.disposeAsync())

    for (const tool of NAMES) {
      test(`${tool} pulls what is signed, and nothing else`, async () => {
        const client = await startClient(tool, directory, proxy.host)
        stack.defer(() => client.stop())
        clients.push(client)
        await assertPulled(client, 'acme/app:v1')
        await assertRefused(client, 'acme/bare:v1', /blocked by policy signed/)
        await assertRefused(client, `acme/bare@${unsigned}`, /blocked by policy signed/)
      })
    }

    test('who judges an image that nobody knows is as it is set', async () => {
      const metrics = await (await fetch(`${proxy.adminUrl}/metrics`)).text()
      const [, answered = '0'] = HANDED_OVER.exec(metrics) ?? []
      assert.equal(Number(answered) > 0, 'coldWorkers' in config, `${answered} pulls were handed over`)
    })

    test('every client pulls on when any of them is killed, and when it is back', async () => {
      const all = await workersOf(proxy)
      assert.equal(all.length, processes)
      for (const worker of all) {
        process.kill(worker, 'SIGKILL')
        for (const client of clients) {
          await assertPulled(client, 'acme/app:v1')
          await assertRefused(client, 'acme/bare:v1', /blocked by policy signed/)
        }
        await until('it is replaced', async () => {
          const workers = await workersOf(proxy)
          return workers.length === all.length && !workers.includes(worker) && (await readiness()) === READY
        })
      }
      for (const client of clients) await assertPulled(client, `acme/app@${signed.digest}`)
    })

    test('a revocation counts for the very next pull of every client, and so does its end', async () => {
      await proxy.change([imagePolicy(signed.publicKey), revocation(signed.digest)])
      for (const client of clients) {
        await assertRefused(client, 'acme/app:v1', /blocked by revocation incident-7/)
        await assertRefused(client, `acme/app@${signed.digest}`, /blocked by revocation incident-7/)
      }
      await proxy.change([imagePolicy(signed.publicKey)])
      for (const client of clients) await assertPulled(client, 'acme/app:v1')
    })

    async function readiness(): Promise<string> {
      return await (await fetch(`${proxy.adminUrl}/readyz`)).text()
    }
  })
}

/** Linux: the processes that the keeper has started. */
async function workersOf({ running: { pid } }: Served): Promise<readonly number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')
  return text.split(' ').flatMap((child) => (child.trim() === '' ? [] : [Number(child)]))
}

/** As a node that has nothing yet. */
async function assertPulled(client: Client, image: string): Promise<void> {
  await client.clean()
  const pulled = await client.pull(image)
  assert.ok(pulled.ok, pulled.output)
}

async function assertRefused(client: Client, image: string, why: RegExp): Promise<void> {
  await client.clean()
  const pulled = await client.pull(image)
  assert.equal(pulled.ok, false, `it was pulled:\n${pulled.output}`)
  assert.match(pulled.output, why)
}
