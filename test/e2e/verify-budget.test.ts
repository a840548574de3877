import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { createSigner, pushSignedImage } from '../../load-tests/image.ts'
import { buildImage } from '../../src/testing/images.ts'
import { CLIENT_TOOLS, REGISTRY_NAME, startClient, type Client, type ClientName } from './harness/clients.ts'
import { imagePolicy } from './harness/documents.ts'
import { temporaryDirectory } from './harness/house.ts'
import { until } from './harness/process.ts'
import { startRegistry, type Door } from './harness/registry.ts'
import { serve, type Served } from './harness/serve.ts'
import { missing } from './harness/tools.ts'

/** What real clients see of a verdict that is late, while the registry keeps the evidence to itself: docs/stance.md. */

const NAMES = ['docker', 'containerd', 'podman', 'skopeo'] as const satisfies readonly ClientName[]
const skip = missing({ tools: ['docker-registry', ...NAMES.flatMap((name) => [...CLIENT_TOOLS[name]])] })

/** Which policy an image is under says what becomes of it meanwhile. */
const RULES = [
  { name: 'closed', mode: 'enforce', stance: 'closed' },
  { name: 'open', mode: 'enforce', stance: 'open' },
  { name: 'watched', mode: 'observe', stance: 'closed' },
] as const
type Rule = (typeof RULES)[number]['name']

const BUDGET = '400ms'
const HELD = (rule: Rule): RegExp =>
  new RegExp(`held by policy ${rule}: no verdict within 400 ms, the verifyBudget of policy ${rule}`, 'i')

function policy({ name, mode, stance }: (typeof RULES)[number], publicKey: string): object {
  const images = [{ glob: `${REGISTRY_NAME}/${name}/**` }]
  return imagePolicy(publicKey, { mode, stance, verifyBudget: BUDGET, images }, name)
}

const isEvidence = (path: string): boolean => /\/referrers\/|\/manifests\/sha256-/.test(path)

describe('a verdict that is late', { skip }, () => {
  const stack = new AsyncDisposableStack()
  let directory: string
  let door: Door
  let proxy: Served

  before(async () => {
    directory = await temporaryDirectory(stack)
    const registry = await startRegistry(directory)
    stack.defer(() => registry.stop())
    const signer = createSigner()
    for (const client of NAMES) {
      for (const { name } of RULES) {
        const image = buildImage({ files: { 'etc/name': `${name} ${client}\n` } })
        await pushSignedImage(registry.host, `${name}/${client}`, 'v1', { image, signer })
      }
    }
    door = await registry.openDoor()
    const policies = RULES.map((rule) => policy(rule, signer.publicKey))
    proxy = await serve(stack, { directory, upstreamUrl: door.url, policies })
  })
  after(() => stack.disposeAsync())

  for (const name of NAMES) {
    test(`${name}: is told why where it is held, and is served by verdict when that is there`, async () => {
      await using own = new AsyncDisposableStack()
      const client = await startClient(name, directory, proxy.host)
      own.defer(() => client.stop())
      door.forget()
      const release = door.hold(isEvidence)
      own.defer(release)
      for (const rule of ['closed', 'open'] as const) {
        const pulled = await client.pull(`${rule}/${name}:v1`)
        assert.equal(pulled.ok, false, pulled.output)
        assert.match(pulled.output, HELD(rule))
      }
      await assertPulled(client, `watched/${name}:v1`)
      await until('it is on record that the policy would have held it', () =>
        /"outcome":"serve".*"undetermined"/.test(told('watched', name)),
      )
      release()
      for (const { name: rule } of RULES) {
        await until(`there is a verdict of ${rule}/${name}`, () => isJudged(`${rule}/${name}`))
        await assertPulled(client, `${rule}/${name}:v1`)
        assert.equal(asked(`${rule}/${name}`), 1, 'the work went on: nobody began it again')
      }
    })
  }

  async function isJudged(repository: string): Promise<boolean> {
    const url = `http://${proxy.host}/v2/${REGISTRY_NAME}/${repository}/manifests/v1`
    const { status, headers } = await fetch(url, { method: 'HEAD' })
    return status === 200 && !headers.has('warning')
  }

  /** How often the registry was asked for signatures. */
  function asked(repository: string): number {
    return door.seen().filter(({ path }) => path.includes(`/${repository}/`) && path.endsWith('.sig')).length
  }

  /** The last decision about an image, as the log has it. */
  function told(rule: Rule, client: ClientName): string {
    const lines = proxy.running.output().split('\n')
    const of = `"image":"${REGISTRY_NAME}/${rule}/${client}"`
    return lines.findLast((line) => line.includes('"event":"decision"') && line.includes(of)) ?? ''
  }
})

async function assertPulled(client: Client, image: string): Promise<void> {
  await client.clean()
  const pulled = await client.pull(image)
  assert.ok(pulled.ok, pulled.output)
}
