import { readFile, writeFile } from 'node:fs/promises'
import { median } from '../report.ts'
import type { Blackout } from './blackout.ts'
import type { CellResult, Seen } from './cell.ts'
import type { Moment } from './expected.ts'
import { STANCES, type Image } from './images.ts'
import type { Pace } from './pace.ts'

export type Results = {
  /** Started for the first time in the outage. */
  readonly first: readonly CellResult[]
  /** Warm before the outage. */
  readonly warm: readonly CellResult[]
  readonly paces: readonly Pace[]
  readonly blackouts: readonly Blackout[]
  /** How and where it was measured. */
  readonly conditions: readonly string[]
}

const BEGIN = '<!-- generated: begin -->'
const END = '<!-- generated: end -->'

/** Replaces what is between the markers. */
export async function writeReport(path: string, results: Results): Promise<void> {
  const text = await readFile(path, 'utf8')
  const [begin, end] = [text.indexOf(BEGIN), text.indexOf(END)]
  if (begin < 0 || end < begin) throw new Error(`${path} has no ${BEGIN} and ${END}`)
  await writeFile(
    path,
    `${text.slice(0, begin + BEGIN.length)}\n\n${reportMarkdown(results)}\n${text.slice(end)}`,
  )
}

export function reportMarkdown(results: Results): string {
  const { first, warm, paces, blackouts, conditions } = results
  return [
    ...conditions.map((condition) => `- ${condition}`),
    '',
    '### It was warm, then the dependency died, then the proxy was killed',
    '',
    table(
      ['dependency', 'fault', 'known images', ...stanceHeads(), 'back to normal after', 'log', 'metrics'],
      warm.map((cell) => [
        ...nameOf(cell),
        summary(cell, ['during', 'restart'], ({ slot }) => slot === 'known'),
        ...byStance(cell, ['during', 'restart']),
        secondsText(cell.recoveredMs),
        cell.lines.map(code).join('<br>'),
        cell.metrics.map(code).join('<br>'),
      ]),
    ),
    '### The first start ever, with the dependency dead',
    '',
    table(
      ['dependency', 'fault', 'ready after', ...stanceHeads(), 'back to normal after', 'log', 'metrics'],
      first.map((cell) => [
        ...nameOf(cell),
        secondsText(cell.firstStartMs ?? Number.NaN),
        ...byStance(cell, ['first']),
        secondsText(cell.recoveredMs),
        cell.lines.map(code).join('<br>'),
        cell.metrics.map(code).join('<br>'),
      ]),
    ),
    '### What it costs',
    '',
    table(
      [
        'dependency',
        'fault',
        'p99 by digest, dead : alive',
        'p99 by tag, dead : alive',
        'failed',
        'a pull that needs it',
        'requests to it in 20 such pulls',
      ],
      paces.map((pace) => [...nameOf(pace), ...paceCells(pace), ...priceCells(warm, pace)]),
    ),
    ...blackoutText(blackouts),
    ...deviationText(results),
  ].join('\n')
}

function stanceHeads(): readonly string[] {
  return STANCES.map((stance) => `new, \`${stance}\``)
}

function byStance(cell: CellResult, moments: readonly Moment[]): readonly string[] {
  return STANCES.map((stance) =>
    summary(cell, moments, (image) => image.slot !== 'known' && image.stance === stance),
  )
}

const WORDS: Readonly<Record<string, string>> = {
  open: 'let pass',
  held: '503',
  throttled: '429',
  served: '200',
  refused: '403',
}

/** What was seen, where it is not what is always seen: 200 for good images and 403 for the others. */
function summary(cell: CellResult, moments: readonly Moment[], isMeant: (image: Image) => boolean): string {
  const seen = cell.seen.filter(({ moment, image }) => moments.includes(moment) && isMeant(image))
  if (seen.length === 0) return 'not seen'
  const other = seen.filter(({ image, got }) => got !== (image.signature === 'good' ? 'served' : 'refused'))
  if (other.length === 0) return 'as judged'
  const groups = Map.groupBy(other, ({ got }) => got)
  const parts = [...groups].map(([got, some]) => `${WORDS[got] ?? got}${scopeOf(some, seen)}`)
  return [...parts, ...(other.length < seen.length ? ['else as judged'] : [])].join('; ')
}

