import { stripVTControlCharacters } from 'node:util'
import type { Check, Plot, Scenario, ScenarioResult, Table } from './scenario.ts'

/** What a reader needs to judge a figure, and to get it again. */
export type RunFacts = {
  readonly command: string
  /** `2026-11-23` */
  readonly date: string
  readonly machine: string
  readonly node: string
  readonly commit: string
}

function sorted(values: readonly number[]): readonly number[] {
  return values.toSorted((a, b) => a - b)
}

export function median(values: readonly number[]): number {
  const order = sorted(values)
  const middle = Math.floor(order.length / 2)
  const upper = order[middle] ?? Number.NaN
  return order.length % 2 === 1 ? upper : ((order[middle - 1] ?? upper) + upper) / 2
}

type Spread = { readonly value: number; readonly low: number; readonly high: number }

/** Of the rounds: the median, the lowest, the highest. */
export function spreadOf(values: readonly number[]): Spread {
  const order = sorted(values)
  return { value: median(values), low: order[0] ?? Number.NaN, high: order.at(-1) ?? Number.NaN }
}

/** `median (lowest–highest)`, or the only one. */
export function spreadText(values: readonly number[], digits: number): string {
  const { value, low, high } = spreadOf(values)
  if (values.length === 1) return value.toFixed(digits)
  return `${value.toFixed(digits)} (${low.toFixed(digits)}–${high.toFixed(digits)})`
}

function tableMarkdown({ title, columns, rows }: Table): string {
  const lines = [columns, columns.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`)
  return [...(title === undefined ? [] : [`**${title}**`, '']), ...lines].join('\n')
}

/** Colour is for terminals. */
function outputMarkdown({ output }: ScenarioResult): readonly string[] {
  return output === undefined ? [] : [`\`\`\`\n${stripVTControlCharacters(output).trimEnd()}\n\`\`\``]
}

function checksTable(checks: readonly Check[]): Table {
  const rows = checks.map(({ name, ok, found, wanted }) => [name, found, wanted, ok ? 'yes' : '**no**'])
  return { title: 'What `--check` asks', columns: ['check', 'found', 'wanted', 'holds'], rows }
}

export function plotFile(scenario: string, plot: Plot): string {
  return `${scenario}-${plot.name}.svg`
}

function heading(level: '#' | '##', { name, about }: Scenario, facts: RunFacts): readonly string[] {
  const { command, commit, date, node, machine } = facts
  return [
    `${level} Load: ${name}`,
    about,
    `\`${command}\`, commit ${commit}, ${date}, node ${node}, ${machine}.`,
  ]
}

/** Everything that one run of a scenario found. `plots` is the folder of the plots as the page sees it. */
export function fullPage(scenario: Scenario, result: ScenarioResult, facts: RunFacts): string {
  const { conditions, tables, plots, checks } = result
  const parts = [
    ...heading('#', scenario, facts),
    conditions.map((condition) => `- ${condition}`).join('\n'),
    ...outputMarkdown(result),
    ...tables.map(tableMarkdown),
    ...plots.map((plot) => `![${plot.title}](${plotFile(scenario.name, plot)})`),
    ...(checks.length === 0 ? [] : [tableMarkdown(checksTable(checks))]),
  ]
  return `${parts.filter((part) => part !== '').join('\n\n')}\n`
}

/** For the page of all results: what a program printed, the first table and the first plot, the rest by a link. `folder` holds the full pages. */
export function summary(scenario: Scenario, result: ScenarioResult, facts: RunFacts, folder: string): string {
  const { tables, plots } = result
  const parts = [
    ...heading('##', scenario, facts),
    ...outputMarkdown(result),
    ...tables.slice(0, 1).map(tableMarkdown),
    ...plots.slice(0, 1).map((plot) => `![${plot.title}](${folder}/${plotFile(scenario.name, plot)})`),
    `Conditions, all tables and plots: [${folder}/${scenario.name}.md](${folder}/${scenario.name}.md).`,
  ]
  return parts.join('\n\n')
}

function marker(edge: 'begin' | 'end', name: string): string {
  return `<!-- load: ${edge} ${name} -->`
}

/**
 * The page of all results with this scenario's block in place of the one it had; one that it never had goes behind the last
 * block, or to the end. What stands outside the markers is written by hand and stays.
 */
export function withBlock(page: string, name: string, block: string): string {
  const [begin, end] = [marker('begin', name), marker('end', name)]
  const text = `${begin}\n\n${block}\n\n${end}`
  const [from, to] = [page.indexOf(begin), page.indexOf(end)]
  if (from >= 0 && to > from) return page.slice(0, from) + text + page.slice(to + end.length)
  const last = [...page.matchAll(/<!-- load: end [a-z-]+ -->/g)].at(-1)
  const at = last === undefined ? page.trimEnd().length : last.index + last[0].length
  return `${page.slice(0, at)}\n\n${text}\n${page.slice(at).replace(/^\n?/, '')}`
}
