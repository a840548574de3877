import { fileURLToPath } from 'node:url'
import { must } from '../test/e2e/harness/process.ts'
import { pinned } from './peers.ts'
import type { Scenario, ScenarioInput } from './scenario.ts'

/** The programs of bench/ as scenarios, so that one command gets every figure of RESULTS.md. What they print is their result. */

const BENCH = fileURLToPath(new URL('../bench', import.meta.url))
/** As a user would start them: on whatever core there is, and not on the generator's alone. */
const CORES = '0,1'
/** The longest fills a store with a hundred thousand images, twice. */
const LIMIT_MS = 30 * 60_000

type Program = {
  readonly name: string
  readonly about: string
  readonly args: (input: Pick<ScenarioInput, 'isQuick' | 'rounds'>) => readonly string[]
}

function scenarioOf({ name, about, args }: Program): Scenario {
  return {
    name,
    about,
    tools: [],
    isByNameOnly: true,
    run: async (input) => {
      const [file = '', ...rest] = args(input)
      input.progress(`node bench/${file} ${rest.join(' ')}`)
      const command = pinned(CORES, process.execPath, [`${BENCH}/${file}`, ...rest])
      const output = await must({ ...command, quiet: false }, LIMIT_MS)
      return {
        conditions: [`what \`${['node', `bench/${file}`, ...rest].join(' ')}\` prints`],
        output,
        tables: [],
        plots: [],
        checks: [],
      }
    },
  }
}

const PROGRAMS: readonly Program[] = [
  {
    name: 'parts',
    about: 'The parts of a pull, each by itself: time and allocation of one operation.',
    args: () => ['parts.ts'],
  },
  {
    name: 'verify',
    about:
      'Verification of one bundle by the library alone and by ours, and how long input of others holds the event loop.',
    args: () => ['verify.ts'],
  },
  {
    name: 'event-loop',
    about: 'How long manifests and evidence that somebody else has written hold the event loop.',
    args: () => ['event-loop.ts'],
  },
  {
    name: 'policy',
    about: 'Ten thousand policies and a hundred thousand images.',
    args: () => ['policy.ts'],
  },
  {
    name: 'replay',
    about: 'A change of policies replayed over a hundred thousand images.',
    args: ({ isQuick }) => ['replay.ts', isQuick ? '1000' : '100000'],
  },
  {
    name: 'start',
    about: 'From the start of the process to the first manifest that it serves.',
    args: ({ rounds }) => ['start.ts', '--rounds', String(rounds)],
  },
  {
    name: 'memory',
    about: 'What a proxy holds in memory once it knows a hundred thousand verdicts.',
    args: ({ isQuick }) => ['memory.ts', '--images', isQuick ? '1000' : '100000'],
  },
]

export const programs: readonly Scenario[] = PROGRAMS.map(scenarioOf)
