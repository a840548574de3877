import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { mapBounded } from '../src/discover/map-bounded.ts'
import { atLeast, atMost, exactly } from './checks.ts'
import { Puller } from './cold/pull.ts'
import { warmTargets, WARM_IMAGES } from './cold/warm.ts'
import { createColdWorld, SIGNATURES, type ColdImage, type ColdWorld } from './cold/world.ts'
import type { Target } from './measure.ts'
import { paced, percentileMs } from './paced.ts'
import { startPortcullisPeer, type PortcullisPeer } from './peers.ts'
import { familyCpuSeconds } from './process-cpu.ts'
import { median, spreadOf, spreadText } from './report.ts'
import type { Scenario, ScenarioInput, ScenarioResult } from './scenario.ts'

const WARM_PER_SECOND = 1_000
const COLD_PER_SECOND = 200
const QUICK_COLD_PER_SECOND = 20
/** A machine that cannot do so many shows it as what was done, and not by pulls that nobody bounds. */
const COLD_AT_ONCE = 200
const WARM_UP = 100
/** p99 of a shorter one is a handful of requests. */
const PHASE_SECONDS_MIN = 3
const ROUND_TRIP_MS = 20

const PHASES = ['quiet', 'cold'] as const
type Phase = (typeof PHASES)[number]

/** Who verifies what was never asked for: the process that serves clients, or one beside it on the same core. */
const SETTINGS = [
  { setting: 'alone', name: 'one process', config: {} },
  { setting: 'apart', name: 'a cold worker beside', config: { workers: 1, coldWorkers: 1 } },
] as const
type Setting = (typeof SETTINGS)[number]['setting']

type Sample = {
  readonly setting: Setting
  readonly phase: Phase
  readonly p50Ms: number
  readonly p99Ms: number
  readonly latenessP99Ms: number
  readonly failed: number
  readonly coldPerSecond: number
  readonly coldFailures: readonly string[]
  /** Share of its core. */
  readonly busy: number
}

type Place = {
  readonly setting: Setting
  readonly world: ColdWorld
  readonly proxy: PortcullisPeer
  readonly puller: Puller
  readonly warm: readonly Target[]
}

type Stream = { readonly perSecond: number; readonly failures: readonly string[] }

/** Each image once, at its time, whether those before have come or not. */
async function streamOnce(
  images: readonly ColdImage[],
  seconds: number,
  pull: (image: ColdImage) => Promise<unknown>,
): Promise<Stream> {
  const started = performance.now()
  const failures: string[] = []
  const running = new Set<Promise<unknown>>()
  for (const [index, image] of images.entries()) {
    const waitMs = started + (index * seconds * 1000) / images.length - performance.now()
    // oxlint-disable-next-line no-await-in-loop -- each at its time
    if (waitMs > 0) await pause(waitMs)
    // oxlint-disable-next-line no-await-in-loop -- until there is room
    if (running.size >= COLD_AT_ONCE) await Promise.race(running)
    const pulling = pull(image)
      .catch((error: unknown) => failures.push(error instanceof Error ? error.message : String(error)))
      .finally(() => running.delete(pulling))
    running.add(pulling)
  }
  await Promise.all(running)
  return { perSecond: (images.length * 1000) / (performance.now() - started), failures }
}

/**
 * Warm pulls at a constant rate, and beside them the same images from the registry: through the proxy, which verifies them,
 * or by the generator itself, which does not. So both kinds of phases cost the generator and the registry about the same.
 */
