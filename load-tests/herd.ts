import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { AnswerReader } from './answer-reader.ts'
import { exactly } from './checks.ts'
import { requestBytes } from './clients.ts'
import { createColdWorld, TAG, type ColdImage, type ColdWorld } from './cold/world.ts'
import { MANIFEST_ACCEPT, type Target } from './measure.ts'
import { metricTotal } from './metrics.ts'
import { startNginxPeer, startPeers, startPortcullisPeer, type Peer, type PortcullisPeer } from './peers.ts'
import { spreadOf, spreadText } from './report.ts'
import { rotated } from './rounds.ts'
import type { Scenario, ScenarioInput, ScenarioResult } from './scenario.ts'

const CLIENTS = { full: 1_000, quick: 200 }
/** Of the registry, so that everybody has asked before the first answer can be known. */
const ROUND_TRIP_MS = 20
/** Connections opened at a time: fewer than any server lets wait to be accepted. */
const OPENING = 100
const ROUNDS_WARM_UP = 3
const GIVE_UP_MS = 30_000

type Volley = { readonly latenciesMs: readonly number[]; readonly failed: number }
type Sample = {
  readonly p50Ms: number
  readonly p99Ms: number
  readonly slowestMs: number
  readonly failed: number
  /** That the registry saw. */
  readonly upstream: number
  /** Undefined for whoever verifies nothing. */
  readonly verifications: number | undefined
}
type Cell = { readonly peer: Peer; readonly samples: Sample[] }

function targetOf(peer: Peer, { repository, manifest }: ColdImage): Target {
  const url = `${peer.url}/v2/${repository}/manifests/${TAG}`
  return { url, method: 'GET', headers: { accept: MANIFEST_ACCEPT }, bodyBytes: manifest.length }
}

/** Milliseconds until the whole right answer was here, undefined where another or none came. */
async function answerTo(socket: Socket, request: Buffer, body: Buffer): Promise<number | undefined> {
  const { promise, resolve } = Promise.withResolvers<number | undefined>()
  const reader = new AnswerReader('GET')
  const chunks: Buffer[] = []
  const started = performance.now()
  socket.on('close', () => resolve(undefined))
  socket.setTimeout(GIVE_UP_MS, () => socket.destroy())
  socket.on('data', (chunk: Buffer) => {
    chunks.push(chunk)
    try {
      const status = reader.read(chunk)
      if (status === 0) return
      const isRight = status === 200 && Buffer.concat(chunks).subarray(-reader.bodyBytes).equals(body)
      resolve(isRight ? performance.now() - started : undefined)
    } catch {
      resolve(undefined)
    }
  })
  socket.write(request)
  return await promise
}

async function openSockets(url: string, count: number): Promise<readonly Socket[]> {
  const { hostname, port } = new URL(url)
  const sockets: Socket[] = []
  while (sockets.length < count) {
    const some = Array.from({ length: Math.min(OPENING, count - sockets.length) }, () =>
      connect({ host: hostname, port: Number(port), noDelay: true }).on('error', () => undefined),
    )
    await Promise.all(some.map((socket) => once(socket, 'connect')))
    sockets.push(...some)
  }
  return sockets
}

/** Everybody has a connection, then everybody asks in one turn of the event loop. */
async function volley(target: Target, body: Buffer, clients: number): Promise<Volley> {
  const sockets = await openSockets(target.url, clients)
  const request = requestBytes(target)
  const answers = await Promise.all(sockets.map((socket) => answerTo(socket, request, body)))
  for (const socket of sockets) socket.destroy()
  const latenciesMs = answers.filter((ms) => ms !== undefined)
  return { latenciesMs, failed: clients - latenciesMs.length }
}

function percentile(values: readonly number[], share: number): number {
  const order = values.toSorted((a, b) => a - b)
  return order[Math.min(order.length - 1, Math.floor(order.length * share))] ?? Number.NaN
}

type Place = { readonly world: ColdWorld; readonly proxy: PortcullisPeer }

async function measureVolley(
  { world, proxy }: Place,
  peer: Peer,
  image: ColdImage,
  clients: number,
): Promise<Sample> {
  const verified = () =>
    metricTotal(proxy.adminUrl, 'portcullis_step_duration_seconds_count', { step: 'verify' })
  const before = await verified()
  world.takeSpans()
  const { latenciesMs, failed } = await volley(targetOf(peer, image), image.manifest, clients)
  return {
    p50Ms: percentile(latenciesMs, 0.5),
    p99Ms: percentile(latenciesMs, 0.99),
    slowestMs: percentile(latenciesMs, 1),
    failed,
    upstream: [...world.takeSpans().values()].flat().length,
    verifications: peer === proxy ? (await verified()) - before : undefined,
  }
}

