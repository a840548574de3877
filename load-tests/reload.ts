import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { atMost, exactly } from './checks.ts'
import { warmTargets, WARM_IMAGES } from './cold/warm.ts'
import type { Target } from './measure.ts'
import { paced } from './paced.ts'
import { startPortcullisPeer, type PortcullisPeer } from './peers.ts'
import { changesOf, type Change } from './reload/changes.ts'
import { probe, verdictsOf, type Times, type Verdicts } from './reload/probes.ts'
import { createReloadWorld, type Side, type Subject } from './reload/world.ts'
import { median, spreadOf, spreadText } from './report.ts'
import type { Scenario, ScenarioInput, ScenarioResult, Table } from './scenario.ts'

const WARM_PER_SECOND = 1_000
/** Before a change, and after it was acknowledged. */
const WINDOW_MS = 1_500
const QUICK_WINDOW_MS = 500
/** Longer than any change: the load ends when the change is over. */
const LOAD_SECONDS_MAX = 60

type Outcome = {
  readonly change: string
  readonly acknowledgedAfterMs: number
  readonly quietP99Ms: number
  readonly aroundP99Ms: number
  readonly failed: number
  readonly verdicts: Verdicts
}

type Place = { readonly proxy: PortcullisPeer; readonly warm: readonly Target[] }
type Answered = { readonly dueMs: number; readonly latencyMs: number }

/** Warm pulls and probes from one window before the change until one after it. */
async function measureChange(
  { proxy, warm }: Place,
  change: Change,
  to: Side,
  { connections, isQuick }: ScenarioInput,
): Promise<Outcome> {
  const windowMs = isQuick ? QUICK_WINDOW_MS : WINDOW_MS
  const over = new AbortController()
  const answers: Answered[] = []
  const pace = paced(warm, {
    ratePerSecond: WARM_PER_SECOND,
    seconds: LOAD_SECONDS_MAX,
    connections,
    signal: over.signal,
    onAnswer: (dueMs, latencyMs) => answers.push({ dueMs, latencyMs }),
  })
  const probes = probe(proxy.url, change.subject, over.signal)
  const startedMs = performance.now()
  // Connections are opened and compilers warm up in the first half of it.
  await pause(2 * windowMs)
  const times = await timed(() => change.apply(to))
  await pause(windowMs)
  over.abort()
  const [{ failed }, seen] = await Promise.all([pace, probes])
  const between = (fromMs: number, untilMs: number): number =>
    p99(answers.filter(({ dueMs }) => dueMs >= fromMs && dueMs < untilMs).map(({ latencyMs }) => latencyMs))
  return {
    change: change.name,
    acknowledgedAfterMs: times.acknowledgedMs - times.beganMs,
    quietP99Ms: between(startedMs + windowMs, times.beganMs),
    aroundP99Ms: between(times.beganMs, times.acknowledgedMs + windowMs),
    failed,
    verdicts: verdictsOf(seen, to, times),
  }
}

async function timed(apply: () => Promise<void>): Promise<Times> {
  const beganMs = performance.now()
  await apply()
  return { beganMs, acknowledgedMs: performance.now() }
}

function p99(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length * 0.99)] ?? Number.NaN
}

type Step = { readonly change: Change; readonly to: Side }

/** Every change there and back again, two samples of each. All ways to change the policies change the same file. */
function stepsOf(changes: readonly Change[], rounds: number): readonly Step[] {
  const sides = new Map<Subject, Side>()
  return Array.from({ length: 2 * Math.ceil(rounds / 2) }, () => changes)
    .flat()
    .map((change) => {
      const to = sides.get(change.subject) === 'b' ? 'a' : 'b'
      sides.set(change.subject, to)
      return { change, to }
    })
}

async function measureAll(input: ScenarioInput): Promise<readonly Outcome[]> {
  const directory = join(input.directory, 'proxy')
  await using world = await createReloadWorld(directory)
  const proxy = await startPortcullisPeer(world.proxyOptions)
  try {
    const place = { proxy, warm: await warmTargets(world.cold, proxy.url) }
    const outcomes: Outcome[] = []
    for (const { change, to } of stepsOf(changesOf(world, proxy), input.rounds)) {
      const outcome = await measureChange(place, change, to, input)
      outcomes.push(outcome)
      const { acknowledgedAfterMs, aroundP99Ms, quietP99Ms, verdicts } = outcome
      input.progress(
        `${change.name}: after ${acknowledgedAfterMs.toFixed(0)} ms, p99 ${aroundP99Ms.toFixed(2)} ms (before ${quietP99Ms.toFixed(2)} ms), ${verdicts.old} old verdicts`,
      )
    }
    return outcomes
  } finally {
    await proxy.running.stop()
  }
}

