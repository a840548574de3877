import { PublishError } from '../trust/publish/error.ts'
import { shortId } from '../trust/publish/key.ts'
import { keysOf, thresholdOf } from '../trust/publish/root.ts'
import { countSignatures, fingerprint, isComplete, type StagedRoot } from '../trust/publish/sign-root.ts'
import type { RoleStatus, Status } from '../trust/publish/status.ts'
import { parseDuration } from '../policy/duration.ts'

/** Milliseconds. Throws PublishError `usage`. */
export function parseLifetime(text: string, option: string): number {
  const ms = parseDuration(text)
  if (ms !== undefined && ms > 0) return ms
  throw new PublishError('usage', `${option} ${text}: expected a duration such as 7d or 12h`)
}

/** What the people at a ceremony compare before they sign. */
export function stagedText(staged: StagedRoot): string {
  const { root } = staged
  const role = (name: 'root' | 'targets' | 'snapshot' | 'timestamp', need: number) =>
    `  ${name.padEnd(10)} ${need} of ${keysOf(root, name)
      .map(({ keyID }) => shortId(keyID))
      .join(', ')}`
  return [
    `root version ${root.signed.version}, ends ${root.signed.expires}`,
    role('root', thresholdOf(root)),
    role('targets', 1),
    role('snapshot', 1),
    role('timestamp', 1),
    `  signed content ${fingerprint(staged)}`,
    '',
  ].join('\n')
}

/** What a threshold does not survive. */
export function thresholdWarnings({ root }: StagedRoot): readonly string[] {
  const threshold = thresholdOf(root)
  const keys = keysOf(root, 'root').length
  return [
    ...(threshold === 1 ? ['with a threshold of 1, whoever steals one root key owns the root'] : []),
    ...(threshold === keys
      ? [`all ${keys} root keys must sign: with one of them lost there is no next root`]
      : []),
  ]
}

/** How many signatures there are and how many are needed, by each root whose keys count. */
export function signaturesText(staged: StagedRoot): string {
  const lines = countSignatures(staged).map(({ by, signed, threshold, missing }) => {
    const needed = Math.max(0, threshold - signed.length)
    const rest = needed === 0 ? 'enough' : `${needed} more needed, of ${missing.map(shortId).join(', ')}`
    return `signatures by the keys of version ${by}: ${signed.length} of ${threshold}; ${rest}\n`
  })
  return lines.join('') + (isComplete(staged) ? '' : 'the root does not count yet\n')
}

const HEADER = ['role', 'version', 'ends', 'days left', 'keys']

export function statusText({ roles, staged, due }: Status): string {
  const rows = [HEADER, ...roles.map(rowOf)]
  const widths = HEADER.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  const table = rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  )
  const waiting = (staged?.counts ?? []).map(
    ({ by, signed, threshold }) =>
      `staged root ${staged?.version}: ${signed.length} of ${threshold} signatures by the keys of version ${by}`,
  )
  const next = due.length === 0 ? ['nothing is due'] : due.map((line) => `due: ${line}`)
  return [...(roles.length === 0 ? [] : table), ...waiting, ...next, ''].join('\n')
}

function rowOf({ role, version, expires, daysLeft, keyIds, threshold }: RoleStatus): string[] {
  const keys = `${threshold} of ${keyIds.map(shortId).join(', ')}`
  return [role, String(version), expires.toISOString().slice(0, 16), String(daysLeft), keys]
}
