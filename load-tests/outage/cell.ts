import { setTimeout as pause } from 'node:timers/promises'
import { mapBounded } from '../../src/discover/map-bounded.ts'
import { expectedOutcome, type Moment } from './expected.ts'
import type { Fault } from './front.ts'
import type { Image, Slot } from './images.ts'
import { ask, outcomeOf, CLIENT, pull, type Pull } from './pull.ts'
import { admissionsOnDisk, metricsOf, refreshTrust, type LogLine, type Proxy } from './proxy.ts'
import type { Dependency, Fronts, World } from './world.ts'

export type Seen = { readonly moment: Moment; readonly image: Image; readonly got: Pull['outcome'] }

/** What one dependency's one way to fail did to one proxy. */
export type CellResult = {
  readonly dependency: Dependency
  readonly fault: Fault
  readonly seen: readonly Seen[]
  /** Whatever was not as it should be, in words. */
  readonly deviations: readonly string[]
  /** Milliseconds: of the start while the dependency is dead, with an empty and with a full data directory. */
  readonly firstStartMs?: number
  readonly restartMs?: number
  /** From when the dependency is back until everything is as if it had never been away. */
  readonly recoveredMs: number
  readonly price?: Price
  /** What was logged at level warn or error, each kind once. */
  readonly lines: readonly string[]
  readonly metrics: readonly string[]
}

/** What a pull costs that needs the dead dependency, after the first few. */
type Price = { readonly asked: number; readonly medianMs: number; readonly pulls: number }

export type Cell = {
  readonly world: World
  readonly fronts: Fronts
  readonly proxy: Proxy
  readonly dependency: Dependency
  readonly fault: Fault
}

/** At a time: what is measured is not how many fit. */
const PULLS_AT_ONCE = 4
const REFRESH_LIMIT_MS = 700
/** The longest pause of a breaker, and what follows it. */
const RECOVERY_LIMIT_MS = 45_000
const LOG_LIMIT_MS = 5_000
const POLL_MS = 250
/** Where nothing may pass, there is room for it all the same: what is held is not held for want of budget. */
const BUDGET_UNUSED = 40

/** What was seen of one proxy, and what of it was not as it should be. */
export class Notes {
  readonly seen: Seen[] = []
  readonly deviations: string[] = []
  /** Repositories that stance open let pass. */
  readonly admitted = new Set<string>()
  readonly #cell: Cell

  constructor(cell: Cell) {
    this.#cell = cell
  }

  /** Pulls every image of the slots and compares what it got with what the rules say. */
  async look(moment: Moment, slots: readonly Slot[]): Promise<void> {
    const { world, proxy, dependency, fault } = this.#cell
    const images = world.images.filter(({ slot }) => slots.includes(slot))
    const pulls = await mapBounded(images, PULLS_AT_ONCE, (image) => pull(proxy.port(), image))
    for (const [index, image] of images.entries()) {
      const { outcome: got, message } = pulls[index] ?? { outcome: 'wrong: nothing', message: '' }
      this.seen.push({ moment, image, got })
      if (got === 'open') this.admitted.add(image.repository)
      const expected = expectedOutcome({ dependency, fault, moment }, image)
      if (got !== expected)
        this.deviations.push(`${moment}: ${image.repository} expected ${expected}, got ${got} ${message}`)
    }
  }

  check(what: string, isRight: boolean): void {
    if (!isRight) this.deviations.push(what)
  }

  /** Pulls until everything is as it should be, and says how long that took. */
  async recovered(slots: readonly Slot[]): Promise<number> {
    const { world, proxy, dependency, fronts } = this.#cell
    await fronts[dependency].breakWith(undefined)
    const started = performance.now()
    const elapsed = (): number => performance.now() - started
    let waiting = world.images.filter(({ slot }) => slots.includes(slot))
    while (waiting.length > 0 && elapsed() < RECOVERY_LIMIT_MS) {
      await refreshTrust(proxy, REFRESH_LIMIT_MS)
      const replies = await mapBounded(waiting, PULLS_AT_ONCE, (image) =>
        ask(proxy.port(), 'GET', `/v2/${image.repository}/manifests/v1`),
      )
      // What a stance lets pass is a 200, too, and not what it should be yet.
      const outcomes = replies.map(outcomeOf)
      waiting = waiting.filter(
        (image, index) => outcomes[index] !== (image.signature === 'good' ? 'served' : 'refused'),
      )
      if (waiting.length > 0) await pause(POLL_MS)
    }
    const ms = elapsed()
    await this.look('recovery', slots)
    return ms
  }
}

