import * as z from 'zod'
import { within } from '../policy/duration.ts'

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
const SIZE = /^(\d+(?:\.\d+)?) ?([kMGT]i?B|KiB|B)?$/

/** Bytes, or undefined where `text` is no size. */
export function parseSize(text: string): number | undefined {
  const [, amount, unit = ''] = SIZE.exec(text) ?? []
  const factor = SIZE_UNITS.get(unit)
  return amount === undefined || factor === undefined ? undefined : Math.floor(Number(amount) * factor)
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
