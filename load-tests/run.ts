import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { availableParallelism, cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { must } from '../test/e2e/harness/process.ts'
import { find } from '../test/e2e/harness/tools.ts'
import { commandOf, readOptions, USAGE, type Options } from './options.ts'
import { GENERATOR_CORE } from './peers.ts'
import { plotSvg } from './plot.ts'
import { fullPage, plotFile, summary, withBlock, type RunFacts } from './report.ts'
import type { Scenario, ScenarioResult } from './scenario.ts'
import { SCENARIOS } from './scenarios.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
/** Of the full pages and plots, below the folder of the page of all results. */
const FOLDER = 'results'

async function commitId(): Promise<string> {
  const git = (...args: readonly string[]) => must({ command: 'git', args, cwd: ROOT })
  const [id, changes] = [await git('rev-parse', '--short', 'HEAD'), await git('status', '--porcelain')]
  return changes === '' ? id.trim() : `${id.trim()} with changes`
}

async function factsOf(scenario: Scenario, options: Options): Promise<RunFacts> {
  const model = cpus()[0]?.model.trim() ?? 'unknown CPU'
  return {
    command: commandOf(scenario, options),
    date: new Date().toISOString().slice(0, 10),
    machine: `${cpus().length} cores of ${model}`,
    node: process.version,
    commit: options.commit ?? (await commitId()),
  }
}

async function runOne(scenario: Scenario, options: Options): Promise<ScenarioResult> {
  const directory = await mkdtemp(join(tmpdir(), `portcullis-load-${scenario.name}-`))
  try {
    return await scenario.run({ ...options, directory, progress: console.error })
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

async function write(
  output: string,
  scenario: Scenario,
  result: ScenarioResult,
  facts: RunFacts,
): Promise<void> {
  const folder = join(output, FOLDER)
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, `${scenario.name}.md`), fullPage(scenario, result, facts))
  for (const plot of result.plots) await writeFile(join(folder, plotFile(scenario.name, plot)), plotSvg(plot))
  const page = join(output, 'RESULTS.md')
  const before = await readFile(page, 'utf8').catch(() => '# Results\n')
  await writeFile(page, withBlock(before, scenario.name, summary(scenario, result, facts, FOLDER)))
}

/** Lines that say what is wrong with one scenario's run; one that cannot run to its end is wrong, checked or not. */
async function complaintsOf(scenario: Scenario, options: Options): Promise<readonly string[]> {
  console.error(`${scenario.name}: ${scenario.about}`)
  try {
    const result = await runOne(scenario, options)
    const facts = await factsOf(scenario, options)
    console.log(fullPage(scenario, result, facts))
    if (options.output !== undefined) await write(options.output, scenario, result, facts)
    if (!options.isChecked) return []
    return result.checks
      .filter(({ ok }) => !ok)
      .map(({ name, found, wanted }) => `${scenario.name}: ${name}: ${found}, wanted ${wanted}`)
  } catch (error) {
    return [`${scenario.name}: did not finish: ${error instanceof Error ? error.stack : String(error)}`]
  }
}

async function main(): Promise<number> {
  const options = readOptions(process.argv.slice(2), SCENARIOS)
  if (options === undefined) {
    console.log(USAGE)
    for (const { name, about, isByNameOnly } of SCENARIOS)
      console.log(`  ${name.padEnd(20)} ${about}${isByNameOnly === true ? ' (not in all)' : ''}`)
    return 0
  }
  const tools = new Set(['taskset', ...options.scenarios.flatMap((scenario) => scenario.tools)])
  if (options.generator === 'wrk') tools.add('wrk')
  const absent = [...tools].filter((tool) => find(tool) === undefined)
  if (absent.length > 0 || availableParallelism() < 2) {
    console.error(
      `cannot run here: needs two cores and ${[...tools].join(', ')}; missing: ${absent.join(', ')}`,
    )
    return 1
  }
  await must({ command: 'taskset', args: ['-a', '-cp', String(GENERATOR_CORE), String(process.pid)] })
  const complaints: string[] = []
  for (const scenario of options.scenarios) complaints.push(...(await complaintsOf(scenario, options)))
  for (const complaint of complaints) console.error(`check failed: ${complaint}`)
  return complaints.length === 0 ? 0 : 1
}

process.exitCode = await main()