async function measurePhase(
  { setting, world, proxy, puller, warm }: Place,
  phase: Phase,
  images: readonly ColdImage[],
  { connections, seconds }: Pick<ScenarioInput, 'connections' | 'seconds'>,
): Promise<Sample> {
  const [cpuBefore, begun] = [await familyCpuSeconds(proxy.running.pid), performance.now()]
  const pull =
    phase === 'cold'
      ? (image: ColdImage) => puller.byTag(proxy.url, image)
      : (image: ColdImage) => puller.evidence(world.host, image)
  const [pace, stream] = await Promise.all([
    paced(warm, { ratePerSecond: WARM_PER_SECOND, seconds, connections }),
    streamOnce(images, seconds, pull),
  ])
  const cpu = (await familyCpuSeconds(proxy.running.pid)) - cpuBefore
  const elapsedMs = performance.now() - begun
  world.takeSpans()
  return {
    setting,
    phase,
    p50Ms: percentileMs(pace.latency, 50),
    p99Ms: percentileMs(pace.latency, 99),
    latenessP99Ms: percentileMs(pace.lateness, 99),
    failed: pace.failed,
    coldPerSecond: stream.perSecond,
    coldFailures: stream.failures,
    busy: (cpu * 1000) / elapsedMs,
  }
}

/** Half of them by key, half keyless, by turns. */
async function publishMixed(world: ColdWorld, name: string, count: number): Promise<readonly ColdImage[]> {
  const [byKey, keyless] = await Promise.all(
    SIGNATURES.map((one) => world.publish(one, name, Math.ceil(count / 2))),
  )
  return (byKey ?? []).flatMap((image, index) => [image, keyless?.[index] ?? image]).slice(0, count)
}

/** A proxy that is warm: its images, its compilers, its connections. */
async function startPlace(
  { stack, world }: { stack: AsyncDisposableStack; world: ColdWorld },
  { setting, config }: (typeof SETTINGS)[number],
  { directory, connections }: ScenarioInput,
): Promise<Place> {
  const options = await world.proxyOptions(join(directory, setting), { config })
  const proxy = await startPortcullisPeer(options)
  stack.defer(() => proxy.running.stop())
  const puller = new Puller()
  stack.defer(() => puller.close())
  const warm = await warmTargets(world, proxy.url)
  const warmUp = await publishMixed(world, `warm-up-${setting}`, WARM_UP)
  await mapBounded(warmUp, COLD_AT_ONCE, (image) => puller.byTag(proxy.url, image))
  await paced(warm, { ratePerSecond: WARM_PER_SECOND, seconds: 1, connections })
  return { setting, world, proxy, puller, warm }
}

async function measureRounds(input: ScenarioInput, coldPerSecond: number): Promise<readonly Sample[]> {
  await using stack = new AsyncDisposableStack()
  const world = stack.use(await createColdWorld())
  const seconds = input.isQuick ? input.seconds : Math.max(input.seconds, PHASE_SECONDS_MIN)
  const places: Place[] = []
  for (const setting of SETTINGS) places.push(await startPlace({ stack, world }, setting, input))
  world.setRoundTrip(ROUND_TRIP_MS)
  const samples: Sample[] = []
  for (let round = 0; round < input.rounds; round += 1) {
    for (const place of round % 2 === 0 ? places : places.toReversed()) {
      const { setting } = place
      const images = await publishMixed(world, `round-${round}-${setting}`, coldPerSecond * seconds)
      for (const phase of round % 2 === 0 ? PHASES : PHASES.toReversed()) {
        const sample = await measurePhase(place, phase, images, { ...input, seconds })
        samples.push(sample)
        input.progress(
          `round ${round + 1}, ${setting}, ${phase}: p99 ${sample.p99Ms.toFixed(2)} ms, ${sample.coldPerSecond.toFixed(0)} a second beside it`,
        )
      }
    }
  }
  return samples
}

type Figure = (sample: Sample) => number

function of(samples: readonly Sample[], setting: Setting, phase: Phase, pick: Figure): readonly number[] {
  return samples.filter((sample) => sample.setting === setting && sample.phase === phase).map(pick)
}

/** Of the medians of all rounds. */
function ratio(samples: readonly Sample[], setting: Setting, pick: Figure): number {
  return median(of(samples, setting, 'cold', pick)) / median(of(samples, setting, 'quiet', pick))
}

