import { spawn, type ChildProcess } from 'node:child_process'
import { generateKeyPairSync, sign, type KeyObject } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { Agent, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { digestOf, type Digest } from '../src/oci/digest.ts'
import { MEDIA_TYPE } from '../src/oci/manifest-types.ts'
import { parseTag, type Repository } from '../src/oci/reference.ts'
import { contentPath } from '../src/store/content-files.ts'
import { createContentIndex } from '../src/store/content-index.ts'
import { openDatabase } from '../src/store/database.ts'
import { createStateStore } from '../src/store/state.ts'
import { simpleSigningPayload } from '../src/testing/statements.ts'
import { freePort } from '../test/e2e/harness/process.ts'

/**
 * What a proxy holds in memory once it knows a hundred thousand verdicts: `node bench/memory.ts [--images N]`. It is
 * `portcullis serve` itself in a process of its own, over a data directory as a proxy leaves it: manifests of twelve layers,
 * tags, signatures by a key. Only the filling is short-cut, by the store's own functions; every image is then pulled once by
 * its tag and so verified and decided from disk, with the registry down. Everything that a pull leaves behind is there.
 */

const REGISTRY = 'registry.test'
const TAG = parseTag('v1')
const LAYERS = 12
/** Images that a team has: names repeat, digests do not. */
const IMAGES_PER_REPOSITORY = 20
const CONNECTIONS = 8
const PROGRAM = fileURLToPath(new URL('../bin/portcullis', import.meta.url))
/** The collector is asked for by a signal, so that the program itself is none but the one that runs everywhere. */
const COLLECT = `data:text/javascript,${encodeURIComponent("process.on('SIGUSR2', () => globalThis.gc())")}`
const COLLECTED_MS = 3_000
const MIB = 2 ** 20

type Memory = { readonly rssMib: number; readonly heapMib: number; readonly externalMib: number }
type Proxy = { readonly child: ChildProcess; readonly data: number; readonly admin: number }

function manifestOf(index: number): Buffer {
  const layer = (number: number) => ({
    mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
    digest: digestOf(Buffer.from(`layer ${number} of ${index}`)),
    size: 1_000_000 + number,
  })
  const config = {
    mediaType: 'application/vnd.oci.image.config.v1+json',
    digest: digestOf(Buffer.from(`config of ${index}`)),
    size: 7_000,
  }
  const layers = Array.from({ length: LAYERS }, (_, number) => layer(number))
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociManifest, config, layers }))
}

function repositoryOf(index: number): Repository {
  return {
    registry: REGISTRY,
    name: `team-${Math.floor(index / IMAGES_PER_REPOSITORY)}/service-${index % IMAGES_PER_REPOSITORY}`,
  }
}

/** Manifest, tag and signature of one image, where a proxy that has pulled it keeps them. */
function fillOne(index: number, { content, state, place, key }: Filling): void {
  const bytes = manifestOf(index)
  const digest = digestOf(bytes)
  const repository = repositoryOf(index)
  const { parent, path } = contentPath(place, digest)
  mkdirSync(parent, { recursive: true })
  writeFileSync(path, bytes)
  content.adopt(digest, bytes.length, NOW)
  state.addManifest(repository, digest, MEDIA_TYPE.ociManifest)
  if (TAG !== undefined) state.setTag(repository, TAG, digest, NOW)
  state.setEvidence(repository, digest, signedBy(key, repository, digest), NOW)
}

const NOW = new Date()

type Filling = {
  readonly content: ReturnType<typeof createContentIndex>
  readonly state: ReturnType<typeof createStateStore>
  /** Of the content. */
  readonly place: string
  readonly key: KeyObject
}

function signedBy(
  key: KeyObject,
  { registry, name }: Repository,
  digest: Digest,
): Parameters<Filling['state']['setEvidence']>[2] {
  const bytes = simpleSigningPayload(`${registry}/${name}`, digest)
  const annotations = { 'dev.cosignproject.cosign/signature': sign('sha256', bytes, key).toString('base64') }
  const source = {
    found: 'signature-tag',
    manifest: digestOf(Buffer.from(`signature of ${digest}`)),
    blob: digestOf(bytes),
  } as const
  return { candidates: [{ form: 'simple-signing', source, bytes, annotations }], rejected: [], failures: [] }
}

function fill(directory: string, images: number): { readonly publicKey: string } {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const database = openDatabase(join(directory, 'portcullis.db'))
  const onError = (error: Error): never => {
    throw error
  }
  const now = (): Date => NOW
  const state = createStateStore(database, { now, onError })
  const content = createContentIndex(database, now)
  const filling = { content, state, place: join(directory, 'content'), key: privateKey }
  for (let index = 0; index < images; index += 1) fillOne(index, filling)
  content.flush()
  state.close()
  return { publicKey: publicKey.export({ type: 'spki', format: 'pem' }).toString() }
}

