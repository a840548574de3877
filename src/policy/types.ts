import type { FailureCode, PublicKey, Signer, Verified } from '../verify/types.ts'

export type Mode = 'off' | 'observe' | 'enforce'

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
        readonly keys: readonly PublicKey[]
        /** Whether a signature must also be proven to be in a log of `trustRoot`. Keyless ones always must. */
        readonly transparencyLog: 'required' | 'optional'
        readonly trustRoot: string
      }
  /** Empty: a signature of the image is required. Otherwise one verified attestation of each type, and no signature. */
  readonly attestations: readonly { readonly name: string; readonly predicateType: string }[]
}

/** One row of the acceptance registry. */
export type Policy = {
  readonly name: string
  readonly mode: Mode
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
  readonly dependency: 'registry' | 'trust' | 'verifier' | 'deadline'
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
  readonly mode: Mode
  readonly runbook: string | undefined
  readonly verdict: Verdict
}

/** What all matching policies say of one digest in one repository. Never empty. */
export type Judgement = {
  readonly results: readonly PolicyResult[]
}

export type Outcome =
  | { readonly kind: 'serve'; readonly warnings: readonly PolicyResult[] }
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
