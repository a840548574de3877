const TEXT_LENGTH_MAX = 300
const MS_PER_HOUR = 3_600_000
const HOURS_PER_DAY = 24

/** Texts of others end up in logs and refusals: one line, no control characters, not too long. */
export function oneLine(text: string): string {
  // oxlint-disable-next-line eslint/no-control-regex -- control characters are what this is about
  return text.replace(/[\s\u0000-\u001f\u007f]+/g, ' ').slice(0, TEXT_LENGTH_MAX)
}

export function textOf(error: unknown): string {
  if (!(error instanceof Error)) return oneLine(String(error))
  // Errors of several addresses at once have a code and no message.
  const code = 'code' in error && typeof error.code === 'string' ? error.code : error.name
  return oneLine(error.message === '' ? code : error.message)
}

/** `86 days`, `5 hours` */
export function describeAge(ms: number): string {
  const hours = Math.floor(ms / MS_PER_HOUR)
  const days = Math.floor(hours / HOURS_PER_DAY)
  const [count, unit] = days >= 2 ? [days, 'day'] : [hours, 'hour']
  return `${count} ${unit}${count === 1 ? '' : 's'}`
}
