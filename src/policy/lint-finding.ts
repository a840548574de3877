import type { Glob } from './glob.ts'
import type { Path } from './problem.ts'
import type { Policy, Revocation } from './types.ts'

/** `error`: it cannot be what anybody wants. `warning`: it is weaker or deader than it looks. `note`: worth knowing. */
export type Severity = 'error' | 'warning' | 'note'

export type LintCode =
  | 'any-identity' // anybody with a certificate may sign
  | 'any-issuer' // whoever vouches for the name
  | 'broad-pattern' // a pattern that strangers can meet
  | 'any-ref' // a pattern that every branch and pull request meets
  | 'contained-identity' // it adds nothing to another one of the same authority
  | 'expired-key'
  | 'expiring-key'
  | 'revoked-signer' // a revocation refuses what the policy asks for
  | 'static-pass' // an authority that lets everything through
  | 'dead-alternative' // a part of `require` that nothing can meet
  | 'never-satisfied' // and the same of all of it
  | 'same-signer' // one signer under two names in one threshold
  | 'unchecked-attestation' // nothing is asked of what it says
  | 'overlap' // another policy matches the same images
  | 'no-runbook'
  | 'mode-off'
  | 'short-budget' // most cold pulls take longer
  | 'ring-behind' // laxer than a ring before it
  | 'ring-ahead' // stricter than a ring before it

/** One thing that is allowed, and that somebody should look at. */
export type LintFinding = {
  readonly severity: Severity
  readonly code: LintCode
  /** `file:line`. */
  readonly place: string
  /** The policy that it is about. */
  readonly policy: string
  /** One clause each, without a stop: what is written, what follows, what to write instead. */
  readonly what: string
  readonly why: string
  readonly mend: string
}

/** A policy and where it is written. Bound, where its keys have windows in the trust configuration. */
export type LintPolicy = {
  readonly policy: Policy
  readonly globs: readonly Glob[]
  placeOf(path: Path): string
}

export type LintRevocation = { readonly revocation: Revocation; readonly globs: readonly Glob[] }

export type LintInput = {
  readonly policies: readonly LintPolicy[]
  readonly revocations: readonly LintRevocation[]
  /** In the order in which a requirement is rolled out. Empty: there is none. */
  readonly rings: readonly string[]
  readonly now: Date
}

/** A finding without what all findings of one policy have in common. */
export type Remark = Omit<LintFinding, 'place' | 'policy'> & { readonly path: Path }
