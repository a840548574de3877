import { parseArgs } from 'node:util'
import type { Scenario, ScenarioInput } from './scenario.ts'

export const USAGE = `npm run load -- [--scenario NAME[,NAME]|all|every] [--rounds 1-20] [--seconds 1-3600] [--connections 1-256]
                [--generator wrk|autocannon] [--quick] [--output DIR] [--commit ID] [--check]
Drives programs on this machine's 127.0.0.1 only, server on one core, generator on another.
  --scenario default all: every whole pull, some 25 minutes; every: with soak and the programs of bench/, an hour
  --quick    small numbers of everything: whether it works, no figures, nothing written unless --output says where
  --output   folder of RESULTS.md and results/ (default bench)
  --commit   what the report calls this tree (default: git's short id)
  --check    exit 1, with a line each, where an answer was wrong or a ratio is far from what it should be`

export type Options = Omit<ScenarioInput, 'directory' | 'progress'> & {
  readonly scenarios: readonly Scenario[]
  readonly output: string | undefined
  readonly commit: string | undefined
  readonly isChecked: boolean
}

const DEFAULTS = { rounds: '5', seconds: '3', connections: '32', generator: 'wrk' } as const
const QUICK = { ...DEFAULTS, rounds: '1', seconds: '1' } as const

function bounded(text: string, name: string, [lowest, highest]: readonly [number, number]): number {
  const value = Number(text)
  if (Number.isInteger(value) && value >= lowest && value <= highest) return value
  throw new RangeError(`--${name} must be a whole number from ${lowest} to ${highest}`)
}

function generatorOf(text: string): 'autocannon' | 'wrk' {
  if (text === 'autocannon' || text === 'wrk') return text
  throw new RangeError(`unknown generator ${text}`)
}

function scenariosOf(text: string, known: readonly Scenario[]): readonly Scenario[] {
  if (text === 'every') return known
  if (text === 'all') return known.filter(({ isByNameOnly }) => isByNameOnly !== true)
  return text.split(',').map((name) => {
    const found = known.find((scenario) => scenario.name === name)
    if (found !== undefined) return found
    throw new RangeError(`unknown scenario ${name}; known: ${known.map((one) => one.name).join(', ')}`)
  })
}

/** Undefined where the user asked for help. */
export function readOptions(args: readonly string[], known: readonly Scenario[]): Options | undefined {
  const { values } = parseArgs({
    args: [...args],
    options: {
      scenario: { type: 'string', default: 'all' },
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      connections: { type: 'string' },
      generator: { type: 'string' },
      quick: { type: 'boolean', default: false },
      output: { type: 'string' },
      commit: { type: 'string' },
      check: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return undefined
  const chosen = { ...(values.quick ? QUICK : DEFAULTS), ...values }
  return {
    scenarios: scenariosOf(values.scenario, known),
    rounds: bounded(chosen.rounds, 'rounds', [1, 20]),
    seconds: bounded(chosen.seconds, 'seconds', [1, 3600]),
    connections: bounded(chosen.connections, 'connections', [1, 256]),
    generator: generatorOf(chosen.generator),
    isQuick: values.quick,
    output: values.output ?? (values.quick ? undefined : 'bench'),
    commit: values.commit,
    isChecked: values.check,
  }
}

/** What somebody types to get the same section again: only what differs from the defaults. */
export function commandOf(scenario: Scenario, options: Options): string {
  const defaults: Readonly<Record<string, string>> = options.isQuick ? QUICK : DEFAULTS
  const { rounds, seconds, connections, generator } = options
  const said = Object.entries({ rounds, seconds, connections, generator })
    .filter(([name, value]) => String(value) !== defaults[name])
    .map(([name, value]) => ` --${name} ${value}`)
  return `npm run load -- --scenario ${scenario.name}${said.join('')}${options.isQuick ? ' --quick' : ''}`
}
