import { join } from 'node:path'
import { atLeast, exactly } from './checks.ts'
import { warmTargets } from './cold/warm.ts'
import { createColdWorld } from './cold/world.ts'
import type { Target } from './measure.ts'
import { paced } from './paced.ts'
import { startNginxPeer, startPortcullisPeer, type Peer } from './peers.ts'
import { cpuSeconds, familyOf } from './process-cpu.ts'
import { median, spreadOf, spreadText } from './report.ts'
import { NGINX, OURS } from './rows.ts'
import type { Scenario, ScenarioInput, ScenarioResult, Table } from './scenario.ts'
import { measureByWrk } from './wrk.ts'

/** Cores as taskset lists them: one worker has the first, two have both, and the second of them has the generator too. */
const SETTINGS = [
  { workers: 1, cores: '0' },
  { workers: 2, cores: '0,1' },
] as const
type Setting = (typeof SETTINGS)[number]
const SERVERS = [OURS, NGINX] as const

/** So few that the generator, too, finds room on its core. */
const PER_WORKER_PER_SECOND = 12_000

type Place = { readonly setting: Setting; readonly peer: Peer; readonly target: Target }

type Sample = {
  readonly server: string
  readonly workers: number
  /** At PER_WORKER_PER_SECOND, of all processes of the server. */
  readonly cpuMicros: number
  /** Of the busiest of the processes, in shares of the processor time of all. */
  readonly busiestShare: number
  /** As fast as it can, the generator on the second core. */
  readonly saturatedPerSecond: number
  readonly failed: number
}

async function measureOnce(
  { setting: { workers }, peer, target }: Place,
  { seconds, connections }: ScenarioInput,
): Promise<Sample> {
  const family = await familyOf(peer.running.pid)
  const before = await Promise.all(family.map(cpuSeconds))
  const pace = { ratePerSecond: PER_WORKER_PER_SECOND * workers, seconds, connections }
  const steady = await paced(target, pace)
  const after = await Promise.all(family.map(cpuSeconds))
  const used = after.map((total, index) => total - (before[index] ?? 0))
  const all = used.reduce((sum, one) => sum + one, 0)
  const saturated = await measureByWrk(target, seconds, connections)
  return {
    server: peer.name,
    workers,
    cpuMicros: (all * 1e6) / steady.sent,
    busiestShare: Math.max(...used) / all,
    saturatedPerSecond: saturated.requestsPerSecond,
    failed: steady.failed + saturated.failed,
  }
}

async function startPlaces(input: ScenarioInput, stack: AsyncDisposableStack): Promise<readonly Place[]> {
  const world = stack.use(await createColdWorld())
  const places: Place[] = []
  for (const setting of SETTINGS) {
    const { workers, cores } = setting
    const directory = join(input.directory, `workers-${workers}`)
    const options = await world.proxyOptions(join(directory, 'proxy'), { config: { workers } })
    const proxy = await startPortcullisPeer({ ...options, cores })
    stack.defer(() => proxy.running.stop())
    const nginx = await startNginxPeer(join(directory, 'nginx'), world.host, setting)
    stack.defer(() => nginx.running.stop())
    const [target] = await warmTargets(world, proxy.url)
    if (target === undefined) throw new TypeError('there is no image')
    const path = target.url.slice(proxy.url.length)
    places.push({ setting, peer: proxy, target })
    places.push({ setting, peer: nginx, target: { ...target, url: `${nginx.url}${path}` } })
  }
  return places
}

async function measureAll(input: ScenarioInput): Promise<readonly Sample[]> {
  await using stack = new AsyncDisposableStack()
  const places = await startPlaces(input, stack)
  const samples: Sample[] = []
  // Round 0 is for caches and compilers.
  for (let round = 0; round <= input.rounds; round += 1) {
    for (const place of round % 2 === 0 ? places : places.toReversed()) {
      const sample = await measureOnce(place, input)
      if (round === 0) continue
      samples.push(sample)
      input.progress(
        `round ${round}, ${sample.server}, ${sample.workers} workers: ${sample.cpuMicros.toFixed(1)} us of CPU a request, at most ${sample.saturatedPerSecond.toFixed(0)} requests/s`,
      )
    }
  }
  return samples
}

