import { RE2JS } from 're2js'
import type { StringMatcher } from './types.ts'

export type MatcherResult =
  | { readonly ok: true; readonly matcher: StringMatcher }
  | { readonly ok: false; readonly message: string }

/** The longest pattern that is compiled: identities are at most a few hundred characters. */
const PATTERN_CHARACTERS_MAX = 1024

/**
 * Identities that anybody can get from a public Fulcio or host for themselves: `.invalid` belongs to nobody (RFC 2606).
 * A pattern that accepts one of them names no one.
 */
const STRANGERS = {
  subject: [
    'https://attacker.invalid/x/y/.github/workflows/release.yml@refs/heads/main',
    'https://attacker.invalid/x/y/.github/workflows/release.yml@refs/tags/v1.0.0',
    'https://gitlab.attacker.invalid/x/y//.gitlab-ci.yml@refs/heads/main',
    'spiffe://attacker.invalid/ns/default/sa/builder',
    'mallory@attacker.invalid',
    'mallory!attacker.invalid',
  ],
  issuer: [
    'https://attacker.invalid',
    'https://accounts.attacker.invalid',
    'https://attacker.invalid/realms/main',
    'https://oidc.attacker.invalid/id/0123456789ABCDEF',
  ],
} as const

const INSTEAD = {
  subject:
    'write who may sign, for example https://github\\.com/acme/app/\\.github/workflows/release\\.yml@refs/tags/.*',
  issuer: 'write the issuer itself, for example issuer: https://token.actions.githubusercontent.com',
} as const

export type IdentityField = keyof typeof STRANGERS

/** Compares whole strings, byte for byte. */
export function exactMatcher(field: IdentityField, value: string): MatcherResult {
  if (value.includes('*') || value.startsWith('^')) {
    const message = `found ${JSON.stringify(value)}, which is compared exactly; use ${field}Pattern for a pattern`
    return { ok: false, message }
  }
  return { ok: true, matcher: { kind: 'exact', value } }
}

/** RE2 that must match the whole string, whatever anchors or alternatives `source` has. Linear in its input. */
export function patternMatcher(field: IdentityField, source: string): MatcherResult {
  if (source.length > PATTERN_CHARACTERS_MAX) {
    return {
      ok: false,
      message: `found a pattern of ${source.length} characters, expected at most ${PATTERN_CHARACTERS_MAX}`,
    }
  }
  const compiled = compile(source)
  if (typeof compiled === 'string') return { ok: false, message: `found no RE2 pattern: ${compiled}` }
  const stranger = STRANGERS[field].find((identity) => compiled.matches(identity))
  if (stranger !== undefined) {
    const message = `the pattern also accepts ${stranger}, which anybody could sign as; ${INSTEAD[field]}`
    return { ok: false, message }
  }
  return { ok: true, matcher: { kind: 'pattern', source, matches: (text) => compiled.matches(text) } }
}

export function matchesString(matcher: StringMatcher, text: string): boolean {
  return matcher.kind === 'exact' ? matcher.value === text : matcher.matches(text)
}

/** As the operator wrote it. */
export function matcherText(matcher: StringMatcher): string {
  return matcher.kind === 'exact' ? matcher.value : `/${matcher.source}/`
}

function compile(source: string): RE2JS | string {
  try {
    return RE2JS.compile(source)
  } catch (error) {
    return error instanceof Error ? error.message : 'not compilable'
  }
}
