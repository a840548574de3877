import type { Sample } from './measure.ts'

export type Row = { readonly peer: string; readonly what: string; readonly samples: readonly Sample[] }

function sorted(values: readonly number[]): readonly number[] {
  return values.toSorted((a, b) => a - b)
}

export function median(values: readonly number[]): number {
  const order = sorted(values)
  const middle = Math.floor(order.length / 2)
  const upper = order[middle] ?? Number.NaN
  return order.length % 2 === 1 ? upper : ((order[middle - 1] ?? upper) + upper) / 2
}

function spread(values: readonly number[], digits: number): string {
  const order = sorted(values)
  const [low, high] = [order[0] ?? Number.NaN, order.at(-1) ?? Number.NaN]
  return `${median(values).toFixed(digits)} (${low.toFixed(digits)}–${high.toFixed(digits)})`
}

export function medianRate(row: Row): number {
  return median(row.samples.map((sample) => sample.requestsPerSecond))
}

/** One table, `median (lowest–highest)` over the rounds; ratios are Portcullis' median to the other's. */
export function reportMarkdown(title: string, conditions: readonly string[], rows: readonly Row[]): string {
  const lines = [
    `## ${title}`,
    '',
    ...conditions.map((condition) => `- ${condition}`),
    '',
    '| request | server | requests/s | p50 ms | p99 ms | Portcullis : this | generator busy | failed |',
    '|---|---|---|---|---|---|---|---|',
  ]
  for (const row of rows) {
    const ours = rows.find(({ peer, what }) => what === row.what && peer === 'Portcullis')
    const ratio = ours === undefined ? Number.NaN : medianRate(ours) / medianRate(row)
    const column = (pick: (sample: Sample) => number) => row.samples.map(pick)
    const cells = [
      row.what,
      row.peer,
      spread(
        column((sample) => sample.requestsPerSecond),
        0,
      ),
      spread(
        column((sample) => sample.p50Ms),
        2,
      ),
      spread(
        column((sample) => sample.p99Ms),
        2,
      ),
      ratio.toFixed(2),
      `${(100 * median(column((sample) => sample.generatorBusy))).toFixed(0)} %`,
      String(column((sample) => sample.failed).reduce((sum, failed) => sum + failed, 0)),
    ]
    lines.push(`| ${cells.join(' | ')} |`)
  }
  return `${lines.join('\n')}\n`
}
