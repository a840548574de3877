import * as z from 'zod'

/** What the schemas of policy documents have in common. */

export const text = z.string().min(1, 'expected some text')

/** RFC 3339; a date is its first moment, in UTC. */
export const momentSchema = z.union([z.iso.date(), z.iso.datetime({ offset: true })], {
  error: 'expected a date such as 2027-01-31 or a time such as 2027-01-31T12:00:00Z',
})

/** Reported even where a part of the object is wrong, so that one start shows every mistake. */
export const ALWAYS = {
  when: ({ value }: { value: unknown }): boolean => typeof value === 'object' && value !== null,
}

type Rule = (value: unknown, context: z.core.$RefinementCtx) => void

/** Those of the keys that the object has. */
export function given(value: unknown, keys: readonly string[]): readonly string[] {
  const entries = new Map<string, unknown>(Object.entries(value ?? {}))
  return keys.filter((key) => entries.get(key) !== undefined)
}

export function exactlyOneOf(keys: readonly string[]): Rule {
  return (value, context) => {
    const found = given(value, keys)
    if (found.length === 1) return
    const message = `found ${found.length === 0 ? 'none' : found.join(' and ')}, expected exactly one of ${keys.join(', ')}`
    context.addIssue({ code: 'custom', message })
  }
}

export function atMostOneOf(keys: readonly string[]): Rule {
  return (value, context) => {
    const found = given(value, keys)
    if (found.length <= 1) return
    context.addIssue({ code: 'custom', message: `found ${found.join(' and ')}, expected only one of them` })
  }
}

/** Where `isIdle`, none of the keys: a field that changes nothing must not look as if it did. */
export function idle<T>(
  keys: readonly string[],
  isIdle: (value: T) => boolean,
  because: string,
): (value: T, context: z.core.$RefinementCtx) => void {
  return (value, context) => {
    if (!isIdle(value)) return
    for (const key of given(value, keys)) {
      context.addIssue({ code: 'custom', path: [key], message: `found ${key}, ${because}` })
    }
  }
}
