import { join } from 'node:path'
import { mapBounded } from '../src/discover/map-bounded.ts'
import { atMost, exactly } from './checks.ts'
import { Puller } from './cold/pull.ts'
import { wavesOf, type Span } from './cold/waves.ts'
import { createColdWorld, SIGNATURES, type ColdImage, type ColdWorld, type Signature } from './cold/world.ts'
import { startPortcullisPeer, type PortcullisPeer } from './peers.ts'
import { cpuSeconds } from './process-cpu.ts'
import { median } from './report.ts'
import type { Check, Plot, Scenario, ScenarioInput, ScenarioResult, Table } from './scenario.ts'

const ROUND_TRIPS_MS = [0, 20, 80] as const
const STORM_AT_ONCE = 50
/** What the issue allows: round trips beyond the pull itself, and processor time. */
const ADDED_ROUND_TRIPS = 2
const ADDED_CPU_MS = 3

/** How many images of each kind: for the compilers, one by one, and at once. */
type Counts = Readonly<Record<'warmUp' | 'alone', number> & { storm: Readonly<Record<Signature, number>> }>

const FULL: Counts = { warmUp: 200, alone: 100, storm: { key: 5_000, keyless: 500 } }
const QUICK: Counts = { warmUp: 20, alone: 10, storm: { key: 200, keyless: 40 } }

type Crowd = 'alone' | 'storm'
type Images = Readonly<Record<Signature, Readonly<Record<'warmUp' | Crowd, readonly ColdImage[]>>>>

type Cell = {
  readonly signature: Signature
  readonly roundTripMs: number
  readonly crowd: Crowd
  readonly pulls: number
  readonly failures: readonly string[]
  /** Of each pull: what it took longer than a direct pull of the same manifest just before or after. */
  readonly addedMs: readonly number[]
  /** Of the whole process. */
  readonly cpuMsPerPull: number
  readonly requests: readonly number[]
  readonly waves: readonly number[]
  readonly pullsPerSecond: number
}

type Place = { readonly world: ColdWorld; readonly proxy: PortcullisPeer; readonly puller: Puller }

async function publishAll(world: ColdWorld, counts: Counts): Promise<Images> {
  const of = async (signature: Signature) => ({
    warmUp: await world.publish(signature, 'warm-up', counts.warmUp),
    alone: await world.publish(signature, 'alone', counts.alone),
    storm: await world.publish(signature, 'storm', counts.storm[signature]),
  })
  return { key: await of('key'), keyless: await of('keyless') }
}

type Pair = { readonly addedMs: number } | { readonly failure: string }

/** Who comes first changes with the index. */
async function pullPair(
  { world, proxy, puller }: Place,
  image: ColdImage,
  isDirectFirst: boolean,
): Promise<Pair> {
  try {
    const before = isDirectFirst ? await puller.direct(world.host, image) : undefined
    const throughMs = await puller.byTag(proxy.url, image)
    const directMs = before ?? (await puller.direct(world.host, image))
    return { addedMs: throughMs - directMs }
  } catch (error) {
    return { failure: error instanceof Error ? error.message : String(error) }
  }
}

type What = Pick<Cell, 'signature' | 'roundTripMs' | 'crowd'>

async function measureCell(place: Place, images: readonly ColdImage[], what: What): Promise<Cell> {
  const { world, proxy } = place
  world.takeSpans()
  const cpuBefore = await cpuSeconds(proxy.running.pid)
  const started = performance.now()
  const numbered = images.map((image, index) => ({ image, index }))
  const pairs = await mapBounded(numbered, what.crowd === 'alone' ? 1 : STORM_AT_ONCE, ({ image, index }) =>
    pullPair(place, image, index % 2 === 0),
  )
  const seconds = (performance.now() - started) / 1000
  const cpu = (await cpuSeconds(proxy.running.pid)) - cpuBefore
  const spans: readonly (readonly Span[])[] = [...world.takeSpans().values()]
  return {
    ...what,
    pulls: images.length,
    failures: pairs.flatMap((pair) => ('failure' in pair ? [pair.failure] : [])),
    addedMs: pairs.flatMap((pair) => ('addedMs' in pair ? [pair.addedMs] : [])),
    cpuMsPerPull: (cpu * 1000) / images.length,
    requests: spans.map((one) => one.length),
    waves: spans.map(wavesOf),
    pullsPerSecond: images.length / seconds,
  }
}

/** A proxy with nothing in its data directory, so that the same images are cold again. */
async function measureRoundTrip(
  world: ColdWorld,
  images: Images,
  roundTripMs: number,
  { directory, progress }: ScenarioInput,
): Promise<readonly Cell[]> {
  const options = await world.proxyOptions(join(directory, `rtt-${roundTripMs}`))
  const proxy = await startPortcullisPeer(options)
  const puller = new Puller()
  try {
    world.setRoundTrip(0)
    const warmUp = SIGNATURES.flatMap((signature) => images[signature].warmUp)
    await mapBounded(warmUp, STORM_AT_ONCE, (image) => puller.byTag(proxy.url, image))
    world.setRoundTrip(roundTripMs)
    const cells: Cell[] = []
    for (const crowd of ['alone', 'storm'] as const) {
      for (const signature of SIGNATURES) {
        const what = { signature, roundTripMs, crowd }
        const cell = await measureCell({ world, proxy, puller }, images[signature][crowd], what)
        cells.push(cell)
        progress(
          `${signature}, ${roundTripMs} ms, ${crowd}: ${cell.pulls} pulls, ${median(cell.addedMs).toFixed(1)} ms added, ${cell.cpuMsPerPull.toFixed(1)} ms CPU`,
        )
      }
    }
    return cells
  } finally {
    puller.close()
    await proxy.running.stop()
  }
}

