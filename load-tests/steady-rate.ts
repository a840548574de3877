import type { Target } from './measure.ts'
import { paced, percentileMs, requestsPerSecond, type PacedResult } from './paced.ts'
import type { Peer } from './peers.ts'
import { median, spreadOf, spreadText } from './report.ts'
import { rotated } from './rounds.ts'
import { medianRate, NGINX, OURS, type Row } from './rows.ts'
import type { Plot, ScenarioInput, Table } from './scenario.ts'

/** Of nginx's saturation: busy, and still with room for what comes late. */
const SHARE = 0.8
const CEILING_SECONDS = 2
/** A new connection takes Node four times the CPU that nginx takes, and all of them are opened in the first moment. */
const LEAD_IN_SECONDS = 1

type Latency = { readonly p50Ms: number; readonly p99Ms: number; readonly p999Ms: number }

export type SteadyRow = {
  readonly what: string
  readonly peer: string
  readonly askedPerSecond: number
  /** What was asked, of nginx's saturation; below SHARE where the generator cannot ask for more. */
  readonly share: number
  readonly samples: readonly (Latency & { readonly latenessP99Ms: number; readonly failed: number })[]
}

function sampleOf({ latency, lateness, failed }: PacedResult): SteadyRow['samples'][number] {
  const [p50Ms, p99Ms, p999Ms] = [50, 99, 99.9].map((percentile) => percentileMs(latency, percentile))
  if (p50Ms === undefined || p99Ms === undefined || p999Ms === undefined) throw new Error('no percentiles')
  return { p50Ms, p99Ms, p999Ms, latenessP99Ms: percentileMs(lateness, 99), failed }
}

type Steady<What> = {
  /** Of the closed loops before: they say what nginx can do. */
  readonly rows: readonly Row[]
  readonly requests: readonly What[]
  readonly peers: readonly Peer[]
  /** Asked once before each sample, so that all begin with what they were told a moment ago. */
  readonly warm: (what: What, peer: Peer) => Promise<Target>
}

/**
 * Latency at the same constant rate for all, 80 % of what nginx can do, each measured from the moment at which the request
 * was due: a server that cannot keep up has no mercy from requests that wait to be sent.
 */
export async function measureAtShare<What extends string>(
  { rows, requests, peers, warm }: Steady<What>,
  { rounds, seconds, connections, progress }: ScenarioInput,
): Promise<readonly SteadyRow[]> {
  const found: SteadyRow[] = []
  for (const what of requests) {
    const saturated = rows.find((row) => row.peer === NGINX && row.what === what)
    const nginx = peers.find(({ name }) => name === NGINX)
    if (saturated === undefined || nginx === undefined) throw new Error(`${what}: nginx was not measured`)
    const saturation = medianRate(saturated)
    const closed = { ratePerSecond: Number.POSITIVE_INFINITY, seconds: CEILING_SECONDS, connections }
    const ceiling = requestsPerSecond(await paced(await warm(what, nginx), closed))
    const askedPerSecond = Math.floor(SHARE * Math.min(saturation, ceiling))
    const cells = peers.map((peer) => ({ peer, samples: new Array<SteadyRow['samples'][number]>() }))
    for (let round = 0; round < rounds; round += 1) {
      for (const { peer, samples } of rotated(cells, round)) {
        const pace = {
          ratePerSecond: askedPerSecond,
          seconds: LEAD_IN_SECONDS + seconds,
          leadInSeconds: LEAD_IN_SECONDS,
          connections,
        }
        const sample = sampleOf(await paced(await warm(what, peer), pace))
        samples.push(sample)
        progress(`round ${round + 1}: ${what} at ${askedPerSecond}/s, ${peer.name}: p99 ${sample.p99Ms} ms`)
      }
    }
    const share = askedPerSecond / saturation
    for (const { peer, samples } of cells)
      found.push({ what, peer: peer.name, askedPerSecond, share, samples })
  }
  return found
}

function p99s(row: SteadyRow): readonly number[] {
  return row.samples.map(({ p99Ms }) => p99Ms)
}

/** Our median p99 to nginx's. */
export function p99Ratio(rows: readonly SteadyRow[], what: string): number {
  const of = (peer: string) => rows.find((row) => row.what === what && row.peer === peer)
  const [ours, nginx] = [of(OURS), of(NGINX)]
  return ours === undefined || nginx === undefined ? Number.NaN : median(p99s(ours)) / median(p99s(nginx))
}

export function steadyTable(rows: readonly SteadyRow[]): Table {
  return {
    title: `Latency at a constant rate, ${100 * SHARE} % of nginx's saturation`,
    columns: [
      'request',
      'server',
      'asked/s',
      'of nginx',
      'p50 ms',
      'p99 ms',
      'p99.9 ms',
      'late p99 ms',
      'failed',
    ],
    rows: rows.map(({ what, peer, askedPerSecond, share, samples }) => [
      what,
      peer,
      String(askedPerSecond),
      `${(100 * share).toFixed(0)} %`,
      ...(['p50Ms', 'p99Ms', 'p999Ms', 'latenessP99Ms'] as const).map((name) =>
        spreadText(
          samples.map((sample) => sample[name]),
          2,
        ),
      ),
      String(samples.reduce((sum, { failed }) => sum + failed, 0)),
    ]),
  }
}

export function steadyPlot(rows: readonly SteadyRow[]): Plot {
  const groups = [...new Set(rows.map(({ what }) => what))].map((what) => ({
    label: what,
    bars: rows.filter((row) => row.what === what).map((row) => ({ label: row.peer, ...spreadOf(p99s(row)) })),
  }))
  const title = `p99 at ${100 * SHARE} % of nginx's saturation`
  return { kind: 'bars', name: 'p99', title, unit: 'ms, less is better', groups }
}
