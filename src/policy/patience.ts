import { asksForEvidence } from './revocation.ts'
import { modeIn, type Ring } from './ring.ts'
import type { Mode, Policy, Revocation } from './types.ts'

/** How long a pull waits for what one policy says. */
export type Budget = { readonly policy: string; readonly ms: number }

/** How long a pull waits for a verdict. What is late is late for this pull alone: verification itself is not cut short. */
export type Patience = {
  /** The shortest first. Where the stance of a policy holds what is late, nothing after its budget is worth waiting for. */
  readonly budgets: readonly Budget[]
  /** No rule has anything to say that the longest of these budgets does not cover. */
  readonly isLimited: boolean
  /** Nothing is enforced, so nothing can be held: with a verdict or without, the image is served. */
  readonly isForShow: boolean
}

type Rules = { readonly policies: readonly Policy[]; readonly revocations: readonly Revocation[] }

/**
 * What the budgets of all that is about an image come to in the ring of who asks. A revocation has none: an image may be
 * somebody's who is revoked until its evidence has been looked at, and no policy's haste lets that pass.
 */
export function patienceOf({ policies, revocations }: Rules, ring: Ring): Patience {
  const inMode = <T extends Pick<Policy, 'modes'>>(rules: readonly T[], mode: Mode): readonly T[] =>
    rules.filter(({ modes }) => modeIn(modes, ring.name) === mode)
  const enforced = inMode(policies, 'enforce')
  const canRevoke = inMode(revocations, 'enforce').some(asksForEvidence)
  if (enforced.length > 0 || canRevoke) {
    const budgets = budgetsOf(enforced)
    const isLimited = !canRevoke && budgets.length === enforced.length
    return { budgets, isLimited, isForShow: false }
  }
  // Of policies that only warn none is worth another's delay.
  const budgets = budgetsOf(inMode(policies, 'observe')).slice(0, 1)
  return { budgets, isLimited: budgets.length > 0, isForShow: true }
}

function budgetsOf(policies: readonly Policy[]): readonly Budget[] {
  return policies
    .flatMap(({ name, verifyBudgetMs: ms }) => (ms === undefined ? [] : [{ policy: name, ms }]))
    .toSorted((a, b) => a.ms - b.ms)
}