type Pick = (sample: Sample) => number

function of(samples: readonly Sample[], server: string, workers: number): readonly Sample[] {
  return samples.filter((sample) => sample.server === server && sample.workers === workers)
}

function medianOf(samples: readonly Sample[], server: string, workers: number, pick: Pick): number {
  return median(of(samples, server, workers).map(pick))
}

/** What two do of what one does, each with a core to itself: as a request costs them more, they do less. */
function speedUp(samples: readonly Sample[], server: string): number {
  const cost = (workers: number) => medianOf(samples, server, workers, ({ cpuMicros }) => cpuMicros)
  return (2 * cost(1)) / cost(2)
}

function rowOf(samples: readonly Sample[], server: string, { workers, cores }: Setting): readonly string[] {
  const own = of(samples, server, workers)
  const cell = (pick: Pick, digits: number) => spreadText(own.map(pick), digits)
  return [
    server,
    String(workers),
    cores,
    cell(({ cpuMicros }) => cpuMicros, 1),
    `${(100 * median(own.map(({ busiestShare }) => busiestShare))).toFixed(0)} %`,
    cell(({ saturatedPerSecond }) => saturatedPerSecond, 0),
    String(own.reduce((sum, { failed }) => sum + failed, 0)),
  ]
}

function tableOf(samples: readonly Sample[]): Table {
  const measured = (server: string) => {
    const rate = (workers: number) =>
      medianOf(samples, server, workers, ({ saturatedPerSecond }) => saturatedPerSecond)
    return (rate(2) / rate(1)).toFixed(2)
  }
  return {
    columns: ['server', 'workers', 'cores', 'CPU us a request', 'busiest process', 'at most/s', 'failed'],
    rows: SERVERS.flatMap((server) => [
      ...SETTINGS.map((setting) => rowOf(samples, server, setting)),
      [
        server,
        '**2 : 1**',
        '',
        `**${speedUp(samples, server).toFixed(2)}** by CPU`,
        '',
        `${measured(server)}, less than two cores`,
        '',
      ],
    ]),
  }
}

async function run(input: ScenarioInput): Promise<ScenarioResult> {
  const samples = await measureAll(input)
  const cost = (server: string, workers: number) =>
    spreadOf(of(samples, server, workers).map(({ cpuMicros }) => cpuMicros))
  return {
    conditions: [
      'one worker on core 0; two workers, with the process that leads them, on cores 0 and 1 at the same time; generator and registry on core 1 in both cases. nginx likewise, to show what of a difference is the machine',
      `CPU a request: ${PER_WORKER_PER_SECOND} requests a second for each worker, so that each does the same in both cases and the generator has room. 2 × CPU of a request with one : CPU of a request with two is what two do with a core each. Target: 1.8`,
      'at most: wrk as fast as answers come. This machine has two cores and the generator needs most of one, so that is the rate of less than two cores',
      `one image by digest, ${input.connections} keep-alive connections; by turns, median (lowest–highest) of ${input.rounds} rounds of twice ${input.seconds} s`,
    ],
    tables: [tableOf(samples)],
    plots: [
      {
        kind: 'bars',
        name: 'cpu',
        title: 'Workers: processor time of a request',
        unit: 'us, less is better',
        groups: SETTINGS.map(({ workers }) => ({
          label: workers === 1 ? '1 worker' : `${workers} workers`,
          bars: SERVERS.map((server) => ({ label: server, ...cost(server, workers) })),
        })),
      },
    ],
    checks: [
      exactly(
        'failed requests',
        samples.reduce((sum, { failed }) => sum + failed, 0),
        0,
      ),
      atLeast('two workers to one, a core each, by CPU', speedUp(samples, OURS), 1.4),
    ],
  }
}

export const workers: Scenario = {
  name: 'workers',
  about: 'Two worker processes beside one: what a second core brings.',
  tools: ['wrk', 'nginx'],
  run,
}
