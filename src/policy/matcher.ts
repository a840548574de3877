import { RE2JS } from 're2js'
import * as z from 'zod'
import type { Path, Report } from './problem.ts'
import type { StringMatcher } from './types.ts'
import { compileWildcards } from './wildcard.ts'

export type MatcherResult =
  | { readonly ok: true; readonly matcher: StringMatcher }
  | { readonly ok: false; readonly message: string }

/** The longest pattern that is compiled: identities are at most a few hundred characters. */
const PATTERN_CHARACTERS_MAX = 1024

/**
 * Identities that anybody can get from a public Fulcio, host for themselves or put into a certificate: `.invalid` belongs
 * to nobody (RFC 2606). A pattern that accepts one of them names no one.
 */
const STRANGERS = {
  subject: [
    'https://attacker.invalid/x/y/.github/workflows/release.yml@refs/heads/main',
    'https://attacker.invalid/x/y/.github/workflows/release.yml@refs/tags/v1.0.0',
    'https://gitlab.attacker.invalid/x/y//.gitlab-ci.yml@refs/heads/main',
    'spiffe://attacker.invalid/ns/default/sa/builder',
    'mallory@attacker.invalid',
    'mallory!attacker.invalid',
    'attacker.invalid',
  ],
  issuer: [
    'https://attacker.invalid',
    'https://accounts.attacker.invalid',
    'https://attacker.invalid/realms/main',
    'https://oidc.attacker.invalid/id/0123456789ABCDEF',
    'CN=attacker.invalid',
    'CN=Attacker Code Signing CA,O=Attacker,C=XX',
  ],
} as const

const INSTEAD = {
  subject:
    'write who may sign, for example https://github\\.com/acme/app/\\.github/workflows/release\\.yml@refs/tags/.*',
  issuer: 'write the issuer itself, for example issuer: https://token.actions.githubusercontent.com',
} as const

export type IdentityField = keyof typeof STRANGERS

/** Whether a pattern must name somebody. One that denies need not: too wide, it only refuses. */
export type Breadth = 'named' | 'any'

/** How a policy document says what a text must be: itself, or an RE2 pattern that must match all of it. */
export const textMatcherSchema = z.union([
  z.string().min(1, 'expected some text'),
  z.strictObject({ pattern: z.string().min(1, 'expected an RE2 pattern') }),
])

type TextMatcherDocument = z.output<typeof textMatcherSchema>

/** `stranger`: a text that anybody could have there; a pattern that accepts it names no one. Reports what is wrong. */
export function compileText(
  document: TextMatcherDocument,
  stranger: string | undefined,
  path: Path,
  report: Report,
): StringMatcher | undefined {
  if (typeof document === 'string') {
    if (!looksLikePattern(document)) return { kind: 'exact', value: document }
    return report(
      path,
      `found ${JSON.stringify(document)}, which is compared exactly; write {pattern: …} for a pattern`,
    )
  }
  const result = patternOf(document.pattern, stranger === undefined ? [] : [stranger])
  if (result.ok) return result.matcher
  return report([...path, 'pattern'], result.message)
}

/** Compares whole strings, byte for byte. */
export function exactMatcher(field: IdentityField, value: string): MatcherResult {
  if (looksLikePattern(value)) {
    const message = `found ${JSON.stringify(value)}, which is compared exactly; use ${field}Pattern for a pattern`
    return { ok: false, message }
  }
  return { ok: true, matcher: { kind: 'exact', value } }
}

/** RE2 that must match the whole string, whatever anchors or alternatives `source` has. Linear in its input. */
export function patternMatcher(
  field: IdentityField,
  source: string,
  breadth: Breadth = 'named',
): MatcherResult {
  const strangers = breadth === 'any' ? [] : STRANGERS[field]
  return patternOf(source, strangers, `; ${INSTEAD[field]}`)
}

function looksLikePattern(value: string): boolean {
  return value.includes('*') || value.startsWith('^')
}

function patternOf(source: string, strangers: readonly string[], instead = ''): MatcherResult {
  if (source.length > PATTERN_CHARACTERS_MAX) {
    return {
      ok: false,
      message: `found a pattern of ${source.length} characters, expected at most ${PATTERN_CHARACTERS_MAX}`,
    }
  }
  const matches = compileWildcards(source) ?? compile(source)
  if (typeof matches === 'string') return { ok: false, message: `found no RE2 pattern: ${matches}` }
  const stranger = strangers.find((text) => matches(text))
  if (stranger !== undefined) {
    const message = `the pattern also accepts ${stranger}, which anybody could sign as${instead}`
    return { ok: false, message }
  }
  return { ok: true, matcher: { kind: 'pattern', source, matches } }
}

export function matchesString(matcher: StringMatcher, text: string): boolean {
  return matcher.kind === 'exact' ? matcher.value === text : matcher.matches(text)
}

/** As the operator wrote it. */
export function matcherText(matcher: StringMatcher): string {
  return matcher.kind === 'exact' ? matcher.value : `/${matcher.source}/`
}

function compile(source: string): ((text: string) => boolean) | string {
  try {
    const compiled = RE2JS.compile(source)
    return (text) => compiled.matches(text)
  } catch (error) {
    return error instanceof Error ? error.message : 'not compilable'
  }
}