/** First start with the dependency dead: nothing was ever fetched. Then killed, started again, and the dependency mended. */
export async function runFirstStart(cell: Cell): Promise<CellResult> {
  const { fronts, proxy, dependency, fault } = cell
  const notes = new Notes(cell)
  const brokenAt = new Date()
  await fronts[dependency].breakWith(fault)
  const firstStartMs = await proxy.start()
  await notes.look('first', ['first'])
  await checkBudget(cell, notes)
  const metrics = await proxyMetrics(proxy)
  await checkAdmitted(cell, notes)
  const lines = tellingLines(await proxy.log(), brokenAt)
  await proxy.kill()
  checkDisk(cell, notes)
  await proxy.start()
  await notes.look('first', ['first'])
  const recoveredMs = await notes.recovered(['first'])
  await checkReviewed(cell, notes)
  await proxy.kill()
  const { seen, deviations } = notes
  return { dependency, fault, seen, deviations, firstStartMs, recoveredMs, lines, metrics }
}

/** Warm, then the dependency dies; then the proxy is killed and started without it; then the dependency is mended. */
export async function runWarm(cell: Cell): Promise<CellResult> {
  const { fronts, proxy, dependency, fault } = cell
  const notes = new Notes(cell)
  await proxy.start()
  await notes.look('recovery', ['known'])
  const brokenAt = new Date()
  await fronts[dependency].breakWith(fault)
  await refreshTrust(proxy, REFRESH_LIMIT_MS)
  await notes.look('during', ['known', 'during'])
  const price = await priceOf(cell)
  const metrics = await proxyMetrics(proxy)
  await checkAdmitted(cell, notes)
  const lines = tellingLines(await proxy.log(), brokenAt)
  await proxy.kill()
  checkDisk(cell, notes)
  const restartMs = await proxy.start()
  await notes.look('restart', ['known', 'during', 'restart'])
  const recoveredMs = await notes.recovered(['known', 'during', 'restart'])
  await checkReviewed(cell, notes)
  await proxy.kill()
  const { seen, deviations } = notes
  return { dependency, fault, seen, deviations, restartMs, recoveredMs, price, lines, metrics }
}

/** How many images stance open lets pass in a run, if it does what it should: that is given to it as its budget. */
export function openBudgetOf(
  world: World,
  what: Pick<Cell, 'dependency' | 'fault'>,
  moments: readonly Moment[],
): number {
  const admitted = moments.flatMap((moment) =>
    world.images.filter(
      (image) => image.slot === moment && expectedOutcome({ ...what, moment }, image) === 'open',
    ),
  )
  return admitted.length === 0 ? BUDGET_UNUSED : admitted.length
}

/** The budget is as large as what was let pass, so one more is held, though its stance is open. */
async function checkBudget({ world, proxy, dependency, fault }: Cell, notes: Notes): Promise<void> {
  if (notes.admitted.size === 0) return
  const extra = world.images.filter(
    (image) =>
      image.slot === 'extra' && expectedOutcome({ dependency, fault, moment: 'first' }, image) === 'held',
  )
  for (const image of extra) {
    const { outcome } = await pull(proxy.port(), image)
    notes.check(`budget: ${image.repository} expected held, got ${outcome}`, outcome === 'held')
  }
}

/** Every image that was let pass has its alert, which names who pulled it. */
async function checkAdmitted({ proxy }: Cell, notes: Notes): Promise<void> {
  const told = await namedIn(proxy, 'admitted', notes.admitted)
  for (const repository of notes.admitted)
    notes.check(`no alert: ${repository} was let pass`, told.get(repository) === CLIENT)
}

/** What was let pass is on the disk of a proxy that was killed without notice. */
export function checkDisk({ proxy }: Pick<Cell, 'proxy'>, notes: Notes): void {
  const rows = admissionsOnDisk(proxy)
  for (const repository of notes.admitted) {
    const isThere = rows.some((row) => row.repository === repository && row.clients.includes(CLIENT))
    notes.check(`lost by SIGKILL: the record that ${repository} was let pass`, isThere)
  }
  notes.check(
    `on disk: ${rows.length} admissions of ${notes.admitted.size}`,
    rows.length === notes.admitted.size,
  )
}

