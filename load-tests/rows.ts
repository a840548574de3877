import type { Sample } from './measure.ts'
import { median, spreadOf, spreadText } from './report.ts'
import type { Plot, Table } from './scenario.ts'

type Measured = Sample & {
  /** Microseconds of the server's own user and system time for each request. */
  readonly serverCpuMicros: number
}

/** What one peer did with one kind of request, a sample a round. */
export type Row = { readonly peer: string; readonly what: string; readonly samples: readonly Measured[] }

/** The peer that every other is compared with. */
export const OURS = 'Portcullis'
export const NGINX = 'nginx proxy_cache'
/** The same, and it says as much of each request as Portcullis does. */
export const LOGGING_NGINX = 'nginx proxy_cache, access log'
export const PULL_THROUGH = 'docker-registry pull-through'
export const ZOT = 'zot'
export const BARE = 'node:http, no work'
export const BARE_BLOBS = 'node:net, from memory'

function rates(row: Row): readonly number[] {
  return row.samples.map((sample) => sample.requestsPerSecond)
}

export function medianRate(row: Row): number {
  return median(rates(row))
}

/** Portcullis' median rate to that of `peer` for the same request; undefined where either was not measured. */
export function ratioTo(rows: readonly Row[], peer: string, what: string): number | undefined {
  const of = (name: string) => rows.find((row) => row.peer === name && row.what === what)
  const [ours, other] = [of(OURS), of(peer)]
  return ours === undefined || other === undefined ? undefined : medianRate(ours) / medianRate(other)
}

export function failures(rows: readonly Row[]): number {
  return rows.flatMap(({ samples }) => samples).reduce((sum, { failed }) => sum + failed, 0)
}

/** `median (lowest–highest)` over the rounds; ratios are Portcullis' median to the other's. */
export function rateTable(rows: readonly Row[]): Table {
  return {
    columns: [
      'request',
      'server',
      'requests/s',
      'p50 ms',
      'p99 ms',
      'Portcullis : this',
      'server CPU µs',
      'generator busy',
      'failed',
    ],
    rows: rows.map((row) => {
      const column = (pick: (sample: Measured) => number) => row.samples.map(pick)
      return [
        row.what,
        row.peer,
        spreadText(rates(row), 0),
        spreadText(
          column(({ p50Ms }) => p50Ms),
          2,
        ),
        spreadText(
          column(({ p99Ms }) => p99Ms),
          2,
        ),
        (ratioTo(rows, row.peer, row.what) ?? Number.NaN).toFixed(2),
        spreadText(
          column(({ serverCpuMicros }) => serverCpuMicros),
          1,
        ),
        `${(100 * median(column(({ generatorBusy }) => generatorBusy))).toFixed(0)} %`,
        String(failures([row])),
      ]
    }),
  }
}

export function ratePlot(name: string, title: string, rows: readonly Row[]): Plot {
  const groups = [...new Set(rows.map(({ what }) => what))].map((what) => ({
    label: what,
    bars: rows
      .filter((row) => row.what === what)
      .map((row) => ({ label: row.peer, ...spreadOf(rates(row)) })),
  }))
  return { kind: 'bars', name, title, unit: 'requests/s', groups }
}
