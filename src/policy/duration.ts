import * as z from 'zod'

const UNITS: ReadonlyMap<string, number> = new Map([
  ['ms', 1],
  ['s', 1000],
  ['m', 60_000],
  ['h', 3_600_000],
  ['d', 86_400_000],
])
const DURATION = /^(\d+)(ms|s|m|h|d)$/

/** Milliseconds, or undefined where `text` is no duration. */
export function parseDuration(text: string): number | undefined {
  const [, amount, unit = ''] = DURATION.exec(text) ?? []
  const factor = UNITS.get(unit)
  return amount === undefined || factor === undefined ? undefined : Number(amount) * factor
}

/** A duration as a string with its unit (a bare number would have to be guessed at); becomes milliseconds. */
export function duration(min: string, max: string): z.ZodType<number, string> {
  const expected = `expected a duration from ${min} to ${max} with its unit (ms, s, m, h or d) such as 30s`
  return z
    .string({ error: expected })
    .regex(DURATION, expected)
    .transform((value, context) =>
      within(parseDuration(value), [parseDuration(min), parseDuration(max)], context, expected),
    )
}

/** `value`, where it is one and inside of both bounds; else it is an issue. */
export function within(
  value: number | undefined,
  [min = 0, max = Number.MAX_SAFE_INTEGER]: readonly (number | undefined)[],
  context: z.core.$RefinementCtx,
  expected: string,
): number {
  if (value !== undefined && value >= min && value <= max) return value
  context.addIssue({ code: 'custom', message: expected })
  return z.NEVER
}