function p99(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length * 0.99)] ?? Number.NaN
}

function inRoundTrips({ addedMs, roundTripMs }: Cell): string {
  return roundTripMs === 0 ? '–' : (median(addedMs) / roundTripMs).toFixed(2)
}

/** What is neither of the round trips allowed: the proxy's own time. */
function beyondMs({ addedMs, roundTripMs }: Cell): number {
  return median(addedMs) - ADDED_ROUND_TRIPS * roundTripMs
}

function tableOf(cells: readonly Cell[], crowd: Crowd): Table {
  const title = crowd === 'alone' ? 'One pull at a time' : `${STORM_AT_ONCE} pulls at once`
  return {
    title,
    columns: [
      'signature',
      'RTT ms',
      'pulls',
      'waves (most)',
      'requests a pull',
      'added ms, median',
      'p99',
      'in RTT',
      `beyond ${ADDED_ROUND_TRIPS} RTT, ms`,
      'CPU ms a pull',
      'pulls/s',
      'failed',
    ],
    rows: cells
      .filter((cell) => cell.crowd === crowd)
      .map((cell) => [
        cell.signature,
        String(cell.roundTripMs),
        String(cell.pulls),
        // Without a round trip, requests that were sent together need not be there together.
        cell.roundTripMs === 0 ? '–' : `${median(cell.waves)} (${Math.max(...cell.waves)})`,
        median(cell.requests).toFixed(0),
        median(cell.addedMs).toFixed(1),
        p99(cell.addedMs).toFixed(1),
        inRoundTrips(cell),
        beyondMs(cell).toFixed(1),
        cell.cpuMsPerPull.toFixed(2),
        cell.pullsPerSecond.toFixed(0),
        String(cell.failures.length),
      ]),
  }
}

function plotOf(cells: readonly Cell[]): Plot {
  const groups = ROUND_TRIPS_MS.filter((ms) => ms > 0).map((ms) => ({
    label: `RTT ${ms} ms`,
    bars: cells
      .filter(({ crowd, roundTripMs }) => crowd === 'alone' && roundTripMs === ms)
      .map(({ signature, addedMs }) => ({ label: signature, value: median(addedMs) / ms })),
  }))
  return { kind: 'bars', name: 'added', title: 'Cold pull: time added', unit: 'upstream round trips', groups }
}

/** Whether more was asked of the registry at one distance, or in one crowd, than in another. */
function variesIn(cells: readonly Cell[]): (signature: Signature) => boolean {
  return (signature) => {
    const own = cells.filter((cell) => cell.signature === signature)
    return new Set(own.map(({ requests }) => median(requests))).size > 1
  }
}

function checksOf(cells: readonly Cell[]): readonly Check[] {
  const failures = cells.flatMap((cell) => cell.failures)
  const far = cells.filter(({ crowd, roundTripMs }) => crowd === 'alone' && roundTripMs === 80)
  return [
    { name: 'failed pulls', ok: failures.length === 0, found: failures[0] ?? '0', wanted: '0' },
    ...far.flatMap((cell) => [
      atMost(
        `${cell.signature}, 80 ms: waves of upstream requests`,
        median(cell.waves),
        ADDED_ROUND_TRIPS + 2,
        0,
      ),
      atMost(`${cell.signature}, 80 ms: round trips added`, median(cell.addedMs) / 80, ADDED_ROUND_TRIPS + 3),
    ]),
    exactly(
      'kinds of which some pulls ask more of the registry than others',
      SIGNATURES.filter(variesIn(cells)).length,
      0,
    ),
  ]
}

async function run(input: ScenarioInput): Promise<ScenarioResult> {
  await using world = await createColdWorld()
  const counts = input.isQuick ? QUICK : FULL
  const images = await publishAll(world, counts)
  input.progress('images are signed')
  const cells: Cell[] = []
  for (const ms of ROUND_TRIPS_MS) cells.push(...(await measureRoundTrip(world, images, ms, input)))
  return {
    conditions: [
      `proxy on core 0 with an empty data directory for each RTT; registry (node:http, in memory, each answer that much later) and clients in one process on core 1`,
      `${counts.storm.key} images with a signature by a P-256 key under the .sig tag, ${counts.storm.keyless} with a keyless bundle of their own as referrer; each its own repository and manifest, layers shared; pulled once by tag`,
      `added: over a direct pull of the same manifest from the same registry just before or after; median of the pairs. Opening connections is not in it; connections to the registry are not limited (concurrency 1024)`,
      `${counts.warmUp} pulls of each kind before, for the compilers. CPU: of the whole process, user and system. Target: at most ${ADDED_ROUND_TRIPS} RTT and ${ADDED_CPU_MS} ms of CPU`,
    ],
    tables: [tableOf(cells, 'alone'), tableOf(cells, 'storm')],
    plots: [plotOf(cells)],
    checks: checksOf(cells),
  }
}

export const coldStorm: Scenario = {
  name: 'cold-storm',
  about:
    'Thousands of signed images pulled for the first time, from a registry that is 0, 20 and 80 ms away.',
  tools: [],
  run,
}
