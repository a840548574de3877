import type { Change } from './change.ts'
import type { Group, ReplayReport } from './report.ts'

/** What was replayed, for the first line. */
export type ReplayTitle = {
  readonly since: Date
  /** Directory and version of each set. */
  readonly before: string
  readonly after: string
  readonly seconds: number
}

/** Groups of one kind that are shown without `--all`. */
const GROUPS_SHOWN = 10
const WHY_CHARACTERS_MAX = 400

const HEADINGS: readonly (readonly [Change, string])[] = [
  ['refused', 'would be refused, and are not now'],
  ['held', 'could not be decided, and can now'],
  ['warned', 'would be warned about, and are not now'],
  ['admitted', 'would be served, and are refused or held now'],
  ['unwarned', 'would no longer be warned about'],
  ['otherwise', 'would be refused or warned about for another reason'],
  ['unknown', 'cannot be judged again: what was known of them is not kept any more'],
]

export function replayText(
  { counts, byPolicy, groups }: ReplayReport,
  title: ReplayTitle,
  { now, isAll }: { now: Date; isAll: boolean },
): string {
  const all = [...counts.values()]
  const images = all.reduce((sum, count) => sum + count.images, 0)
  const pulls = all.reduce((sum, count) => sum + count.pulls, 0)
  const same = counts.get('same')
  const lines = [
    `${number(images)} images in ${number(pulls)} pulls since ${title.since.toISOString().slice(0, 10)}, judged again without the network in ${title.seconds.toFixed(1)} s`,
    `  now:  ${title.before}`,
    `  then: ${title.after}`,
    '',
  ]
  if (images === 0) lines.push('nothing was pulled in that time, so this proves nothing')
  for (const [change, heading] of HEADINGS) {
    const count = counts.get(change)
    if (count === undefined || count.images === 0) continue
    lines.push(`${number(count.images)} images in ${number(count.pulls)} pulls ${heading}:`)
    lines.push(
      ...section(
        groups.filter((group) => group.change === change),
        { now, isAll },
      ),
      '',
    )
  }
  lines.push(`${number(same?.images ?? 0)} images in ${number(same?.pulls ?? 0)} pulls: no change`)
  for (const [policy, by] of byPolicy) {
    const parts = [...by].map(([change, count]) => `${number(count)} ${change}`)
    lines.push(`  policy ${policy}: ${parts.join(', ')}`)
  }
  return `${lines.map(printable).join('\n')}\n`
}

function section(groups: readonly Group[], { now, isAll }: { now: Date; isAll: boolean }): readonly string[] {
  const shown = isAll ? groups : groups.slice(0, GROUPS_SHOWN)
  const left = groups.length - shown.length
  return [
    ...shown.flatMap((group) => groupText(group, now)),
    ...(left > 0 ? [`  and ${number(left)} more like these; --all shows them`] : []),
  ]
}

function groupText(group: Group, now: Date): readonly string[] {
  const { images, pulls, rings, tags, lastAt, because, example, repository } = group
  const what =
    images.size === 1
      ? example
      : `${repository} (${number(images.size)} images, last ${example.split('@')[1] ?? ''})`
  const tagged = tags.size === 0 ? '' : `, tags ${[...tags].join(', ')}`
  const where = [...rings]
    .toSorted(([, a], [, b]) => b - a)
    .map(([ring, count]) => `${ring} ${number(count)}`)
  return [
    `  ${what}`,
    `    ${number(pulls)} pulls (${where.join(', ')}), last ${ago(lastAt, now)}${tagged}`,
    ...because.map(({ policy, why }) => `    ${policy}: ${why.slice(0, WHY_CHARACTERS_MAX)}`),
  ]
}

const MINUTE_MS = 60_000

function ago(then: Date, now: Date): string {
  const minutes = Math.max(0, Math.floor((now.getTime() - then.getTime()) / MINUTE_MS))
  if (minutes < 60) return `${minutes} min ago`
  const hours = Math.floor(minutes / 60)
  return hours < 48 ? `${hours} h ago` : `${Math.floor(hours / 24)} d ago`
}

function number(value: number): string {
  return value.toLocaleString('en-GB')
}

/** What is shown comes from outside in part: no control character may reach the terminal. */
function printable(line: string): string {
  return line.replaceAll(/[^\x20-\x7e]/g, '?')
}
