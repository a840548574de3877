import type { Plot } from './scenario.ts'

/** SVG by hand: text stays text, the same figures give the same bytes, and the colours follow the reader's scheme. */

type BarPlot = Extract<Plot, { kind: 'bars' }>
type LinePlot = Extract<Plot, { kind: 'lines' }>
type Point = readonly [x: number, y: number]

const WIDTH = 800
const MARGIN = 16
const TITLE_HEIGHT = 44
/** One colour a label, in the order of first use; as many as a reader can tell apart. */
const COLOURS = ['#3b7ddd', '#d9822b', '#3a9a5b', '#8a63d2', '#c2496b', '#6b7785']

const STYLE = `
.page { fill: #ffffff } text { fill: #24292f; font: 13px system-ui, sans-serif }
.title { font-size: 15px; font-weight: 600 } .group { font-weight: 600 } .quiet { fill: #57606a }
.grid { stroke: #d0d7de } .whisker { stroke: #24292f; stroke-width: 1.5 } .line { fill: none; stroke-width: 2 }
@media (prefers-color-scheme: dark) {
.page { fill: #0d1117 } text { fill: #e6edf3 } .quiet { fill: #9198a1 } .grid { stroke: #3d444d } .whisker { stroke: #e6edf3 }
}`

export function plotSvg(plot: Plot): string {
  return plot.kind === 'bars' ? barsSvg(plot) : linesSvg(plot)
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')
}

function figure(value: number): string {
  const size = Math.abs(value)
  const digits = size >= 100 || Number.isInteger(value) ? 0 : size >= 10 ? 1 : 2
  return value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits })
}

/** To a tenth of a pixel, which no eye sees, so that the bytes do not hang on the last bit of a float. */
function at(value: number): string {
  return String(Math.round(value * 10) / 10)
}

function text(x: number, y: number, words: string, attributes = ''): string {
  return `<text x="${at(x)}" y="${at(y)}"${attributes}>${escaped(words)}</text>`
}

function line([x1, y1]: Point, [x2, y2]: Point, kind: 'grid' | 'whisker'): string {
  return `<line class="${kind}" x1="${at(x1)}" y1="${at(y1)}" x2="${at(x2)}" y2="${at(y2)}"/>`
}

function colours(labels: readonly string[]): ReadonlyMap<string, string> {
  return new Map(
    [...new Set(labels)].map((label, index) => [label, COLOURS[index % COLOURS.length] ?? '#6b7785']),
  )
}

/** The largest, or 1 where there is nothing to draw: a scale needs a top. Figures that nobody measured are NaN. */
function topOf(values: readonly number[]): number {
  const highest = Math.max(...values.filter(Number.isFinite))
  return highest > 0 ? highest : 1
}

/** About five round numbers from 0 up to the first that is not below `highest`. */
function ticksTo(highest: number): readonly number[] {
  const rough = highest / 5
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = ([1, 2, 5].find((factor) => factor * power >= rough) ?? 10) * power
  const count = Math.max(1, Math.ceil(highest / step - 1e-9))
  return Array.from({ length: count + 1 }, (_, index) => index * step)
}

function document(height: number, title: string, unit: string, body: readonly string[]): string {
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img">`,
    `<title>${escaped(title)}</title>`,
    `<style>${STYLE}\n</style>`,
    `<rect class="page" width="${WIDTH}" height="${height}" rx="6"/>`,
    text(MARGIN, 26, title, ' class="title"'),
    text(WIDTH - MARGIN, 26, unit, ' class="quiet" text-anchor="end"'),
    ...body,
    '</svg>',
  ].join('\n')}\n`
}

const ROW_HEIGHT = 24
const LABEL_WIDTH = 230
const FIGURE_WIDTH = 90

function whisker(from: number, to: number, y: number): readonly string[] {
  const ends = [from, to].map((end) => line([end, y - 4], [end, y + 4], 'whisker'))
  return [line([from, y], [to, y], 'whisker'), ...ends]
}

/** Lying down, because the names of programs are long. Whiskers: lowest and highest of the rounds. */
function barsSvg({ title, unit, groups }: BarPlot): string {
  const bars = groups.flatMap((group) => group.bars.filter(({ value }) => Number.isFinite(value)))
  const colour = colours(bars.map(({ label }) => label))
  const highest = topOf(bars.flatMap(({ value, high = value }) => [value, high]))
  const left = MARGIN + LABEL_WIDTH
  const xOf = (value: number) => left + (value / highest) * (WIDTH - left - FIGURE_WIDTH - MARGIN)
  const bar = ({ label, value, low = value, high = value }: (typeof bars)[number], top: number) => {
    const middle = top + ROW_HEIGHT / 2
    const width = Math.max(1, xOf(value) - left)
    return [
      text(left - 8, middle + 4, label, ' text-anchor="end"'),
      `<rect x="${left}" y="${at(top + 4)}" width="${at(width)}" height="${ROW_HEIGHT - 8}" fill="${colour.get(label)}"/>`,
      text(xOf(high) + 8, middle + 4, figure(value), ' class="quiet"'),
      ...(high > low ? whisker(xOf(low), xOf(high), middle) : []),
    ]
  }
  const body: string[] = []
  let y = TITLE_HEIGHT
  for (const group of groups) {
    const top = y + ROW_HEIGHT
    body.push(text(MARGIN, y + 16, group.label, ' class="group"'))
    const own = group.bars.filter((one) => bars.includes(one))
    body.push(...own.flatMap((one, index) => bar(one, top + index * ROW_HEIGHT)))
    y = top + own.length * ROW_HEIGHT
  }
  return document(y + MARGIN, title, unit, body)
}

const PLOT_HEIGHT = 280
const AXIS_WIDTH = 64

function linesSvg({ title, unit, xUnit, series }: LinePlot): string {
  const points = series.flatMap((one) => one.points)
  const colour = colours(series.map(({ label }) => label))
  const xTicks = ticksTo(topOf(points.map(([x]) => x)))
  const yTicks = ticksTo(topOf(points.map(([, y]) => y)))
  const top = TITLE_HEIGHT + series.length * 18
  const [left, right, bottom] = [MARGIN + AXIS_WIDTH, WIDTH - 2 * MARGIN, top + PLOT_HEIGHT]
  const xOf = (x: number) => left + (x / (xTicks.at(-1) ?? 1)) * (right - left)
  const yOf = (y: number) => bottom - (y / (yTicks.at(-1) ?? 1)) * PLOT_HEIGHT
  const body = [
    ...series.flatMap(({ label }, index) => [
      `<rect x="${left}" y="${TITLE_HEIGHT + index * 18}" width="12" height="12" fill="${colour.get(label)}"/>`,
      text(left + 20, TITLE_HEIGHT + index * 18 + 11, label),
    ]),
    ...yTicks.flatMap((y) => [
      line([left, yOf(y)], [right, yOf(y)], 'grid'),
      text(left - 8, yOf(y) + 4, figure(y), ' class="quiet" text-anchor="end"'),
    ]),
    ...xTicks.map((x) => text(xOf(x), bottom + 20, figure(x), ' class="quiet" text-anchor="middle"')),
    text(right, bottom + 38, xUnit, ' class="quiet" text-anchor="end"'),
    ...series.map(({ label, points: own }) => {
      const path = own.map(([x, y]) => `${at(xOf(x))},${at(yOf(y))}`).join(' ')
      return `<polyline class="line" stroke="${colour.get(label)}" points="${path}"/>`
    }),
  ]
  return document(bottom + 38 + MARGIN, title, unit, body)
}
