import type { FailureCode, HeldKey, Signer, Verified } from '../verify/types.ts'

export type Mode = 'off' | 'observe' | 'enforce'

/**
 * What an undetermined verdict does in mode enforce: holds the pull; serves what was satisfied before; serves and says so
 * loudly, within a budget. From the strictest to the laxest, and each also does what those before it do.
 */
export type Stance = 'closed' | 'last-verified' | 'open'

/** Exact by default; a pattern is RE2, compiled at load and anchored at both ends. */
export type StringMatcher =
  | { readonly kind: 'exact'; readonly value: string }
  | { readonly kind: 'pattern'; readonly source: string; matches(text: string): boolean }

export type IdentityMatcher = { readonly issuer: StringMatcher; readonly subject: StringMatcher }

export type Authority = {
  readonly name: string
  readonly signer:
    | {
        readonly kind: 'keyless'
        readonly trustRoot: string
        readonly identities: readonly IdentityMatcher[]
      }
    | {
        readonly kind: 'key'
        /** Those of the policy itself; with `keyReference` those that it stands for now. */
        readonly keys: readonly HeldKey[]
        /** `awskms:///alias/release` or `keys:NAME`: keys that are looked up in the trust snapshot. */
        readonly keyReference: string | undefined
        /** Whether a signature must also be proven to be in a log of `trustRoot`. Keyless ones always must. */
        readonly transparencyLog: 'required' | 'optional'
        readonly trustRoot: string
      }
  /** Empty: a signature of the image is required. Otherwise one verified attestation of each type, and no signature. */
  readonly attestations: readonly { readonly name: string; readonly predicateType: string }[]
  /** Why nobody can say now whether it is satisfied: its key was never had, its trust root is too old to be believed. */
  readonly unavailable: Cause | undefined
  /** Why nobody can say now when anything was signed, for keys that do not count at any time: that needs the trust root. */
  readonly timesUnavailable?: Cause | undefined
}

/** One row of the acceptance registry. */
export type Policy = {
  readonly name: string
  /** sha256 over the canonical form of what it demands: what was satisfied under one version is so under no other. */
  readonly version: string
  readonly mode: Mode
  readonly stance: Stance
  readonly runbook: string | undefined
  /** True where one of the policy's globs matches `registry/name` (without tag or digest). */
  matches(repositoryName: string): boolean
  /** Any one of them is enough. Never empty. */
  readonly authorities: readonly Authority[]
  /** `file:line`, for messages. */
  readonly origin: string
}

export type PolicySet = {
  /** sha256 over the canonical form of everything that can change a verdict. */
  readonly version: string
  readonly policies: readonly Policy[]
  /** The mode of the rule "every image needs a policy". */
  readonly unmatched: Mode
}

/** What one authority made of the evidence, in the words of a refusal. Values quote data from outside. */
export type Reason = {
  readonly code:
    | 'no-policy' // nothing matches the image
    | 'unsigned' // the registry answered that there is no evidence of the kind asked for
    | 'wrong-identity' // verified, by somebody else
    | 'wrong-key'
    | 'missing-attestation' // evidence verified, but none of this predicate type
    | 'not-logged' // verified, but without the log entry that the authority asks for
    | 'invalid-evidence' // candidates exist and none verifies
    | 'malformed' // the manifest itself cannot be trusted to mean one thing
    | 'foreign-url' // a layer that clients would fetch from somewhere else
  readonly authority: string | undefined
  /** "found …", one clause, lower case, no stop. */
  readonly found: string
  /** "expected …", likewise. */
  readonly expected: string
  readonly evidence?: FailureCode
}

export type Cause = {
  /**
   * `verifier` is no outage: whoever makes the evidence can make it too large or too much, so no stance lets it pass.
   * Nor are `rate-limit` and `deadline`: whoever pulls often enough can bring them about, so `open` does not let them
   * pass. The others are had from the world, and stance decides.
   */
  readonly dependency: 'registry' | 'trust' | 'rekor' | 'kms' | 'rate-limit' | 'deadline' | 'verifier'
  readonly message: string
}

export type Verdict =
  | {
      readonly kind: 'satisfied'
      readonly by: readonly {
        readonly authority: string
        readonly signer: Signer
        readonly verified: readonly Verified[]
      }[]
    }
  | { readonly kind: 'violated'; readonly reasons: readonly Reason[] }
  | { readonly kind: 'undetermined'; readonly causes: readonly Cause[] }

export type PolicyResult = {
  /** `unmatched` for the rule that every image needs a policy. */
  readonly policy: string
  /** The policy's own version; empty for `unmatched`. */
  readonly version: string
  /** Under which versions it is remembered that it is satisfied; where it is not, under which it could be. Else `version`. */
  readonly factVersions?: readonly string[]
  readonly mode: Mode
  readonly stance: Stance
  readonly runbook: string | undefined
  readonly verdict: Verdict
}

/** What all matching policies say of one digest in one repository. Never empty. */
export type Judgement = {
  readonly results: readonly PolicyResult[]
}

/** An undetermined result that is served all the same, and by which stance. */
export type Admission = { readonly result: PolicyResult; readonly by: 'last-verified' | 'open' }

export type Outcome =
  | {
      readonly kind: 'serve'
      readonly warnings: readonly PolicyResult[]
      /** Policies in mode enforce that could not be determined and whose stance lets the image pass. */
      readonly admitted: readonly Admission[]
    }
  /** A fact about bytes: 403. */
  | {
      readonly kind: 'refuse'
      readonly by: readonly PolicyResult[]
      readonly warnings: readonly PolicyResult[]
    }
  /** A fact about the world: 503. */
  | {
      readonly kind: 'hold'
      readonly by: readonly PolicyResult[]
      readonly warnings: readonly PolicyResult[]
    }
