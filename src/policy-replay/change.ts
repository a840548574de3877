import { mostTelling } from '../policy/reasons.ts'
import type { Outcome, PolicyResult } from '../policy/types.ts'

/** What the clients of one ring would get, under one set of policies. */
export type Side = {
  readonly outcome: 'serve' | 'warn' | 'refuse' | 'hold'
  /** Every policy that is not content, in the order in which a refusal names them. */
  readonly because: readonly Because[]
}

export type Because = { readonly policy: string; readonly why: string }

/**
 * From the worst for whoever pulls to what only reads differently. `unknown`: one of the two cannot be told, because the
 * evidence is not kept any more.
 */
export const CHANGES = [
  'refused',
  'held',
  'warned',
  'admitted',
  'unwarned',
  'otherwise',
  'unknown',
  'same',
] as const

export type Change = (typeof CHANGES)[number]

export function sideOf(outcome: Outcome): Side {
  const stopping = outcome.kind === 'serve' ? [] : outcome.by
  const because = [...stopping, ...outcome.warnings].map(becauseOf)
  if (outcome.kind !== 'serve') return { outcome: outcome.kind, because }
  return { outcome: because.length === 0 ? 'serve' : 'warn', because }
}

/** What the second does to those who have lived with the first. */
export function changeFrom(before: Side | undefined, after: Side | undefined): Change {
  if (before === undefined || after === undefined) return 'unknown'
  if (after.outcome !== before.outcome) return BECOMES[after.outcome](before.outcome)
  return sameReasons(before, after) ? 'same' : 'otherwise'
}

const isServed = (outcome: Side['outcome']): boolean => outcome === 'serve' || outcome === 'warn'

const BECOMES: Readonly<Record<Side['outcome'], (from: Side['outcome']) => Change>> = {
  refuse: () => 'refused',
  hold: (from) => (from === 'refuse' ? 'otherwise' : 'held'),
  warn: (from) => (isServed(from) ? 'warned' : 'admitted'),
  serve: (from) => (isServed(from) ? 'unwarned' : 'admitted'),
}

function sameReasons(one: Side, other: Side): boolean {
  return JSON.stringify(one.because) === JSON.stringify(other.because)
}

function becauseOf({ policy, verdict }: PolicyResult): Because {
  if (verdict.kind === 'undetermined') return { policy, why: verdict.causes[0]?.message ?? 'not known' }
  const reason = verdict.kind === 'violated' ? mostTelling(verdict.reasons) : undefined
  const who = reason?.authority === undefined ? '' : `${reason.authority}: `
  return {
    policy,
    why: reason === undefined ? '' : `${who}found ${reason.found}, expected ${reason.expected}`,
  }
}
