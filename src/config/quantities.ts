import * as z from 'zod'

const SIZE_UNITS: ReadonlyMap<string, number> = new Map([
  ['', 1],
  ['B', 1],
  ['kB', 1e3],
  ['MB', 1e6],
  ['GB', 1e9],
  ['TB', 1e12],
  ['KiB', 2 ** 10],
  ['MiB', 2 ** 20],
  ['GiB', 2 ** 30],
  ['TiB', 2 ** 40],
])
const DURATION_UNITS: ReadonlyMap<string, number> = new Map([
  ['ms', 1],
  ['s', 1000],
  ['m', 60_000],
  ['h', 3_600_000],
  ['d', 86_400_000],
])
const SIZE = /^(\d+(?:\.\d+)?) ?([kMGT]i?B|KiB|B)?$/
const DURATION = /^(\d+)(ms|s|m|h|d)$/

/** Bytes, or undefined where `text` is no size. */
export function parseSize(text: string): number | undefined {
  const [, amount, unit = ''] = SIZE.exec(text) ?? []
  const factor = SIZE_UNITS.get(unit)
  return amount === undefined || factor === undefined ? undefined : Math.floor(Number(amount) * factor)
}

/** Milliseconds, or undefined where `text` is no duration. */
export function parseDuration(text: string): number | undefined {
  const [, amount, unit = ''] = DURATION.exec(text) ?? []
  const factor = DURATION_UNITS.get(unit)
  return amount === undefined || factor === undefined ? undefined : Number(amount) * factor
}

/** A size as a string with its unit, or a number of bytes; becomes bytes. Bounds are written as sizes, too. */
export function size(min: string, max: string): z.ZodType<number, string | number> {
  const expected = `expected a size from ${min} to ${max} such as 64MiB, or a number of bytes`
  return z
    .union([z.string().regex(SIZE, expected), z.int(expected)], { error: expected })
    .transform((value, context) => {
      const bytes = typeof value === 'number' ? value : parseSize(value)
      return within(bytes, [parseSize(min), parseSize(max)], context, expected)
    })
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

function within(
  value: number | undefined,
  [min = 0, max = Number.MAX_SAFE_INTEGER]: readonly (number | undefined)[],
  context: z.core.$RefinementCtx,
  expected: string,
): number {
  if (value !== undefined && value >= min && value <= max) return value
  context.addIssue({ code: 'custom', message: expected })
  return z.NEVER
}
