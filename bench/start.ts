import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import type { Digest } from '../src/oci/digest.ts'
import { signImage } from '../src/testing/evidence.ts'
import { buildImage, descriptorOf, publishImage } from '../src/testing/images.ts'
import { startRegistry, type TestRegistry } from '../src/testing/registry.ts'
import { createSigstore, type Sigstore } from '../src/testing/sigstore.ts'
import { createTufRepository } from '../src/testing/tuf-repository.ts'
import { freePort } from '../test/e2e/harness/process.ts'

/**
 * From the start of the process to the first manifest that it serves: `node bench/start.ts [--rounds N]`. The proxy as an
 * operator runs it, over a data directory that a run before has filled: a trust root that came by TUF, a keyless policy, an
 * image with its bundle. Its registry and its TUF repository are down, so this is the restart in an outage; the first start
 * of all, with both up, is a row of its own. Beside it what Node itself takes, because no program of Node starts sooner.
 */

const ISSUER = 'https://token.actions.githubusercontent.com'
const SUBJECT = 'https://github.com/acme/app/.github/workflows/release.yml@refs/tags/v1.0.0'
const REPOSITORY = 'acme/app'
const TAG = 'v1'
const TARGET = 'trusted_root.json'
const ACCEPT = 'application/vnd.oci.image.manifest.v1+json'
const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url))
const SERVER = `require('node:http').createServer((_, answer) => answer.end('ok')).listen(Number(process.argv[1]), '127.0.0.1')`

/** Between two questions, in milliseconds: asking must not take the processor from who is asked. */
const ASK_EVERY_MS = 2
const ASKED_MAX = 10_000
const CLOCK_TICK_MS = 10

type Started = { readonly wallMs: number; readonly cpuMs: number }
type Program = {
  readonly args: readonly string[]
  /** What it serves once it runs; undefined: it is done when it ends. */
  readonly url: string | undefined
  /** Undefined: every start compiles. */
  readonly compileCache: string | undefined
  readonly before?: () => Promise<void>
}

type Site = { readonly config: string; readonly data: string; readonly manifests: string }

/** What runs is the same as in `portcullis serve`; no file of it is shared with another site. */
async function writeSite(
  directory: string,
  {
    registry,
    root,
    tufUrl,
    expression,
  }: { registry: TestRegistry; root: Buffer; tufUrl: string; expression: boolean },
): Promise<Site> {
  const [data, admin] = [await freePort(), await freePort()]
  const authority = {
    name: 'release',
    keyless: { trustRoot: 'sigstore', identities: [{ issuer: ISSUER, subject: SUBJECT }] },
    ...(expression
      ? { expressions: [{ expression: 'signer.subject.startsWith("https://github.com/acme/")' }] }
      : {}),
  }
  const policy = {
    apiVersion: 'portcullis.dev/v1alpha1',
    kind: 'ImagePolicy',
    metadata: { name: 'signed' },
    spec: { mode: 'enforce', images: [{ glob: `${registry.host}/**` }], authorities: [authority] },
  }
  const config = {
    listen: { data: { port: data }, admin: { port: admin } },
    dataDirectory: 'data',
    upstreams: { [registry.host]: { url: registry.url, allowPrivateAddresses: true } },
    defaultUpstream: registry.host,
    // What a tag was when the registry was there last is too old by now.
    cache: { tagTtl: '1s' },
    trust: {
      roots: {
        sigstore: { kind: 'tuf', url: tufUrl, root: 'root.json' },
        'public-good': { kind: 'public-good', mirror: tufUrl },
      },
    },
    policies: { directory: 'policies' },
  }
  await mkdir(join(directory, 'policies'), { recursive: true })
  await writeFile(join(directory, 'root.json'), root)
  await writeFile(join(directory, 'policies', 'signed.yaml'), JSON.stringify(policy))
  await writeFile(join(directory, 'portcullis.yaml'), JSON.stringify(config))
  const manifests = `http://127.0.0.1:${data}/v2/${REPOSITORY}/manifests`
  return { config: join(directory, 'portcullis.yaml'), data: join(directory, 'data'), manifests }
}

async function pushImage(registry: TestRegistry, sigstore: Sigstore): Promise<Digest> {
  const image = buildImage({
    layers: Array.from({ length: 12 }, (_, layer) => ({ [`file-${layer}`]: `layer ${layer}\n` })),
  })
  publishImage(registry, REPOSITORY, TAG, image)
  const signer = sigstore.keyless({ subject: SUBJECT, issuer: ISSUER })
  await signImage({ registry, repository: REPOSITORY, subject: descriptorOf(image) }, sigstore, signer)
  return image.digest
}

/** Starts the program, waits until it has served, and ends it. */
async function timed({ args, url, compileCache, before }: Program): Promise<Started> {
  await before?.()
  const env = {
    PATH: process.env['PATH'],
    NODE_ENV: 'production',
    ...(compileCache === undefined
      ? { NODE_DISABLE_COMPILE_CACHE: '1' }
      : { NODE_COMPILE_CACHE: compileCache }),
  }
  const start = performance.now()
  const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'ignore', 'inherit'] })
  try {
    if (url === undefined) await once(child, 'exit')
    else await served(child, url)
    return { wallMs: performance.now() - start, cpuMs: await cpuMs(child.pid) }
  } finally {
    await end(child)
  }
}

