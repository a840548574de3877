import { cpus, loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { mapBounded } from '../../src/discover/map-bounded.ts'
import { runBlackout, type Blackout } from './blackout.ts'
import { openBudgetOf, runFirstStart, runWarm, type CellResult } from './cell.ts'
import { FAULTS, type Fault } from './front.ts'
import { measurePace, type Pace } from './pace.ts'
import { withProxy } from './proxy.ts'
import { deviationsOf, reportMarkdown, writeReport, type Results } from './report.ts'
import { createWorld, DEPENDENCIES, type Dependency, type World } from './world.ts'

const USAGE = `node load-tests/outage/run.ts [--only tuf,rekor,kms,registry] [--faults refused,hanging,…] [--quick]
                [--paces] [--out docs/outages.md] [--commit ID]
Kills each dependency in each way, before the first start, while it is warm, across a SIGKILL, and mends it again;
compares every answer with the rules. --quick: fewer faults, shorter. --paces: only how long warm pulls take.
Fails where anything is otherwise.`

type Options = {
  readonly dependencies: readonly Dependency[]
  readonly faults: readonly Fault[]
  readonly isQuick: boolean
  readonly isPacesOnly: boolean
  readonly out: string | undefined
  readonly commit: string
}

const QUICK_FAULTS: readonly Fault[] = ['refused', 'hanging', 'garbage', 'expired']
/** Cells at a time, each with a proxy of its own; what is timed runs alone. */
const CELLS_AT_ONCE = 2
const BLACKOUTS = 5
/** The goal is 1.2. Beyond this it is no noise of the machine. */
const RATIO_MAX = 3

function readArguments(): Options | undefined {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', default: DEPENDENCIES.join(',') },
      faults: { type: 'string' },
      quick: { type: 'boolean', default: false },
      paces: { type: 'boolean', default: false },
      out: { type: 'string' },
      commit: { type: 'string', default: 'this one' },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return undefined
  const faults = values.quick ? QUICK_FAULTS : FAULTS
  return {
    dependencies: chosen(DEPENDENCIES, values.only),
    faults: values.faults === undefined ? faults : chosen(FAULTS, values.faults),
    isQuick: values.quick,
    isPacesOnly: values.paces,
    out: values.out,
    commit: values.commit,
  }
}

function chosen<T extends string>(all: readonly T[], text: string): readonly T[] {
  return text.split(',').map((name) => {
    const found = all.find((one) => one === name)
    if (found === undefined) throw new RangeError(`${name} is none of ${all.join(', ')}`)
    return found
  })
}

type What = { readonly dependency: Dependency; readonly fault: Fault }

function cellsOf({ dependencies, faults }: Options): readonly What[] {
  return dependencies.flatMap((dependency) =>
    faults
      .filter((fault) => fault !== 'expired' || dependency === 'tuf')
      .map((fault) => ({ dependency, fault })),
  )
}

type Way = 'first' | 'warm'

async function runCell(world: World, what: What, way: Way): Promise<CellResult> {
  const openImagesMax = openBudgetOf(world, what, way === 'first' ? ['first'] : ['during', 'restart'])
  const started = performance.now()
  const result = await withProxy(world, { openImagesMax }, (paced) =>
    (way === 'first' ? runFirstStart : runWarm)({ world, ...paced, ...what }),
  ).catch((error: unknown) => brokenOff(what, error))
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  console.error(
    `${what.dependency} ${what.fault}, ${way}: ${seconds} s, ${result.deviations.length} deviations`,
  )
  return result
}

/** One cell that comes to no end is a finding, and no reason to lose the others. */
function brokenOff(what: What, error: unknown): CellResult {
  const message = error instanceof Error ? error.message : String(error)
  const nothing = { seen: [], lines: [], metrics: [], recoveredMs: Number.NaN }
  return { ...what, ...nothing, deviations: [`broken off: ${message}`] }
}

async function runPaces(world: World, cells: readonly What[], isQuick: boolean): Promise<readonly Pace[]> {
  const forMs = isQuick ? 5_000 : 20_000
  return await withProxy(world, { openImagesMax: 1 }, (alive) =>
    withProxy(world, { openImagesMax: 1 }, async (dead) => {
      const paces: Pace[] = []
      for (const what of cells) {
        // oxlint-disable-next-line no-await-in-loop -- what is timed runs alone
        const pace = await measurePace(world, { dead, alive }, { ...what, forMs })
        paces.push(pace)
        const { byDigest, byTag } = pace
        console.error(
          `${what.dependency} ${what.fault}, p99 dead : alive: by digest ${byDigest.ratio.toFixed(2)}, by tag ${byTag.ratio.toFixed(2)}`,
        )
      }
      return paces
    }),
  )
}

async function runBlackouts(world: World, times: number): Promise<readonly Blackout[]> {
  const results: Blackout[] = []
  for (let time = 0; time < times; time++) {
    // oxlint-disable-next-line no-await-in-loop -- what is timed runs alone
    results.push(
      await withProxy(world, { openImagesMax: 1 }, ({ proxy, fronts }) => runBlackout(world, fronts, proxy)),
    )
  }
  return results
}

async function runAll(options: Options): Promise<Results> {
  const started = performance.now()
  await using world = await createWorld()
  const cells = cellsOf(options)
  const judged = options.isPacesOnly ? [] : cells
  const first = await mapBounded(judged, CELLS_AT_ONCE, (what) => runCell(world, what, 'first'))
  const warm = await mapBounded(judged, CELLS_AT_ONCE, (what) => runCell(world, what, 'warm'))
  const paces = await runPaces(world, cells, options.isQuick)
  const blackouts = options.isPacesOnly ? [] : await runBlackouts(world, options.isQuick ? 1 : BLACKOUTS)
  const seconds = Math.round((performance.now() - started) / 1000)
  const pulls = [...first, ...warm].reduce((sum, { seen }) => sum + seen.length, 0)
  const conditions = [
    `${new Date().toISOString().slice(0, 10)}, commit ${options.commit}, node ${process.version}, ${cpus().length} × ${cpus()[0]?.model.trim() ?? 'unknown CPU'}, load average ${loadavg()[0]?.toFixed(1)} at the end`,
    `\`node load-tests/outage/run.ts ${process.argv.slice(2).join(' ')}\`: ${cells.length} faults, ${pulls} pulls compared with the rules, ${seconds} s`,
  ]
  return { first, warm, paces, blackouts, conditions }
}

async function main(): Promise<number> {
  const options = readArguments()
  if (options === undefined) {
    console.log(USAGE)
    return 0
  }
  const results = await runAll(options)
  if (options.out === undefined) console.log(reportMarkdown(results))
  else await writeReport(options.out, results)
  const slow = results.paces.flatMap(({ dependency, fault, byDigest, byTag, failed }) => [
    ...(Math.max(byDigest.ratio, byTag.ratio) > RATIO_MAX
      ? [`${dependency} ${fault}: warm pulls are slower`]
      : []),
    ...(failed > 0 ? [`${dependency} ${fault}: ${failed} warm pulls failed`] : []),
  ])
  const wrong = [...deviationsOf(results), ...slow]
  for (const line of wrong) console.error(line)
  return wrong.length === 0 ? 0 : 1
}

process.exitCode = await main()