function tableOf(outcomes: readonly Outcome[]): Table {
  const rows = [...Map.groupBy(outcomes, ({ change }) => change)].map(([change, own]) => {
    const column = (pick: (outcome: Outcome) => number) => own.map(pick)
    const sum = (pick: (outcome: Outcome) => number) => column(pick).reduce((all, one) => all + one, 0)
    const quiet = column(({ quietP99Ms }) => quietP99Ms)
    const around = column(({ aroundP99Ms }) => aroundP99Ms)
    return [
      change,
      spreadText(
        column((one) => one.acknowledgedAfterMs),
        0,
      ),
      spreadText(
        column(({ verdicts }) => verdicts.newAfterMs),
        0,
      ),
      spreadText(quiet, 2),
      spreadText(around, 2),
      (median(around) / median(quiet)).toFixed(2),
      String(sum(({ failed }) => failed)),
      `${sum(({ verdicts }) => verdicts.old)} of ${sum(({ verdicts }) => verdicts.asked)}`,
    ]
  })
  return {
    columns: [
      'change',
      'acknowledged after ms',
      'first new verdict after ms',
      'p99 before, ms',
      'p99 around, ms',
      'ratio',
      'failed',
      'old verdicts',
    ],
    rows,
  }
}

async function run(input: ScenarioInput): Promise<ScenarioResult> {
  const outcomes = await measureAll(input)
  const sum = (pick: (outcome: Outcome) => number) => outcomes.reduce((all, one) => all + pick(one), 0)
  const quiet = outcomes.map(({ quietP99Ms }) => quietP99Ms)
  const around = outcomes.map(({ aroundP99Ms }) => aroundP99Ms)
  const windowMs = input.isQuick ? QUICK_WINDOW_MS : WINDOW_MS
  return {
    conditions: [
      'proxy on core 0; generator, registry and TUF repository in one process on core 1',
      `${WARM_PER_SECOND} warm pulls a second of ${WARM_IMAGES} images by digest over ${input.connections} connections, each counted from the moment at which it was due; every change makes the proxy judge all of them again, from evidence on disk`,
      `p99 around: from the beginning of the change until ${windowMs} ms after its acknowledgement; before: the ${windowMs} ms before it`,
      'beside them two images, one of which counts before the change and the other after it, each asked for about every 10 ms: an answer that was asked for after the acknowledgement must be by the new state',
      'each change there and back, as often as the table says with its spread; the directory of policies is looked at every second, and counts when it looked the same twice',
    ],
    tables: [tableOf(outcomes)],
    plots: [
      {
        kind: 'bars',
        name: 'p99',
        title: 'Warm pulls around a change of policies or trust',
        unit: 'p99, ms',
        groups: [...Map.groupBy(outcomes, ({ change }) => change)].map(([label, own]) => ({
          label,
          bars: [
            { label: 'before', ...spreadOf(own.map(({ quietP99Ms }) => quietP99Ms)) },
            { label: 'around', ...spreadOf(own.map(({ aroundP99Ms }) => aroundP99Ms)) },
          ],
        })),
      },
    ],
    checks: [
      exactly(
        'failed warm pulls',
        sum(({ failed }) => failed),
        0,
      ),
      exactly(
        'verdicts of the old state after the acknowledgement',
        sum(({ verdicts }) => verdicts.old),
        0,
      ),
      exactly(
        'changes that were never seen',
        outcomes.filter(({ verdicts }) => Number.isNaN(verdicts.newAfterMs)).length,
        0,
      ),
      atMost('p99 around a change to that before it', median(around) / median(quiet), 20),
    ],
  }
}

export const reload: Scenario = {
  name: 'reload',
  about: 'Policies are replaced and trust is rotated under a constant load of warm pulls.',
  tools: [],
  run,
}