/** After the outage everything that was let pass was judged again, and what should not have been is told with its clients. */
async function checkReviewed({ world, proxy }: Cell, notes: Notes): Promise<void> {
  const wrong = world.images
    .filter(({ repository, signature }) => notes.admitted.has(repository) && signature !== 'good')
    .map(({ repository }) => repository)
  const told = await namedIn(proxy, 'admission-violated', new Set(wrong))
  for (const repository of wrong)
    notes.check(
      `no alert: ${repository} was let pass and violates its policy`,
      told.get(repository) === CLIENT,
    )
  notes.check('alerts of violations that were none', told.size === wrong.length)
  const left = await leftOpen(proxy)
  notes.check(`after the outage: ${left}`, left === NONE_OPEN)
}

const NONE_OPEN = 'portcullis_open_admissions 0'

/** What still waits to be judged; the review comes by every second. */
async function leftOpen(proxy: Proxy): Promise<string | undefined> {
  const started = performance.now()
  for (;;) {
    const line = (await metricsOf(proxy)).find((one) => one.startsWith('portcullis_open_admissions '))
    if (line === NONE_OPEN || performance.now() - started > LOG_LIMIT_MS) return line
    await pause(POLL_MS)
  }
}

/** Client by repository, from the log lines of one event; waits for all that are wanted, since the log is buffered. */
async function namedIn(
  proxy: Proxy,
  event: string,
  wanted: ReadonlySet<string>,
): Promise<ReadonlyMap<string, string>> {
  const started = performance.now()
  for (;;) {
    const lines = (await proxy.log()).filter((line) => line.event === event)
    const told = new Map(
      lines.map((line) => [
        String(line['image']).replace('registry.test/', ''),
        String(line['client'] ?? line['clients']),
      ]),
    )
    if (wanted.size <= told.size || performance.now() - started > LOG_LIMIT_MS) return told
    await pause(POLL_MS)
  }
}

const PRICED_PULLS = 20
const PRICE_LIMIT_MS = 20_000
const CHEAP_MS = 100

/** A pull that needs what is missing, or where none does, one that was warm: first until it is cheap, then counted. */
async function priceOf({ world, proxy, dependency, fault, fronts }: Cell): Promise<Price> {
  const needing = world.images.find(
    (image) =>
      image.slot === 'during' &&
      image.stance === 'closed' &&
      !['served', 'refused'].includes(expectedOutcome({ dependency, fault, moment: 'during' }, image)),
  )
  const image = needing ?? world.images.find(({ slot }) => slot === 'known')
  if (image === undefined) throw new TypeError('no image')
  const once = () => ask(proxy.port(), 'GET', `/v2/${image.repository}/manifests/v1`)
  const started = performance.now()
  while ((await once()).ms > CHEAP_MS && performance.now() - started < PRICE_LIMIT_MS);
  const before = fronts[dependency].asked()
  const times: number[] = []
  for (let index = 0; index < PRICED_PULLS; index++) times.push((await once()).ms)
  const medianMs = times.toSorted((a, b) => a - b)[PRICED_PULLS / 2] ?? Number.NaN
  return { asked: fronts[dependency].asked() - before, medianMs, pulls: PRICED_PULLS }
}

/** Of each kind the first line that tells of the outage. */
function tellingLines(lines: readonly LogLine[], since: Date): readonly string[] {
  const telling = lines.filter(
    ({ event, level, time }) =>
      String(time) >= since.toISOString() &&
      ['circuit', 'trust', 'kms', 'admitted'].includes(event ?? '') &&
      (level === 'warn' || level === 'error'),
  )
  const first = new Map(telling.toReversed().map((line) => [line.event, `${line.event}: ${line.msg ?? ''}`]))
  return [...first.values()]
}

const TELLING_METRIC =
  /^portcullis_(?:circuit_open|undetermined_total|trust_renewals_total\{.*failed|trust_state\{.*(?:stale|unusable)|log_lookups_total\{.*(?:unavailable|refused)|admitted_total|open_admissions)\b.* [1-9]/

async function proxyMetrics(proxy: Proxy): Promise<readonly string[]> {
  return (await metricsOf(proxy)).filter((line) => TELLING_METRIC.test(line))
}
