import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { atLeast, exactly } from './checks.ts'
import { warmTargets } from './cold/warm.ts'
import { createColdWorld } from './cold/world.ts'
import type { Target } from './measure.ts'
import { startPortcullisPeer, type PortcullisPeer } from './peers.ts'
import { cpuSeconds } from './process-cpu.ts'
import { median, spreadOf, spreadText } from './report.ts'
import type { Scenario, ScenarioInput, ScenarioResult, Table } from './scenario.ts'
import { measureByWrk } from './wrk.ts'

/** Cores as taskset lists them: one worker has the first, two have both, and the second of them has the generator too. */
const SETTINGS = [
  { workers: 1, cores: '0' },
  { workers: 2, cores: '0,1' },
] as const
type Setting = (typeof SETTINGS)[number]

type Sample = {
  readonly workers: number
  readonly requestsPerSecond: number
  /** Of all processes of the proxy, keeper included. */
  readonly cpuMicrosPerRequest: number
  /** Of the busiest of the processes, in shares of the processor time of all. */
  readonly busiestShare: number
  readonly failed: number
}

type Place = { readonly setting: Setting; readonly proxy: PortcullisPeer; readonly target: Target }

/** The process and all that it started. */
async function familyOf(pid: number): Promise<readonly number[]> {
  const threads = await readdir(`/proc/${pid}/task`)
  const lists = await Promise.all(
    threads.map((thread) => readFile(`/proc/${pid}/task/${thread}/children`, 'utf8')),
  )
  const children = lists.flatMap((list) =>
    list
      .split(' ')
      .filter((text) => text !== '')
      .map(Number),
  )
  return [pid, ...(await Promise.all(children.map(familyOf))).flat()]
}

async function measureOnce(
  { setting, proxy, target }: Place,
  seconds: number,
  connections: number,
): Promise<Sample> {
  const family = await familyOf(proxy.running.pid)
  const before = await Promise.all(family.map(cpuSeconds))
  const { requestsPerSecond, failed } = await measureByWrk(target, seconds, connections)
  const after = await Promise.all(family.map(cpuSeconds))
  const used = after.map((total, index) => total - (before[index] ?? 0))
  const all = used.reduce((sum, one) => sum + one, 0)
  return {
    workers: setting.workers,
    requestsPerSecond,
    cpuMicrosPerRequest: (all * 1e6) / (requestsPerSecond * seconds),
    busiestShare: Math.max(...used) / all,
    failed,
  }
}

async function measureAll(input: ScenarioInput): Promise<readonly Sample[]> {
  await using stack = new AsyncDisposableStack()
  const world = stack.use(await createColdWorld())
  const places: Place[] = []
  for (const setting of SETTINGS) {
    const { workers, cores } = setting
    const directory = join(input.directory, `workers-${workers}`)
    const options = await world.proxyOptions(directory, { config: { workers } })
    const proxy = await startPortcullisPeer({ ...options, cores })
    stack.defer(() => proxy.running.stop())
    const [target] = await warmTargets(world, proxy.url)
    if (target === undefined) throw new TypeError('there is no image')
    places.push({ setting, proxy, target })
  }
  const samples: Sample[] = []
  // Round 0 is for caches and compilers.
  for (let round = 0; round <= input.rounds; round += 1) {
    for (const place of round % 2 === 0 ? places : places.toReversed()) {
      const sample = await measureOnce(place, input.seconds, input.connections)
      if (round === 0) continue
      samples.push(sample)
      input.progress(
        `round ${round}, ${sample.workers} workers: ${sample.requestsPerSecond.toFixed(0)} requests/s, ${sample.cpuMicrosPerRequest.toFixed(1)} us of CPU a request`,
      )
    }
  }
  return samples
}

function of(
  samples: readonly Sample[],
  workers: number,
  pick: (sample: Sample) => number,
): readonly number[] {
  return samples.filter((sample) => sample.workers === workers).map(pick)
}

/** What two workers would do of what one does, each with a core to itself: as a request costs them more, they do less. */
function speedUp(samples: readonly Sample[]): number {
  const cost = (workers: number) =>
    median(of(samples, workers, ({ cpuMicrosPerRequest }) => cpuMicrosPerRequest))
  return (2 * cost(1)) / cost(2)
}

function tableOf(samples: readonly Sample[]): Table {
  const rates = (workers: number) => of(samples, workers, ({ requestsPerSecond }) => requestsPerSecond)
  const row = ({ workers, cores }: Setting) => [
    String(workers),
    cores,
    spreadText(rates(workers), 0),
    spreadText(
      of(samples, workers, ({ cpuMicrosPerRequest }) => cpuMicrosPerRequest),
      1,
    ),
    `${(100 * median(of(samples, workers, ({ busiestShare }) => busiestShare))).toFixed(0)} %`,
    String(of(samples, workers, ({ failed }) => failed).reduce((sum, one) => sum + one, 0)),
  ]
  const measured = median(rates(2)) / median(rates(1))
  return {
    columns: ['workers', 'cores', 'requests/s', 'CPU us a request', 'busiest process', 'failed'],
    rows: [
      ...SETTINGS.map(row),
      ['**2 : 1**', 'as measured, the generator on one of them', measured.toFixed(2), '', '', ''],
      ['**2 : 1**', 'a core each, by CPU', speedUp(samples).toFixed(2), '', '', ''],
    ],
  }
}

async function run(input: ScenarioInput): Promise<ScenarioResult> {
  const samples = await measureAll(input)
  const rates = (workers: number) =>
    spreadOf(of(samples, workers, ({ requestsPerSecond }) => requestsPerSecond))
  return {
    conditions: [
      'one worker on core 0; two workers, with the process that leads them, on cores 0 and 1 at the same time; generator (wrk) and registry on core 1 in both cases',
      'this machine has two cores and the generator needs one, so the rate of two workers is that of less than two cores. What counts is processor time: 2 × CPU of a request with one worker : CPU of a request with two that run in parallel is what they do with a core each',
      `one image by digest, ${input.connections} keep-alive connections; by turns, median (lowest–highest) of ${input.rounds} rounds of ${input.seconds} s. Target: 1.8`,
    ],
    tables: [tableOf(samples)],
    plots: [
      {
        kind: 'bars',
        name: 'rate',
        title: 'Workers: rate as measured, generator on the second core',
        unit: 'requests/s',
        groups: SETTINGS.map(({ workers }) => ({
          label: workers === 1 ? '1 worker' : `${workers} workers`,
          bars: [{ label: 'Portcullis', ...rates(workers) }],
        })),
      },
    ],
    checks: [
      exactly(
        'failed requests',
        samples.reduce((sum, { failed }) => sum + failed, 0),
        0,
      ),
      atLeast('two workers to one, a core each, by CPU', speedUp(samples), 1.4),
    ],
  }
}

export const workers: Scenario = {
  name: 'workers',
  about: 'Two worker processes beside one: what a second core brings.',
  tools: ['wrk'],
  run,
}
