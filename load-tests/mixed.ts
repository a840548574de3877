import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { digestOf } from '../src/oci/digest.ts'
import { buildImage, buildIndex, type BuiltIndex } from '../src/testing/images.ts'
import { atLeast, exactly } from './checks.ts'
import { repeatPulls } from './clients.ts'
import { pushSignedImage } from './image.ts'
import { MANIFEST_ACCEPT, type Target } from './measure.ts'
import {
  keyPolicy,
  startNginxPeer,
  startPeers,
  startPortcullisPeer,
  startPullThroughPeer,
  type Peer,
} from './peers.ts'
import { cpuSeconds } from './process-cpu.ts'
import { median, spreadOf, spreadText } from './report.ts'
import { interleave, standardConditions } from './rounds.ts'
import { NGINX, OURS } from './rows.ts'
import type { Scenario, ScenarioInput, ScenarioResult, Table } from './scenario.ts'
import { startUpstream } from './upstream.ts'
import { startZotPeer } from './zot.ts'

const REPOSITORY = 'load/mixed'
const TAG = 'stable'
const LAYER_BYTES = [40_000, 400_000, 2_000_000]
/** A node that is filled with pods pulls a few images at once. */
const CLIENTS = 8
const WARM_UP_SECONDS = 1

type Sample = {
  readonly pullsPerSecond: number
  readonly p50Ms: number
  readonly serverCpuMs: number
  readonly failed: number
}
type Cell = { readonly peer: Peer; readonly samples: Sample[] }

/** Two platforms, as most public images have at least; the layers do not compress. */
function buildMultiPlatform(): BuiltIndex {
  return buildIndex(
    ['amd64', 'arm64'].map((architecture) =>
      buildImage({ architecture, layers: LAYER_BYTES.map((bytes) => ({ file: randomBytes(bytes) })) }),
    ),
  )
}

type Step = { readonly path: string; readonly method: 'GET' | 'HEAD'; readonly bodyBytes: number }

/** What containerd asks for: the tag's digest, the index, the manifest of its platform, config and layers. */
function pullOf(index: BuiltIndex): readonly Step[] {
  const [child] = index.images
  if (child === undefined) throw new RangeError('an index without images')
  const blobs = [child.config, ...child.layers.map(({ bytes }) => bytes)]
  return [
    { path: `manifests/${TAG}`, method: 'HEAD', bodyBytes: 0 },
    { path: `manifests/${index.digest}`, method: 'GET', bodyBytes: index.manifest.length },
    { path: `manifests/${child.digest}`, method: 'GET', bodyBytes: child.manifest.length },
    ...blobs.map((bytes) => ({
      path: `blobs/${digestOf(bytes)}`,
      method: 'GET' as const,
      bodyBytes: bytes.length,
    })),
  ]
}

function targetsOf(peer: Peer, steps: readonly Step[]): readonly Target[] {
  return steps.map(({ path, method, bodyBytes }) => ({
    url: `${peer.url}/v2/${REPOSITORY}/${path}`,
    method,
    headers: { accept: MANIFEST_ACCEPT },
    bodyBytes,
  }))
}

/** Every body of one pull, held against its digest: what is measured must be the right answer. */
async function checkPull(targets: readonly Target[]): Promise<void> {
  for (const { url, method, headers } of targets) {
    const response = await fetch(url, { method, headers })
    const body = Buffer.from(await response.arrayBuffer())
    const isRight = response.status === 200 && (method === 'HEAD' || url.endsWith(digestOf(body)))
    if (isRight) continue
    throw new Error(`${method} ${url}: ${response.status}, ${body.toString('utf8', 0, 500)}`)
  }
}

async function measurePeer(peer: Peer, targets: readonly Target[], seconds: number): Promise<Sample> {
  const before = await cpuSeconds(peer.running.pid)
  const result = await repeatPulls(targets, { clients: CLIENTS, seconds })
  const cpu = (await cpuSeconds(peer.running.pid)) - before
  return {
    pullsPerSecond: result.pulls / (result.elapsedMs / 1000),
    p50Ms: median(result.latenciesMs),
    serverCpuMs: (cpu * 1000) / result.pulls,
    failed: result.failed,
  }
}

