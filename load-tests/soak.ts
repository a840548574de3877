import { join } from 'node:path'
import { createHistogram, type RecordableHistogram } from 'node:perf_hooks'
import { setTimeout as pause } from 'node:timers/promises'
import { atMost, exactly } from './checks.ts'
import { warmTargets, WARM_IMAGES } from './cold/warm.ts'
import { createColdWorld, TAG } from './cold/world.ts'
import type { Target } from './measure.ts'
import { paced, percentileMs, requestsPerSecond } from './paced.ts'
import { startPortcullisPeer, type PortcullisPeer } from './peers.ts'
import type { Plot, Scenario, ScenarioInput, ScenarioResult, Table } from './scenario.ts'
import { driftOf } from './soak/drift.ts'
import { figuresOf, type Figures } from './soak/figures.ts'

/** Of what the proxy can do. */
const SHARE = 0.7
const SATURATION_SECONDS = 5
const FULL = { seconds: 600, windowSeconds: 10 }
const QUICK = { seconds: 40, windowSeconds: 2 }
const NANOSECONDS_PER_MS = 1e6
const MIB = 1024 ** 2

type Window = Figures & { readonly atSeconds: number; readonly p99Ms: number }

type Soak = {
  readonly saturation: number
  readonly windows: readonly Window[]
  readonly sent: number
  readonly failed: number
}

/** By digest, and by tag: the latter is asked for upstream now and then. */
function withTags(byDigest: readonly Target[]): readonly Target[] {
  return byDigest.flatMap((target) => [target, { ...target, url: target.url.replace(/[^/]+$/, TAG) }])
}

/** In a closed loop: the slowest second after the first. A rate that this machine only has at times would be no soak. */
async function saturationOf(targets: readonly Target[], connections: number): Promise<number> {
  const rates: number[] = []
  for (let second = 0; second <= SATURATION_SECONDS; second += 1) {
    const pace = { ratePerSecond: Number.POSITIVE_INFINITY, seconds: 1, connections }
    // oxlint-disable-next-line no-await-in-loop -- one second after the other
    rates.push(requestsPerSecond(await paced(targets, pace)))
  }
  return Math.min(...rates.slice(1))
}

async function soakFor(
  proxy: PortcullisPeer,
  targets: readonly Target[],
  { connections, isQuick, progress }: ScenarioInput,
): Promise<Soak> {
  const { seconds, windowSeconds } = isQuick ? QUICK : FULL
  const saturation = await saturationOf(targets, connections)
  let latency: RecordableHistogram = createHistogram()
  const over = new AbortController()
  const pace = paced(targets, {
    ratePerSecond: SHARE * saturation,
    // Longer than needed: the last look is at a proxy under load, too.
    seconds: 2 * seconds,
    connections,
    signal: over.signal,
    onAnswer: (_dueMs, latencyMs) => latency.record(Math.max(1, Math.round(latencyMs * NANOSECONDS_PER_MS))),
  })
  const windows: Window[] = []
  for (let atSeconds = windowSeconds; atSeconds <= seconds; atSeconds += windowSeconds) {
    await pause(windowSeconds * 1000)
    const p99Ms = percentileMs(latency, 99)
    latency = createHistogram()
    const window = { atSeconds, p99Ms, ...(await figuresOf(proxy)) }
    windows.push(window)
    progress(
      `${atSeconds} s: p99 ${p99Ms.toFixed(2)} ms, ${(window.residentBytes / MIB).toFixed(0)} MiB, heap ${(window.heapBytes / MIB).toFixed(0)} MiB, ${window.openFiles} files`,
    )
  }
  over.abort()
  const { sent, failed } = await pace
  return { saturation, windows, sent, failed }
}

/** What must not grow, with how much of its early value is no growth yet: collections and the machine come and go. */
const FLAT = [
  {
    name: 'resident memory',
    unit: 'MiB',
    factorMax: 1.3,
    of: ({ residentBytes }: Window) => residentBytes / MIB,
  },
  { name: 'heap used', unit: 'MiB', factorMax: 1.6, of: ({ heapBytes }: Window) => heapBytes / MIB },
  { name: 'handles', unit: '', factorMax: 1.1, of: ({ handles }: Window) => handles },
  { name: 'open files', unit: '', factorMax: 1.1, of: ({ openFiles }: Window) => openFiles },
  { name: 'p99', unit: 'ms', factorMax: 5, of: ({ p99Ms }: Window) => p99Ms },
] as const

function tableOf({ windows, saturation, sent, failed }: Soak): Table {
  return {
    title: `${sent} requests at ${Math.round(SHARE * saturation)} a second, ${failed} failed`,
    columns: ['', 'second tenth', 'last tenth', 'ratio', 'lowest', 'highest'],
    rows: FLAT.map(({ name, unit, of }) => {
      const values = windows.map(of)
      const { early, late } = driftOf(values)
      const digits = unit === 'ms' ? 2 : 0
      const cells = [early, late].map((value) => value.toFixed(digits))
      const ends = [Math.min(...values), Math.max(...values)].map((value) => value.toFixed(digits))
      return [unit === '' ? name : `${name}, ${unit}`, ...cells, (late / early).toFixed(2), ...ends]
    }),
  }
}

function plotsOf({ windows }: Soak): readonly Plot[] {
  const series = (label: string, of: (window: Window) => number) => ({
    label,
    points: windows.map((window) => [window.atSeconds, of(window)] as const),
  })
  const common = { kind: 'lines', xUnit: 's' } as const
  return [
    {
      ...common,
      name: 'memory',
      title: 'Memory over time',
      unit: 'MiB',
      series: [
        series('resident', ({ residentBytes }) => residentBytes / MIB),
        series('heap used', ({ heapBytes }) => heapBytes / MIB),
      ],
    },
    {
      ...common,
      name: 'p99',
      title: 'p99 over time',
      unit: 'ms',
      series: [series('p99', ({ p99Ms }) => p99Ms)],
    },
    {
      ...common,
      name: 'files',
      title: 'Handles and open files over time',
      unit: '',
      series: [
        series('handles', ({ handles }) => handles),
        series('open files', ({ openFiles }) => openFiles),
      ],
    },
  ]
}

async function run(input: ScenarioInput): Promise<ScenarioResult> {
  await using world = await createColdWorld()
  const proxy = await startPortcullisPeer(await world.proxyOptions(join(input.directory, 'proxy')))
  try {
    const soaked = await soakFor(proxy, withTags(await warmTargets(world, proxy.url)), input)
    const { windows, saturation, failed } = soaked
    const { windowSeconds, seconds } = input.isQuick ? QUICK : FULL
    return {
      conditions: [
        'proxy on core 0, generator and registry in one process on core 1',
        `saturation: ${Math.round(saturation)} requests/s in a closed loop by the same generator, the slowest of ${SATURATION_SECONDS} s; then ${100 * SHARE} % of that for ${seconds} s, each counted from the moment at which it was due`,
        `${WARM_IMAGES} images by digest and by tag, ${input.connections} connections; looked at every ${windowSeconds} s`,
      ],
      tables: [tableOf(soaked)],
      plots: plotsOf(soaked),
      checks: [
        exactly('failed requests', failed, 0),
        ...FLAT.map(({ name, factorMax, of }) => {
          const { early, late } = driftOf(windows.map(of))
          return atMost(`${name}: last tenth to second`, late / early, factorMax)
        }),
      ],
    }
  } finally {
    await proxy.running.stop()
  }
}

export const soak: Scenario = {
  name: 'soak',
  about: 'Ten minutes at 70 % of saturation: memory, handles and p99 must stay where they are.',
  tools: [],
  run,
}