/** Which policies, if not all, and where it is only the good ones or only the others, that. */
function scopeOf(some: readonly Seen[], all: readonly Seen[]): string {
  if (some.length === all.length) return ''
  const policies = [...new Set(some.map(({ image }) => image.policy))]
  const everyPolicy = policies.length === new Set(all.map(({ image }) => image.policy)).size
  const isGood = new Set(some.map(({ image }) => image.signature === 'good'))
  const who = isGood.size === 2 ? '' : isGood.has(true) ? 'accepted' : 'refused before'
  const when = [...new Set(some.map(({ moment }) => moment))]
  const after = when.length === 1 && when[0] === 'restart' ? 'after the restart' : ''
  const scope = [everyPolicy ? '' : policies.map(code).join(', '), who, after].filter((part) => part !== '')
  return scope.length === 0 ? '' : ` (${scope.join(', ')})`
}

function nameOf({ dependency, fault }: Pick<Pace, 'dependency' | 'fault'>): readonly string[] {
  return [dependency, fault]
}

function paceCells({ byDigest, byTag, failed }: Pace): readonly string[] {
  const text = ({ deadMs, aliveMs, ratio }: Pace['byTag']): string =>
    `${deadMs.toFixed(1)} : ${aliveMs.toFixed(1)} ms = ${ratio.toFixed(2)}`
  return [text(byDigest), text(byTag), String(failed)]
}

function priceCells(warm: readonly CellResult[], pace: Pace): readonly string[] {
  const cell = warm.find(({ dependency, fault }) => dependency === pace.dependency && fault === pace.fault)
  if (cell?.price === undefined) return ['', '']
  const { asked, medianMs } = cell.price
  return [`${medianMs.toFixed(1)} ms`, pace.fault === 'refused' ? '–' : String(asked)]
}

function blackoutText(blackouts: readonly Blackout[]): readonly string[] {
  if (blackouts.length === 0) return []
  const text = (pick: (one: Blackout) => number): string => {
    const values = blackouts.map(pick)
    return `${median(values).toFixed(0)} ms (${Math.min(...values).toFixed(0)}–${Math.max(...values).toFixed(0)})`
  }
  return [
    '### Everything dead, SIGKILL, start',
    '',
    `${blackouts[0]?.images ?? 0} verified images, ${blackouts.length} times. From the start of the process: it answers after ` +
      `${text(({ readyMs }) => readyMs)}; the last image has been pulled, whole, after ${text(({ servedMs }) => servedMs)}. ` +
      `From its first answer to the last image: ${text(({ servedMs, readyMs }) => servedMs - readyMs)}.`,
    '',
  ]
}

function deviationText(results: Results): readonly string[] {
  const lines = deviationsOf(results)
  if (lines.length === 0) return ['Nothing was otherwise than the rules say.', '']
  return ['### Otherwise than the rules say', '', ...lines.map((line) => `- ${line}`), '']
}

/** Alike ones once, with their number. */
export function deviationsOf({ first, warm, blackouts }: Results): readonly string[] {
  const all = [
    ...[...first, ...warm].flatMap(({ dependency, fault, deviations }) =>
      deviations.map((text) => `${dependency} ${fault}: ${alike(text)}`),
    ),
    ...blackouts.flatMap(({ deviations }) => deviations.map(alike)),
  ]
  return [...Map.groupBy(all, (text) => text)].map(([text, same]) => `${text} (${same.length})`)
}

function alike(text: string): string {
  return text
    .replaceAll(/127\.0\.0\.1:\d+/g, 'HOST')
    .replaceAll(/sha256[:-][0-9a-f]{64}(?:\.\w+)?/g, 'DIGEST')
    .replaceAll(/(?:; )?decision [0-9a-f]+/g, '')
    .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME')
    .replaceAll(/(?<=\/|: )(?:keyless|kms|logged)\//g, '*/')
    .replaceAll(/-(?:keyless|kms|logged)\b/g, '-*')
    .slice(0, 400)
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  return [line(head), `|${'---|'.repeat(head.length)}`, ...rows.map(line), ''].join('\n')
}

function code(text: string): string {
  return `\`${alike(text).replaceAll('|', '/')}\``
}

function secondsText(ms: number): string {
  return Number.isNaN(ms) ? '–' : `${(ms / 1000).toFixed(1)} s`
}