function rowsOf(samples: readonly Sample[], { setting, name }: (typeof SETTINGS)[number]): string[][] {
  const row = (phase: Phase, what: string): string[] => {
    const text = (pick: Figure, digits: number) => spreadText(of(samples, setting, phase, pick), digits)
    return [
      name,
      what,
      text(({ p50Ms }) => p50Ms, 2),
      text(({ p99Ms }) => p99Ms, 2),
      text(({ latenessP99Ms }) => latenessP99Ms, 2),
      text((sample) => sample.coldPerSecond, 0),
      `${(100 * median(of(samples, setting, phase, ({ busy }) => busy))).toFixed(0)} %`,
      String(of(samples, setting, phase, ({ failed }) => failed).reduce((sum, one) => sum + one, 0)),
    ]
  }
  const text = (pick: Figure) => ratio(samples, setting, pick).toFixed(2)
  return [
    row('quiet', 'nothing is verified'),
    row('cold', 'cold images are verified'),
    [name, '**ratio**', text(({ p50Ms }) => p50Ms), text(({ p99Ms }) => p99Ms), '', '', '', ''],
  ]
}

const COLUMNS = [
  'proxy',
  'while',
  'warm p50 ms',
  'warm p99 ms',
  'late p99 ms',
  'pulls beside it/s',
  'core busy',
  'failed',
]

async function run(input: ScenarioInput): Promise<ScenarioResult> {
  const coldPerSecond = input.isQuick ? QUICK_COLD_PER_SECOND : COLD_PER_SECOND
  const samples = await measureRounds(input, coldPerSecond)
  const bars = (phase: Phase) =>
    SETTINGS.map(({ setting, name }) => ({
      label: name,
      ...spreadOf(of(samples, setting, phase, ({ p99Ms }) => p99Ms)),
    }))
  const coldFailures = samples.flatMap((sample) => sample.coldFailures)
  const failed = samples.reduce((sum, sample) => sum + sample.failed, 0)
  return {
    conditions: [
      'proxy, with all its processes and threads, on core 0; generator and registry (node:http, in memory) in one process on core 1',
      `${WARM_PER_SECOND} warm pulls a second of ${WARM_IMAGES} images by digest over ${input.connections} connections, each counted from the moment at which it was due`,
      `beside them ${coldPerSecond} images a second that were never asked for before, half with a key's signature, half keyless, registry ${ROUND_TRIP_MS} ms away; in quiet phases the generator asks the registry for the same manifests and evidence itself`,
      `phases by turns, median (lowest–highest) of ${input.rounds} rounds. Target: p99 grows by at most 1.3`,
    ],
    tables: [{ columns: COLUMNS, rows: SETTINGS.flatMap((setting) => rowsOf(samples, setting)) }],
    plots: [
      {
        kind: 'bars',
        name: 'p99',
        title: 'Warm pulls while cold images are verified',
        unit: 'p99, ms',
        groups: [
          { label: 'nothing else', bars: bars('quiet') },
          { label: `${coldPerSecond} verifications/s`, bars: bars('cold') },
        ],
      },
    ],
    checks: [
      exactly('failed warm pulls', failed, 0),
      {
        name: 'failed cold pulls',
        ok: coldFailures.length === 0,
        found: coldFailures[0] ?? '0',
        wanted: '0',
      },
      ...SETTINGS.flatMap(({ setting, name }) => [
        atLeast(
          `${name}: cold pulls a second, of those asked for`,
          median(of(samples, setting, 'cold', (one) => one.coldPerSecond)) / coldPerSecond,
          0.5,
        ),
        atMost(
          `${name}: p99 of warm pulls, while cold : quiet`,
          ratio(samples, setting, ({ p99Ms }) => p99Ms),
          5,
        ),
      ]),
    ],
  }
}

export const warmWhileCold: Scenario = {
  name: 'warm-while-cold',
  about: 'What a warm pull takes while 200 images a second are pulled for the first time and verified.',
  tools: [],
  run,
}
