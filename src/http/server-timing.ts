/** In the order in which a pull takes them; others come after these. */
const STEPS = ['resolve', 'fetch', 'discover', 'verify', 'look-up', 'decide']

/**
 * The value of a `Server-Timing` header (W3C Server Timing): a metric for each step, in milliseconds, then `total`, then
 * where the verdict came from. Names are tokens, of this program's own choice.
 */
export function serverTiming(steps: Readonly<Record<string, number>>, cache: 'warm' | 'cold'): string {
  const { total, ...others } = steps
  const names = [
    ...STEPS.filter((step) => step in others),
    ...Object.keys(others).filter((step) => !STEPS.includes(step)),
  ]
  const metrics = names.map((step) => duration(step, others[step]))
  return [...metrics, ...(total === undefined ? [] : [duration('total', total)]), `cache;desc=${cache}`].join(
    ', ',
  )
}

/** To the microsecond. */
function duration(name: string, ms = 0): string {
  return `${name};dur=${Math.round(ms * 1000) / 1000}`
}
