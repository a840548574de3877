import { mostTelling } from './reasons.ts'
import type { Admission, Outcome, PolicyResult } from './types.ts'

export type Refusal = {
  /** One line of printable ASCII, at most 1000 characters: the `message` of the OCI error. */
  readonly line: string
  /** The same, cut to 500 characters: some clients show nothing but the reason phrase of the status line. */
  readonly reasonPhrase: string
  readonly code: 'DENIED' | 'UNAVAILABLE'
}

const LINE_CHARACTERS_MAX = 1000
const PHRASE_CHARACTERS_MAX = 500
/** `Warning` headers are limited to 4096 bytes altogether (OCI distribution-spec 1.1, "Warnings"). */
const WARNING_CHARACTERS_MAX = 700
/** Of a clause that quotes data from outside: whoever made the data must not push the rest out of the line. */
const CLAUSE_CHARACTERS_MAX = 320
const RUNBOOK_CHARACTERS_MAX = 200

/** Says which policy stops the pull, what was found and expected, where to read on, and which record to ask for. */
export function refusalMessage(
  outcome: Extract<Outcome, { kind: 'refuse' | 'hold' }>,
  decisionId: string,
): Refusal {
  const [first, ...others] = outcome.by
  const more = others.length === 0 ? '' : ` (+${others.length} more)`
  const verb = outcome.kind === 'refuse' ? 'blocked' : 'held'
  const opening = `${verb} by ${ruleText(first)}${more}: `
  const closing = `; decision ${printable(decisionId)}`
  const advice = outcome.kind === 'hold' ? '; retry later' : runbookText(first)
  const clause = clauseOf(first)
  return {
    line: fit(opening, clause, `${advice}${closing}`, LINE_CHARACTERS_MAX),
    // A runbook is worth more than the end of a long clause, but not more than all of it.
    reasonPhrase: fit(
      opening,
      clause,
      advice.length <= PHRASE_CHARACTERS_MAX / 3 ? `${advice}${closing}` : closing,
      PHRASE_CHARACTERS_MAX,
    ),
    code: outcome.kind === 'refuse' ? 'DENIED' : 'UNAVAILABLE',
  }
}

/** The text of a `Warning: 299` header, without its quotes and safe between them: what enforce would have done. */
export function warningText(result: PolicyResult, decisionId: string): string {
  const verb = result.verdict.kind === 'undetermined' ? 'held' : 'blocked'
  const opening = `would be ${verb} by ${ruleText(result)}: `
  const closing = `${runbookText(result)}; decision ${printable(decisionId)}`
  return quotable(fit(opening, clauseOf(result), closing, WARNING_CHARACTERS_MAX))
}

/** The text of the same header for what was served though nobody could judge it: which stance, and why. */
export function admissionText({ result, by }: Admission, decisionId: string): string {
  const opening = `not verified, served by stance ${by} of policy ${printable(result.policy)}: `
  const closing = `${runbookText(result)}; decision ${printable(decisionId)}`
  return quotable(fit(opening, clauseOf(result), closing, WARNING_CHARACTERS_MAX))
}

/** A revocation is there only where it hits, and then for that reason alone. */
function ruleText(result: PolicyResult | undefined): string {
  const isRevocation =
    result?.verdict.kind === 'violated' && result.verdict.reasons.some(({ code }) => code === 'revoked')
  return `${isRevocation ? 'revocation' : 'policy'} ${printable(result?.policy ?? 'unknown')}`
}

function quotable(text: string): string {
  return text.replaceAll('\\', '/').replaceAll('"', "'")
}

function clauseOf(result: PolicyResult | undefined): string {
  const verdict = result?.verdict
  if (verdict === undefined || verdict.kind === 'satisfied') return 'no reason was recorded'
  if (verdict.kind === 'undetermined') {
    return clip(printable(verdict.causes[0]?.message ?? 'no cause was recorded'), CLAUSE_CHARACTERS_MAX)
  }
  const reason = mostTelling(verdict.reasons)
  if (reason === undefined) return 'no reason was recorded'
  const found = clip(printable(reason.found), CLAUSE_CHARACTERS_MAX)
  return `${found}, expected ${clip(printable(reason.expected), CLAUSE_CHARACTERS_MAX)}`
}

function runbookText(result: PolicyResult | undefined): string {
  return result?.runbook === undefined ? '' : `; ${clip(printable(result.runbook), RUNBOOK_CHARACTERS_MAX)}`
}

/** Cuts the middle, never the ends: policy and decision are what a person needs to get help. */
function fit(opening: string, middle: string, closing: string, charactersMax: number): string {
  const room = Math.max(0, charactersMax - opening.length - closing.length)
  return `${opening}${clip(middle, room)}${closing}`.slice(0, charactersMax)
}

function clip(text: string, charactersMax: number): string {
  return text.length <= charactersMax ? text : `${text.slice(0, Math.max(0, charactersMax - 3))}...`
}

/** Header-safe: printable ASCII only (RFC 9112, reason-phrase), no line breaks, no runs of blanks. */
function printable(text: string): string {
  return text
    .replaceAll(/[^\x20-\x7e]/g, ' ')
    .replaceAll(/ {2,}/g, ' ')
    .trim()
}