const COLUMNS = [
  'server',
  'clients',
  'p50 ms',
  'p99 ms',
  'slowest ms',
  'requests to the registry',
  'verifications',
  'failed',
]

function rowOf({ peer, samples }: Cell, clients: number): readonly string[] {
  const column = (pick: (sample: Sample) => number) => spreadText(samples.map(pick), 1)
  const each = (pick: (sample: Sample) => number | undefined) =>
    [...new Set(samples.map(pick))].map((count) => count ?? '–').join(', ')
  return [
    peer.name,
    String(clients),
    column(({ p50Ms }) => p50Ms),
    column(({ p99Ms }) => p99Ms),
    column(({ slowestMs }) => slowestMs),
    each(({ upstream }) => upstream),
    each(({ verifications }) => verifications),
    String(samples.reduce((sum, { failed }) => sum + failed, 0)),
  ]
}

/** What every round found, NaN where they differ. */
function same(values: readonly number[]): number {
  const distinct = new Set(values)
  return distinct.size === 1 ? (values[0] ?? Number.NaN) : Number.NaN
}

async function run({ directory, rounds, isQuick, progress }: ScenarioInput): Promise<ScenarioResult> {
  await using stack = new AsyncDisposableStack()
  const clients = isQuick ? CLIENTS.quick : CLIENTS.full
  const world = stack.use(await createColdWorld())
  const proxy = await startPortcullisPeer(await world.proxyOptions(join(directory, 'portcullis')))
  stack.defer(() => proxy.running.stop())
  const [nginx] = await startPeers(stack, [() => startNginxPeer(join(directory, 'nginx'), world.host)])
  if (nginx === undefined) throw new Error('nginx did not start')
  const images = await world.publish('keyless', 'herd', rounds + ROUNDS_WARM_UP + 1)
  world.setRoundTrip(ROUND_TRIP_MS)

  const place = { world, proxy }
  const herds: readonly Cell[] = [proxy, nginx].map((peer) => ({ peer, samples: new Array<Sample>() }))
  const lone: readonly Cell[] = [proxy, nginx].map((peer) => ({ peer, samples: new Array<Sample>() }))
  for (const [index, image] of images.entries()) {
    const isAlone = index === ROUNDS_WARM_UP
    for (const { peer, samples } of rotated(isAlone ? lone : herds, index)) {
      const sample = await measureVolley(place, peer, image, isAlone ? 1 : clients)
      if (index < ROUNDS_WARM_UP) continue
      samples.push(sample)
      progress(`${peer.name}: ${isAlone ? 1 : clients} clients, p99 ${sample.p99Ms.toFixed(0)} ms`)
    }
  }
  const [ours] = herds
  const [oursAlone] = lone
  if (ours === undefined || oursAlone === undefined) throw new Error('nothing measured')
  const bars = herds.map(({ peer, samples }) => ({
    label: peer.name,
    ...spreadOf(samples.map(({ p99Ms }) => p99Ms)),
  }))
  return {
    conditions: [
      `each server alone on core 0; clients and registry (in memory, every answer ${ROUND_TRIP_MS} ms late) in one process on core 1`,
      `every client has its connection; then all ask in one turn for the same image by tag, which the server has never seen; ${rounds} rounds, each with a new image, after ${ROUNDS_WARM_UP} for the compilers`,
      'the image has a keyless signature (certificate, log entry) as referrer; the body of every answer is compared with the image; the row of one client says what one pull asks the registry for',
      'nginx: proxy_cache_lock lets one request through; those who wait look again every 500 ms, which is what its p50 shows',
    ],
    tables: [
      {
        columns: COLUMNS,
        rows: [...herds.map((cell) => rowOf(cell, clients)), ...lone.map((cell) => rowOf(cell, 1))],
      },
    ],
    plots: [
      {
        kind: 'bars',
        name: 'p99',
        title: `${clients} clients, one cold image: p99`,
        unit: 'ms, less is better',
        groups: [{ label: 'p99', bars }],
      },
    ],
    checks: [
      exactly(
        'wrong or missing answers',
        [...herds, ...lone].flatMap(({ samples }) => samples).reduce((sum, { failed }) => sum + failed, 0),
        0,
      ),
      exactly(
        'requests to the registry, as many as for one client',
        same(ours.samples.map(({ upstream }) => upstream)),
        same(oursAlone.samples.map(({ upstream }) => upstream)),
      ),
      exactly(
        'verifications of each image',
        same(ours.samples.map(({ verifications }) => verifications ?? 0)),
        1,
      ),
    ],
  }
}

export const herd: Scenario = {
  name: 'herd',
  about: 'A thousand clients at once for one image that nobody has asked for before.',
  tools: ['nginx'],
  run,
}
