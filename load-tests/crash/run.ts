import { parseArgs } from 'node:util'
import { runCampaign, type Round, type Summary } from './campaign.ts'

const USAGE = `node load-tests/crash/run.ts [--times 1-10000] [--seed N]
Starts the real proxy in enforce mode in front of a private registry, Sigstore and TUF repository, drives load, and kills
it with SIGKILL at a random moment; again and again over one data directory, registry and trust repository dead on every
third start. Ends with exit code 1 at the first thing that is lost or wrong. The same seed makes the same choices.`

function wholeNumber(text: string, name: string, [lowest, highest]: readonly [number, number]): number {
  const value = Number(text)
  if (Number.isInteger(value) && value >= lowest && value <= highest) return value
  throw new RangeError(`--${name} must be a whole number from ${lowest} to ${highest}`)
}

function line(summary: Summary): string {
  const { kills, answers, brokenAnswers, decisions, served, blobs } = summary
  return (
    `${kills} kills, ${summary.startsMs.length} starts (${startTimes(summary.startsMs)}), ${answers} answers ` +
    `of which ${brokenAnswers} broken off, ${served} images served, ${blobs} blobs kept, ${decisions} refusals recorded`
  )
}

function startTimes(startsMs: readonly number[]): string {
  const sorted = startsMs.toSorted((a, b) => a - b)
  const at = (share: number): string => (sorted[Math.floor((sorted.length - 1) * share)] ?? 0).toFixed(0)
  return `median ${at(0.5)} ms, slowest ${at(1)} ms`
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      times: { type: 'string', default: '200' },
      seed: { type: 'string', default: '1' },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) {
    process.stdout.write(`${USAGE}\n`)
    return 0
  }
  const times = wholeNumber(values.times, 'times', [1, 10_000])
  const seed = wholeNumber(values.seed, 'seed', [0, 2 ** 31 - 1])
  const start = performance.now()
  const onRound = ({ number, summary }: Round): void => {
    if (number % 10 === 0) process.stdout.write(`round ${number}: ${line(summary)}\n`)
  }
  const summary = await runCampaign({ times, seed, onRound })
  process.stdout.write(
    `seed ${seed}: ${line(summary)}, in ${((performance.now() - start) / 1000).toFixed(0)} s\n`,
  )
  for (const violation of summary.violations) process.stdout.write(`violation: ${violation}\n`)
  if (summary.violations.length === 0) process.stdout.write('nothing lost, nothing wrong\n')
  return summary.violations.length === 0 ? 0 : 1
}

// Ends through `exit`, where the proxy that still runs is ended too.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))
process.exitCode = await main()