function rates({ samples }: Cell): readonly number[] {
  return samples.map(({ pullsPerSecond }) => pullsPerSecond)
}

function failedOf({ samples }: Cell): number {
  return samples.reduce((sum, { failed }) => sum + failed, 0)
}

function tableOf(cells: readonly Cell[], bytesPerPull: number): Table {
  const ours = cells.find(({ peer }) => peer.name === OURS)
  return {
    columns: [
      'server',
      'pulls/s',
      'MB/s',
      'p50 ms a pull',
      'server CPU ms a pull',
      'Portcullis : this',
      'failed',
    ],
    rows: cells.map((cell) => [
      cell.peer.name,
      spreadText(rates(cell), 0),
      ((median(rates(cell)) * bytesPerPull) / 1e6).toFixed(0),
      spreadText(
        cell.samples.map(({ p50Ms }) => p50Ms),
        1,
      ),
      spreadText(
        cell.samples.map(({ serverCpuMs }) => serverCpuMs),
        2,
      ),
      (median(ours === undefined ? [] : rates(ours)) / median(rates(cell))).toFixed(2),
      String(failedOf(cell)),
    ]),
  }
}

/** Whole pulls of a signed image of two platforms, warm, as a node makes them. */
async function run(input: ScenarioInput): Promise<ScenarioResult> {
  await using stack = new AsyncDisposableStack()
  const { directory, rounds, seconds, progress } = input
  const { registryHost, host: upstream } = await startUpstream(stack, directory)
  const index = buildMultiPlatform()
  const { publicKey } = await pushSignedImage(registryHost, REPOSITORY, TAG, { image: index })
  const policies = [keyPolicy(publicKey)]
  const peers = await startPeers(stack, [
    () => startPortcullisPeer({ directory: join(directory, 'portcullis'), upstream, policies }),
    () => startNginxPeer(join(directory, 'nginx'), upstream),
    () => startZotPeer(join(directory, 'zot'), upstream),
    () => startPullThroughPeer(join(directory, 'pull-through'), upstream),
  ])
  const steps = pullOf(index)
  const cells = peers.map((peer) => ({ peer, samples: new Array<Sample>() }))
  await interleave([cells], rounds, async ({ peer, samples }, round) => {
    const targets = targetsOf(peer, steps)
    await checkPull(targets)
    const sample = await measurePeer(peer, targets, round === 0 ? WARM_UP_SECONDS : seconds)
    if (round === 0) return
    samples.push(sample)
    progress(`round ${round}: ${peer.name}: ${sample.pullsPerSecond.toFixed(0)} pulls/s`)
  })
  const bytesPerPull = steps.reduce((sum, { bodyBytes }) => sum + bodyBytes, 0)
  const nginx = cells.find(({ peer }) => peer.name === NGINX)
  const ours = cells.find(({ peer }) => peer.name === OURS)
  const ratio =
    ours === undefined || nginx === undefined ? undefined : median(rates(ours)) / median(rates(nginx))
  const bars = cells.map((cell) => ({ label: cell.peer.name, ...spreadOf(rates(cell)) }))
  return {
    conditions: [
      ...standardConditions(input, `${CLIENTS} clients with one keep-alive connection each`),
      `a pull: HEAD of the tag, index, manifest of one platform, config, three layers; ${(bytesPerPull / 1e6).toFixed(2)} MB`,
    ],
    tables: [tableOf(cells, bytesPerPull)],
    plots: [
      {
        kind: 'bars',
        name: 'pulls',
        title: 'Whole pulls, warm, one core',
        unit: 'pulls/s',
        groups: [{ label: 'pulls', bars }],
      },
    ],
    checks: [
      exactly(
        'failed pulls',
        cells.reduce((sum, cell) => sum + failedOf(cell), 0),
        0,
      ),
      atLeast('pulls, rate to nginx', ratio, 0.4),
    ],
  }
}

export const mixed: Scenario = {
  name: 'mixed',
  about:
    'Whole pulls of a signed image of two platforms that every server has: tag, index, manifest, config, layers.',
  tools: ['docker-registry', 'nginx'],
  run,
}