async function startProxy(directory: string, publicKey: string): Promise<Proxy> {
  const [data, admin, dead] = [await freePort(), await freePort(), await freePort()]
  const policy = {
    apiVersion: 'portcullis.dev/v1alpha1',
    kind: 'ImagePolicy',
    metadata: { name: 'signed' },
    spec: {
      mode: 'enforce',
      images: [{ glob: `${REGISTRY}/**` }],
      authorities: [{ name: 'key', key: { data: publicKey } }],
    },
  }
  const config = {
    listen: { data: { port: data }, admin: { port: admin } },
    dataDirectory: directory,
    upstreams: { [REGISTRY]: { url: `http://127.0.0.1:${dead}`, allowPrivateAddresses: true } },
    defaultUpstream: REGISTRY,
    // Long: a pull by tag is to be one of the tag that is remembered.
    cache: { tagTtl: '1d' },
    trust: { refresh: 'off' },
    policies: { directory: join(directory, 'policies') },
  }
  await mkdir(config.policies.directory)
  await writeFile(join(config.policies.directory, 'signed.yaml'), JSON.stringify(policy))
  const path = join(directory, 'portcullis.yaml')
  await writeFile(path, JSON.stringify(config))
  const flags = `--expose-gc --import=${COLLECT}`
  const env = { PATH: process.env['PATH'], NODE_ENV: 'production', NODE_OPTIONS: flags }
  const child = spawn(PROGRAM, ['serve', '--config', path], {
    env,
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const agent = new Agent({ keepAlive: true })
  while ((await get(`http://127.0.0.1:${admin}/readyz`, agent).catch(() => 0)) !== 200) {
    if (child.exitCode !== null) throw new Error(`the proxy ended with ${child.exitCode}`)
    await pause(50)
  }
  agent.destroy()
  return { child, data, admin }
}

async function get(url: string, agent: Agent): Promise<number> {
  const asked = request(url, { agent, headers: { accept: MEDIA_TYPE.ociManifest } })
  asked.end()
  const [answer] = await once(asked, 'response')
  answer.resume()
  await once(answer, 'end')
  return answer.statusCode
}

/** Each image once, by its tag. */
async function pullAll({ data }: Proxy, images: number): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS })
  let next = 0
  const pull = async (): Promise<void> => {
    for (let index = next++; index < images; index = next++) {
      const url = `http://127.0.0.1:${data}/v2/${repositoryOf(index).name}/manifests/v1`
      // oxlint-disable-next-line no-await-in-loop -- one after the other on each connection
      const status = await get(url, agent)
      if (status !== 200) throw new Error(`${url} answered ${status}`)
    }
  }
  await Promise.all(Array.from({ length: CONNECTIONS }, pull))
  agent.destroy()
}

async function memoryOf({ child, admin }: Proxy): Promise<Memory> {
  const status = await readFile(`/proc/${child.pid}/status`, 'utf8')
  const answer = await fetch(`http://127.0.0.1:${admin}/metrics`)
  const metrics = await answer.text()
  const metric = (name: string): number =>
    Number(new RegExp(`^${name}(?:{[^}]*})? (\\S+)`, 'm').exec(metrics)?.[1])
  return {
    rssMib: Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]) / 1024,
    heapMib: metric('nodejs_heap_size_used_bytes') / MIB,
    externalMib: metric('nodejs_external_memory_bytes') / MIB,
  }
}

async function collected(proxy: Proxy): Promise<Memory> {
  proxy.child.kill('SIGUSR2')
  await pause(COLLECTED_MS)
  return await memoryOf(proxy)
}

async function main(images: number): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'portcullis-bench-memory-'))
  try {
    const { publicKey } = fill(directory, images)
    const proxy = await startProxy(directory, publicKey)
    try {
      const empty = await collected(proxy)
      await pullAll(proxy, images)
      const asItIs = await memoryOf(proxy)
      const full = await collected(proxy)
      print(images, {
        'nothing pulled yet': empty,
        'all pulled, as it is': asItIs,
        'all pulled, collected': full,
      })
      const bytes = ((full.heapMib - empty.heapMib) * MIB) / images
      console.log(`${bytes.toFixed(0)} bytes of heap a verdict, with what of the manifests there is room for`)
    } finally {
      proxy.child.kill('SIGTERM')
      await once(proxy.child, 'exit')
    }
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

function print(images: number, rows: Readonly<Record<string, Memory>>): void {
  console.log(row(`${images} images, MiB`, 'rss', 'heap', 'external'))
  for (const [name, { rssMib, heapMib, externalMib }] of Object.entries(rows)) {
    console.log(row(name, ...[rssMib, heapMib, externalMib].map((mib) => mib.toFixed(1))))
  }
}

function row(label: string, ...cells: readonly string[]): string {
  return [label.padEnd(30), ...cells.map((cell) => cell.padStart(10))].join('')
}

const { values } = parseArgs({ options: { images: { type: 'string', default: '100000' } } })
await main(Number(values.images))
