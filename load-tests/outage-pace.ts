import { atMost, exactly } from './checks.ts'
import type { Fault } from './outage/front.ts'
import { measurePace, PULLS_PER_SECOND, type Pace } from './outage/pace.ts'
import { withProxy } from './outage/proxy.ts'
import { createWorld, type Dependency } from './outage/world.ts'
import { SERVER_CORE } from './peers.ts'
import { median, spreadOf, spreadText } from './report.ts'
import type { Scenario, ScenarioInput, ScenarioResult, Table } from './scenario.ts'

/** Those that a warm pull could notice: where manifests come from, and where trust does. */
const OUTAGES: readonly { readonly dependency: Dependency; readonly fault: Fault }[] = [
  { dependency: 'registry', fault: 'refused' },
  { dependency: 'registry', fault: 'hanging' },
  { dependency: 'tuf', fault: 'hanging' },
]
/** A hundredth of what comes in less is a handful of pulls. */
const SECONDS_MIN = 10
/** What the issue allows, and what no noise of a machine explains. */
const RATIO_TARGET = 1.2
const RATIO_MAX = 3

const KINDS = [
  { kind: 'byDigest', text: 'by digest' },
  { kind: 'byTag', text: 'by tag' },
] as const

async function measureAll(input: ScenarioInput): Promise<readonly Pace[]> {
  await using world = await createWorld()
  const forMs = 1000 * (input.isQuick ? input.seconds : Math.max(input.seconds, SECONDS_MIN))
  const settings = { openImagesMax: 1, cores: String(SERVER_CORE) }
  return await withProxy(world, settings, (alive) =>
    withProxy(world, settings, async (dead) => {
      const paces: Pace[] = []
      for (let round = 0; round < input.rounds; round += 1) {
        for (const outage of OUTAGES) {
          // oxlint-disable-next-line no-await-in-loop -- what is timed runs alone
          const pace = await measurePace(world, { dead, alive }, { ...outage, forMs })
          paces.push(pace)
          input.progress(
            `round ${round + 1}, ${nameOf(pace)}: p99 dead : alive by digest ${pace.byDigest.ratio.toFixed(2)}, by tag ${pace.byTag.ratio.toFixed(2)}`,
          )
        }
      }
      return paces
    }),
  )
}

function nameOf({ dependency, fault }: Pick<Pace, 'dependency' | 'fault'>): string {
  return `${dependency} ${fault}`
}

type Row = {
  readonly outage: string
  readonly pull: string
  readonly deadMs: readonly number[]
  readonly aliveMs: readonly number[]
  /** Of the medians: two p99 of one round are as far apart as the machine likes. */
  readonly ratio: number
}

function rowsOf(paces: readonly Pace[]): readonly Row[] {
  return [...Map.groupBy(paces, nameOf)].flatMap(([outage, own]) =>
    KINDS.map(({ kind, text }) => {
      const deadMs = own.map((pace) => pace[kind].deadMs)
      const aliveMs = own.map((pace) => pace[kind].aliveMs)
      return { outage, pull: text, deadMs, aliveMs, ratio: median(deadMs) / median(aliveMs) }
    }),
  )
}

function tableOf(rows: readonly Row[]): Table {
  return {
    columns: ['outage', 'warm pull', 'p99 in the outage, ms', 'p99 without, ms', 'ratio'],
    rows: rows.map(({ outage, pull, deadMs, aliveMs, ratio }) => [
      outage,
      pull,
      spreadText(deadMs, 2),
      spreadText(aliveMs, 2),
      ratio.toFixed(2),
    ]),
  }
}

async function run(input: ScenarioInput): Promise<ScenarioResult> {
  const paces = await measureAll(input)
  const rows = rowsOf(paces)
  return {
    conditions: [
      'two equal proxies on core 0, the dependency of one of them dead; both are asked for the same image at the same moment, who comes first by turns; generator, registry and TUF repository on core 1',
      `${PULLS_PER_SECOND} warm pulls a second of each, half by digest, half by tag (which is asked for upstream every second); from 3 s after the outage began`,
      `median (lowest–highest) of ${input.rounds} rounds, both proxies started anew in each. Target: a ratio of at most ${RATIO_TARGET}`,
      'what an outage does to pulls that are not warm: docs/outages.md',
    ],
    tables: [tableOf(rows)],
    plots: [
      {
        kind: 'bars',
        name: 'p99',
        title: 'Warm pulls in an outage',
        unit: 'p99, ms',
        groups: rows.map(({ outage, pull, deadMs, aliveMs }) => ({
          label: `${outage}, ${pull}`,
          bars: [
            { label: 'in the outage', ...spreadOf(deadMs) },
            { label: 'without', ...spreadOf(aliveMs) },
          ],
        })),
      },
    ],
    checks: [
      exactly(
        'failed warm pulls',
        paces.reduce((sum, { failed }) => sum + failed, 0),
        0,
      ),
      ...rows.map(({ outage, pull, ratio }) =>
        atMost(`${outage}, ${pull}: p99 dead : alive`, ratio, RATIO_MAX),
      ),
    ],
  }
}

export const outage: Scenario = {
  name: 'outage',
  about: 'Warm pulls while the registry or the TUF repository is dead, beside a proxy for which it is not.',
  tools: [],
  run,
}
