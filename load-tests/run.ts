import { appendFile, mkdtemp, rm } from 'node:fs/promises'
import { availableParallelism, cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { must } from '../test/e2e/harness/process.ts'
import { find } from '../test/e2e/harness/tools.ts'
import { GENERATOR_CORE, SERVER_CORE } from './peers.ts'
import { medianRate, reportMarkdown, type Row } from './report.ts'
import { runWarmManifest } from './warm-manifest.ts'

const USAGE = `npm run load -- [--scenario warm-manifest] [--rounds 1-20] [--seconds 1-30] [--connections 1-256]
                [--generator autocannon|wrk] [--output FILE] [--check]
Drives programs on this machine's 127.0.0.1 only. --check fails the command where an answer was wrong or Portcullis
is slower than a pull-through registry, which verifies nothing.`

const TOOLS = ['docker-registry', 'nginx', 'taskset']

function bounded(text: string, name: string, [lowest, highest]: readonly [number, number]): number {
  const value = Number(text)
  if (Number.isInteger(value) && value >= lowest && value <= highest) return value
  throw new RangeError(`--${name} must be a whole number from ${lowest} to ${highest}`)
}

function generatorOf(text: string): 'autocannon' | 'wrk' {
  if (text === 'autocannon' || text === 'wrk') return text
  throw new RangeError(`unknown generator ${text}`)
}

function readArguments() {
  const { values } = parseArgs({
    options: {
      scenario: { type: 'string', default: 'warm-manifest' },
      rounds: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '4' },
      connections: { type: 'string', default: '32' },
      generator: { type: 'string', default: 'autocannon' },
      output: { type: 'string' },
      check: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.scenario !== 'warm-manifest') throw new RangeError(`unknown scenario ${values.scenario}`)
  return {
    help: values.help,
    check: values.check,
    output: values.output,
    generator: generatorOf(values.generator),
    rounds: bounded(values.rounds, 'rounds', [1, 20]),
    seconds: bounded(values.seconds, 'seconds', [1, 30]),
    connections: bounded(values.connections, 'connections', [1, 256]),
  }
}

/** What is wrong with a run, if anything; empty where it passes. */
function complaints(rows: readonly Row[]): readonly string[] {
  const failed = rows.filter(({ samples }) => samples.some((sample) => sample.failed > 0))
  const slower = rows.filter((row) => {
    const ours = rows.find(({ peer, what }) => peer === 'Portcullis' && what === row.what)
    return row.peer.startsWith('docker-registry') && ours !== undefined && medianRate(ours) < medianRate(row)
  })
  return [
    ...failed.map(({ peer, what }) => `${peer}: ${what} had failed requests`),
    ...slower.map(({ peer, what }) => `${what}: slower than ${peer}`),
  ]
}

async function main(): Promise<number> {
  const options = readArguments()
  if (options.help) {
    console.log(USAGE)
    return 0
  }
  const tools = options.generator === 'wrk' ? [...TOOLS, 'wrk'] : TOOLS
  const absent = tools.filter((tool) => find(tool) === undefined)
  if (absent.length > 0 || availableParallelism() < 2) {
    console.error(`cannot run here: needs two cores and ${tools.join(', ')}; missing: ${absent.join(', ')}`)
    return 1
  }
  await must({ command: 'taskset', args: ['-a', '-cp', String(GENERATOR_CORE), String(process.pid)] })
  const directory = await mkdtemp(join(tmpdir(), 'portcullis-load-'))
  try {
    const { rounds, seconds, connections, generator } = options
    const rows = await runWarmManifest({
      directory,
      rounds,
      seconds,
      connections,
      generator,
      progress: console.error,
    })
    const conditions = [
      `${new Date().toISOString().slice(0, 10)}, node ${process.version}, ${cpus()[0]?.model.trim() ?? 'unknown CPU'}`,
      `each server alone on core ${SERVER_CORE}; generator (${generator === 'wrk' ? 'wrk, for HEAD autocannon' : 'autocannon'}) and upstream registry on core ${GENERATOR_CORE}`,
      `${connections} keep-alive connections on 127.0.0.1; median (lowest–highest) of ${rounds} rounds of ${seconds} s each, servers interleaved`,
    ]
    const markdown = reportMarkdown('warm-manifest', conditions, rows)
    console.log(markdown)
    if (options.output !== undefined) await appendFile(options.output, `\n${markdown}`)
    const wrong = options.check ? complaints(rows) : []
    for (const complaint of wrong) console.error(`check failed: ${complaint}`)
    return wrong.length === 0 ? 0 : 1
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

process.exitCode = await main()
