import type { HeldItem, SourceStatus } from '../trust/source.ts'

/** A status as it comes out of JSON or out of the keeper: times as dates. */
export type TrustReport = { readonly version: string; readonly sources: readonly SourceStatus[] }

/** `portcullis trust status` for people: one block a source, what needs attention first in each. */
export function trustText({ version, sources }: TrustReport, now: Date): string {
  const blocks = sources.map((source) => sourceText(source, now))
  return `trust ${version}\n${blocks.join('')}`
}

function sourceText(source: SourceStatus, now: Date): string {
  const { name, kind, origin, state, problem, renewedAt, warnsAt, stopsAt, servableUntil } = source
  const since = renewedAt === undefined ? 'never renewed' : `renewed ${distance(renewedAt, now)}`
  const lines = [`${name} (${kind}, ${origin}): ${state}, ${since}`]
  if (problem !== undefined) lines.push(`  ! ${problem}`)
  for (const { version, isRetiring } of source.documents) {
    lines.push(`  document ${version}${isRetiring ? ', being retired' : ''}`)
  }
  const then = [...moment('warns', warnsAt, now), ...moment('stops', stopsAt, now)]
  if (then.length > 0) lines.push(`  without another renewal: ${then.join(', ')}`)
  for (const { role, version, expires } of source.roles) {
    lines.push(
      `  role ${role}: version ${version}, expires ${distance(expires, now)} (${expires.toISOString()})`,
    )
  }
  if (servableUntil !== undefined) {
    lines.push(`  clients of /tuf/${name}/ accept it until ${servableUntil.toISOString()}`)
  }
  lines.push(...source.held.map((item) => `  ${heldText(item, now)}`))
  return `\n${lines.join('\n')}\n`
}

function moment(what: string, time: Date | undefined, now: Date): readonly string[] {
  return time === undefined ? [] : [`${what} ${distance(time, now)}`]
}

function heldText({ what, name, from, until, isRetiring }: HeldItem, now: Date): string {
  const start = from === undefined ? 'always' : from.toISOString()
  const end = until === undefined ? 'open' : `${until.toISOString()} (${distance(until, now)})`
  return `${what.replaceAll('-', ' ')} ${name}: ${start} to ${end}${isRetiring ? ', being retired' : ''}`
}

const UNITS = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['min', 60_000],
] as const

/** `in 3 d`, `5 h ago`: coarse, since it is read by people in a hurry. */
function distance(time: Date, now: Date): string {
  const ms = time.getTime() - now.getTime()
  const [unit, size] = UNITS.find(([, length]) => Math.abs(ms) >= 2 * length) ?? ['s', 1000]
  const amount = `${Math.floor(Math.abs(ms) / size)} ${unit}`
  return ms >= 0 ? `in ${amount}` : `${amount} ago`
}
