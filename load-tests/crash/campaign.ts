import { setTimeout as sleep } from 'node:timers/promises'
import { seededRandom, type Random } from '../../src/store/testing/random.ts'
import { checkRecords, checkServed } from './checks.ts'
import { Ledger } from './ledger.ts'
import { drive } from './load.ts'
import { killWhileStarting, startProxy, type Proxy } from './proxy.ts'
import { createWorld, type World } from './world.ts'

export type CampaignOptions = {
  /** How often the proxy is killed. */
  readonly times: number
  readonly seed: number
  /** Told after every round. */
  readonly onRound?: (round: Round) => void
}

export type Round = {
  readonly number: number
  /** With registry and trust repository dead. */
  readonly dark: boolean
  readonly startMs: number
  readonly summary: Summary
}

export type Summary = {
  readonly kills: number
  readonly startsMs: readonly number[]
  readonly answers: number
  readonly brokenAnswers: number
  readonly decisions: number
  readonly served: number
  readonly blobs: number
  readonly violations: readonly string[]
}

/** The kill comes this long after the first request, at most; early ones find everything still cold. */
const LOAD_MS_MAX = 500
/** One round in so many is killed while it starts, too. */
const KILLED_STARTING = 6
const STARTING_MS_MAX = 900
/** One round in so many has everything dead that the proxy depends on, from before its start until after its end. */
const DARK_EVERY = 3

/**
 * Kills the real proxy under load, again and again over one data directory, and checks after every restart that nothing
 * is lost and nothing is wrong. Ends at the first round with a violation.
 */
export async function runCampaign({ times, seed, onRound }: CampaignOptions): Promise<Summary> {
  await using world = await createWorld()
  const random = seededRandom(seed)
  const ledger = new Ledger(world)
  const startsMs: number[] = []
  let kills = 0
  const summary = (): Summary => summarise(ledger, { kills, startsMs })

  for (let number = 1; kills < times && ledger.violations.length === 0; number += 1) {
    // oxlint-disable no-await-in-loop -- round after round is the point
    await world.grow(random)
    const dark = number % DARK_EVERY === 0
    if (dark) await world.goDark()
    if (random(KILLED_STARTING) === 0) {
      await killWhileStarting(world, random(STARTING_MS_MAX))
      kills += 1
    }
    const proxy = await startProxy(world)
    if ('problem' in proxy) {
      ledger.violation(proxy.problem)
      return summary()
    }
    startsMs.push(proxy.startMs)
    const from = { world, ledger, random }
    checkRecords(from)
    await checkServed(from, !dark)
    await loadAndKill(from, proxy, !dark)
    kills += 1
    ledger.noteKept()
    if (dark) await world.comeBack()
    // oxlint-enable no-await-in-loop
    onRound?.({ number, dark, startMs: proxy.startMs, summary: summary() })
  }
  return summary()
}

async function loadAndKill(
  from: { world: World; ledger: Ledger; random: Random },
  proxy: Proxy,
  isLight: boolean,
): Promise<void> {
  let over = false
  const load = drive({ ...from, isLight }, () => over)
  await sleep(from.random(LOAD_MS_MAX))
  if (!proxy.isAlive()) from.ledger.violation(`the proxy ended by itself: ${proxy.output()}`)
  over = true
  await proxy.kill()
  await load
}

function summarise(ledger: Ledger, ran: Pick<Summary, 'kills' | 'startsMs'>): Summary {
  const { answers, brokenAnswers, violations } = ledger
  return {
    ...ran,
    answers,
    brokenAnswers,
    decisions: ledger.decisions.size,
    served: ledger.served.size,
    blobs: ledger.keptBlobs.size,
    violations,
  }
}
