import { criterionText } from '../rollout/criteria.ts'
import type { PromotionAnswer, ReportAnswer, RowAnswer } from './rollout-answers.ts'

/** `portcullis rollout` for people. Part of what is shown comes from outside: it goes through `plain`. */

/** Title, width in characters, and whether it is a figure. Together with two blanks between them at most 120. */
const COLUMNS = [
  ['  policy', 28, false],
  ['ring', 14, false],
  ['mode', 7, false],
  ['days', 6, true],
  ['pulls', 7, true],
  ['images', 6, true],
  ['signed', 6, true],
  ['prov.', 6, true],
  ['would block', 13, true],
  ['exit', 6, false],
] as const

/** Images that are shown below a reason; `rollout gaps` has more. */
const EXAMPLES_MAX = 5

export function statusText({ rows }: ReportAnswer): string {
  const table = [tableLine(COLUMNS.map(([title]) => title)), ...rows.map((row) => tableLine(cellsOf(row)))]
  const blocks = rows.flatMap((row) => blockOf(row))
  return textOf([...table, ...blocks])
}

export function gapsText({ rows }: ReportAnswer): string {
  const lines = rows.filter(({ gapImages }) => gapImages > 0).flatMap((row) => ['', ...gapLines(row)])
  return textOf(lines.length === 0 ? ['nothing that is pulled would be blocked'] : lines.slice(1))
}

export function historyText(promotions: readonly PromotionAnswer[]): string {
  if (promotions.length === 0) return textOf(['nothing was promoted yet'])
  return textOf(promotions.flatMap(promotionLines))
}

export function promotionLines({
  id,
  at,
  policy,
  ring,
  from,
  to,
  by,
  isMet,
  override,
}: PromotionAnswer): readonly string[] {
  const what = `policy ${policy} in ring ${ring}: ${from} -> ${to}`
  const grounds = to === 'enforce' && isMet ? ', every criterion held' : ''
  const first = `promotion ${id ?? '(not recorded)'} ${at.toISOString()} ${what}, by ${by}${grounds}`
  return override === undefined ? [first] : [first, `  overridden: ${override}`]
}

/** The lines that differ, with those around them. */
export function changeText(file: string, before: string, after: string): string {
  const [old, now] = [linesOf(before), linesOf(after)]
  const start = old.findIndex((line, index) => line !== now[index])
  if (start === -1) return `${file}: nothing to change\n`
  let same = 0
  while (same < Math.min(old.length, now.length) - start && old.at(-1 - same) === now.at(-1 - same)) same += 1
  const context = 3
  const [from, oldEnd, nowEnd] = [Math.max(0, start - context), old.length - same, now.length - same]
  const lines = [
    `--- ${file}`,
    `+++ ${file}`,
    `@@ -${from + 1},${oldEnd + Math.min(context, same) - from} +${from + 1},${nowEnd + Math.min(context, same) - from} @@`,
    ...old.slice(from, start).map((line) => ` ${line}`),
    ...old.slice(start, oldEnd).map((line) => `-${line}`),
    ...now.slice(start, nowEnd).map((line) => `+${line}`),
    ...old.slice(oldEnd, oldEnd + context).map((line) => ` ${line}`),
  ]
  return `${lines.join('\n')}\n`
}

function linesOf(text: string): readonly string[] {
  return text.replace(/\n$/, '').split('\n')
}

/** No control character may reach the terminal. */
export function plain(line: string): string {
  return line.replaceAll(/[^\x20-\x7e]/g, '?')
}

function textOf(lines: readonly string[]): string {
  return `${lines.map(plain).join('\n')}\n`
}

function tableLine(cells: readonly string[]): string {
  const padded = COLUMNS.map(([, width, isFigure], index) => {
    const cell = clip(cells[index] ?? '', width)
    return isFigure ? cell.padStart(width) : cell.padEnd(width)
  })
  return padded.join('  ').trimEnd()
}

function cellsOf(row: RowAnswer): readonly string[] {
  const { policy, ring, mode, days, pulls, images, signed, withProvenance, gapImages } = row
  const figures = row.isJudged
    ? [
        String(pulls),
        String(images),
        share(signed, images),
        share(withProvenance, images),
        gapImages === 0 ? '0' : `${gapImages} (${share(gapImages, images)})`,
      ]
    : ['-', '-', '-', '-', '-']
  return [row.isNext ? `> ${policy}` : `  ${policy}`, ring, mode, days.toFixed(1), ...figures, exitOf(row)]
}

/** Rounded so that 100 % means all, and 0 % none. */
function share(part: number, whole: number): string {
  if (whole === 0) return '-'
  const percent = (100 * part) / whole
  const rounded = part === whole ? 100 : Math.min(99, part === 0 ? 0 : Math.max(1, Math.round(percent)))
  return `${rounded}%`
}

function exitOf({ mode, criteria }: RowAnswer): string {
  if (mode !== 'observe') return mode === 'enforce' ? 'done' : '-'
  if (criteria === undefined) return 'none'
  const held = criteria.filter(({ holds }) => holds).length
  return held === criteria.length ? 'ready' : `${held}/${criteria.length}`
}

function clip(text: string, charactersMax: number): string {
  return text.length <= charactersMax ? text : `${text.slice(0, charactersMax - 2)}..`
}

/** What keeps the row from its next stage: unmet criteria, and would-blocks by reason with the images behind them. */
function blockOf(row: RowAnswer): readonly string[] {
  const { mode, criteria, reasons, gapImages } = row
  const waiting = mode === 'observe' && row.isNext
  const unmet = (criteria ?? []).filter(({ holds }) => !holds).map(criterionText)
  const asks = criteria === undefined ? ['no criteria are declared (spec.rollout)'] : unmet
  const exit = waiting && asks.length > 0 ? [`  not yet: ${asks.join('; ')}`] : []
  if (exit.length === 0 && gapImages === 0) return []
  const groups = reasons.flatMap(({ because, images, pulls }) => [
    `  ${images} ${images === 1 ? 'image' : 'images'}, ${pulls} pulls: ${because}`,
    ...examplesOf(row, because),
  ])
  return ['', titleOf(row), ...exit, ...groups]
}

function titleOf({ policy, ring, mode, since }: RowAnswer): string {
  return `${policy} in ring ${ring}, ${mode} since ${since.toISOString()}`
}

function examplesOf({ gaps }: RowAnswer, because: string): readonly string[] {
  const images = gaps.filter((gap) => gap.because === because)
  return images.slice(0, EXAMPLES_MAX).map((gap) => `    ${gapText(gap)}`)
}

function gapLines(row: RowAnswer): readonly string[] {
  const left = row.gapImages - row.gaps.length
  return [
    titleOf(row),
    ...row.gaps.flatMap((gap) => [`  ${gapText(gap)}`, `    ${gap.kind}: ${gap.because}`]),
    ...(left > 0 ? [`  and ${left} more`] : []),
  ]
}

function gapText({ image, tags, pulls, lastAt, counts }: RowAnswer['gaps'][number]): string {
  const named = tags.length === 0 ? '' : ` (${tags.join(', ')})`
  return `${image}${named}: ${pulls} pulls, last ${lastAt.toISOString()}${counts ? '' : ', long ago'}`
}