async function served(child: ChildProcess, url: string): Promise<void> {
  for (let asked = 0; asked < ASKED_MAX; asked += 1) {
    if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}`)
    // oxlint-disable-next-line no-await-in-loop -- one question at a time
    const status = await statusOf(url)
    if (status === 200) return
    if (status !== undefined) throw new Error(`${url} answered ${status}`)
    // oxlint-disable-next-line no-await-in-loop -- until it listens
    await pause(ASK_EVERY_MS)
  }
  throw new Error(`${url} was never served`)
}

/** Undefined where nobody listens. */
async function statusOf(url: string): Promise<number | undefined> {
  const asked = request(url, { headers: { accept: ACCEPT }, agent: false })
  asked.end()
  try {
    const [answer] = await once(asked, 'response')
    answer.resume()
    await once(answer, 'end')
    return answer.statusCode
  } catch {
    return undefined
  }
}

/** Of all its threads so far, by the kernel's clock, whose ticks are 10 ms; NaN where there is none, or where it has ended. */
async function cpuMs(pid: number | undefined): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  // proc_pid_stat(5): utime and stime, 14th and 15th; counted from behind the name, which may hold anything.
  const [utime, stime] = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .slice(11, 13)
  return (Number(utime) + Number(stime)) * CLOCK_TICK_MS
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGTERM')
  await ended
}

const PLAIN = 'node -e 0'
const BARE = 'node:http, no work'

async function main(rounds: number): Promise<void> {
  await using stack = new AsyncDisposableStack()
  const directory = await mkdtemp(join(tmpdir(), 'portcullis-bench-start-'))
  stack.defer(() => rm(directory, { recursive: true, force: true }))
  const registry = await startRegistry()
  stack.defer(() => registry.stop())
  const sigstore = await createSigstore()
  const digest = await pushImage(registry, sigstore)
  const tuf = await createTufRepository({ targets: { [TARGET]: sigstore.trustedRootJson() } })
  stack.defer(() => tuf.close())
  const compileCache = join(directory, 'compile-cache')
  const site = async (name: string, expression = false): Promise<Site> =>
    await writeSite(join(directory, name), { registry, root: tuf.root(), tufUrl: tuf.url, expression })
  const serve = ({ config, manifests }: Site, reference: string): Program => {
    return { args: [MAIN, 'serve', '--config', config], url: `${manifests}/${reference}`, compileCache }
  }

  const results = new Map<string, Started[]>()
  const measure = async (programs: Readonly<Record<string, Program>>): Promise<void> => {
    for (let round = 0; round <= rounds; round += 1) {
      for (const [name, program] of Object.entries(programs)) {
        // oxlint-disable-next-line no-await-in-loop -- nothing else may run beside it
        const took = await timed(program)
        // Round 0 fills the disk's caches, and the compile cache.
        if (round > 0) results.set(name, [...(results.get(name) ?? []), took])
      }
    }
  }

  const first = await site('first')
  const emptied = async () => await rm(first.data, { recursive: true, force: true })
  await measure({ 'first start, with nothing on disk': { ...serve(first, TAG), before: emptied } })
  const [plain, withExpression] = [await site('plain'), await site('expression', true)]
  for (const one of [plain, withExpression]) await timed(serve(one, TAG))
  await registry.stop()
  await tuf.close()
  const port = await freePort()
  await measure({
    [PLAIN]: { args: ['-e', '0'], url: undefined, compileCache },
    [BARE]: { args: ['-e', SERVER, String(port)], url: `http://127.0.0.1:${port}/`, compileCache },
    'restart in an outage': serve(plain, digest),
    'the same, a tag that nobody can confirm': serve(plain, TAG),
    'the same, a policy has an expression': serve(withExpression, digest),
    'the same, without compile cache': { ...serve(plain, digest), compileCache: undefined },
  })
  print(results)
}

function print(results: ReadonlyMap<string, readonly Started[]>): void {
  const [base = Number.NaN] = column(results.get(BARE) ?? [], 'wallMs')
  console.log(row('until the first answer', 'median', 'low', 'high', 'cpu', 'x bare'))
  for (const [name, starts] of results) {
    const [median = Number.NaN, low = Number.NaN, high = Number.NaN] = column(starts, 'wallMs')
    const [cpu = Number.NaN] = column(starts, 'cpuMs')
    const cells = [median, low, high, cpu].map((ms) => (Number.isNaN(ms) ? '-' : `${ms.toFixed(0)} ms`))
    console.log(row(name, ...cells, (median / base).toFixed(1)))
  }
}

/** Median, lowest, highest. */
function column(starts: readonly Started[], what: keyof Started): readonly number[] {
  const values = starts.map((one) => one[what]).toSorted((a, b) => a - b)
  return [values[Math.floor(values.length / 2)], values[0], values.at(-1)].map((value) => value ?? Number.NaN)
}

function row(label: string, ...cells: readonly string[]): string {
  return [label.padEnd(44), ...cells.map((cell) => cell.padStart(10))].join('')
}

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '10' } } })
await main(Number(values.rounds))
