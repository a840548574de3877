import { lackText, type Claimed } from './claimed.ts'
import { compileText, matchesString, matcherText, type textMatcherSchema } from './matcher.ts'
import type { Path, Report } from './problem.ts'
import type { Shortfall, StringMatcher } from './types.ts'
import type * as z from 'zod'

/** What the shorthands have in common: a claimed text that must be one of several. */

/** How many alternatives a message names. */
const NAMED_MAX = 3

/** `stranger`: what anybody could have there. Reports what is wrong. */
export function compileTexts(
  entries: readonly z.output<typeof textMatcherSchema>[],
  stranger: string,
  path: Path,
  report: Report,
): readonly StringMatcher[] {
  return entries.flatMap((entry, index) => compileText(entry, stranger, [...path, index], report) ?? [])
}

/** `name`: what the text is, for messages; `subject`: where it was found. */
export function textShortfall(
  subject: string,
  name: string,
  claimed: Claimed<string>,
  matchers: readonly StringMatcher[],
): Shortfall | undefined {
  const expected = `${name} ${listText(matchers)}`
  if (claimed.lack !== undefined) return lacking(subject, claimed, expected)
  if (matchers.some((matcher) => matchesString(matcher, claimed.value))) return undefined
  return { found: `${subject} with ${name} ${claimed.value}`, expected }
}

export function lacking(
  subject: string,
  claimed: { readonly at: string; readonly lack: string },
  expected: string,
): Shortfall {
  return { found: `${subject} in which ${lackText(claimed)}`, expected }
}

export function listText(matchers: readonly StringMatcher[]): string {
  const named = matchers.slice(0, NAMED_MAX).map(matcherText).join(' or ')
  return matchers.length > NAMED_MAX ? `${named} or ${matchers.length - NAMED_MAX} more` : named
}

/** One text for one meaning: the order of alternatives has none. */
export function matchersCanonical(matchers: readonly StringMatcher[]): readonly string[] {
  return matchers.map(matcherCanonical).toSorted()
}

export function matcherCanonical(matcher: StringMatcher): string {
  return JSON.stringify([matcher.kind, matcherText(matcher)])
}
