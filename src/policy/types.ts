import type { Digest } from '../oci/digest.ts'
import type { FailureCode, FulcioExtension, HeldKey, PublicKey, Signer, Verified } from '../verify/types.ts'

export type Mode = 'off' | 'observe' | 'enforce'

/** The mode of one rule, ring by ring. A ring is a group of clients that share a rollout stage. */
export type RingModes = {
  /** In every ring that is not named. */
  readonly fallback: Mode
  readonly byRing: ReadonlyMap<string, Mode>
}

/**
 * What an undetermined verdict does in mode enforce: holds the pull; serves what was satisfied before; serves and says so
 * loudly, within a budget. From the strictest to the laxest, and each also does what those before it do.
 */
export type Stance = 'closed' | 'last-verified' | 'open'

/** Exact by default; a pattern is RE2, compiled at load and anchored at both ends. */
export type StringMatcher =
  | { readonly kind: 'exact'; readonly value: string }
  | { readonly kind: 'pattern'; readonly source: string; matches(text: string): boolean }

/** All of it must match. Undefined: anybody's; a policy says so only in so many words (`unsafeAnyIdentity`). */
export type IdentityMatcher = {
  readonly issuer: StringMatcher | undefined
  readonly subject: StringMatcher | undefined
  /** An extension that the certificate does not have matches nothing. */
  readonly extensions: readonly { readonly name: FulcioExtension; readonly matcher: StringMatcher }[]
}

/** The image that is judged, under its canonical name, whichever way it is pulled. */
export type ImageFacts = { readonly registry: string; readonly name: string; readonly digest: Digest }

/** What was found, and what was expected instead: one clause each, lower case, no stop. Values quote data from outside. */
export type Shortfall = { readonly found: string; readonly expected: string }

/** One more thing that a verified signature or statement must show: its provenance, an expression. Pure and bounded. */
export type ClaimCheck = {
  /** What it demands, in one form for one meaning: part of the version of its policy. */
  readonly canonical: string
  /** The words that the document itself has for it: part of refusals, and so of the version of the set. */
  readonly wording?: string | undefined
  /** Undefined where it holds. What cannot be evaluated does not hold: a missing field is named, never passed over. */
  check(verified: Verified, image: ImageFacts): Shortfall | undefined
}

/** One attestation that an authority must have made. */
export type AttestationDemand = {
  /** How messages call it. */
  readonly name: string
  readonly predicateType: string
  /** All of them must hold of one and the same attestation. */
  readonly checks: readonly ClaimCheck[]
  /** How old it may be, by a time that the authority's own trust root vouches for; undefined: any age. */
  readonly maxAgeMs: number | undefined
}

/** Which authorities together are enough. */
export type Requirement =
  | { readonly kind: 'authority'; readonly name: string }
  | { readonly kind: 'any' | 'all'; readonly of: readonly Requirement[] }
  /** A quorum: so many different authorities, by as many different signers. */
  | { readonly kind: 'threshold'; readonly count: number; readonly of: readonly string[] }

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
        /** The window that the document gives to the keys of its reference, beside those that they have themselves. */
        readonly during?: SigningWindow | undefined
        /** Whether a signature must also be proven to be in a log of `trustRoot`. Keyless ones always must. */
        readonly transparencyLog: 'required' | 'optional'
        readonly trustRoot: string
      }
    /** Says so itself, whatever is signed: `pass` lets everything through, `fail` nothing. */
    | { readonly kind: 'static'; readonly action: 'pass' | 'fail'; readonly message: string }
  /** Empty: a signature of the image is required. Otherwise one verified attestation of each kind, and no signature. */
  readonly attestations: readonly AttestationDemand[]
  /** Of the signature, where there are no attestations; else empty. */
  readonly checks: readonly ClaimCheck[]
  /** The same. */
  readonly maxAgeMs: number | undefined
  /** Why nobody can say now whether it is satisfied: its key was never had, its trust root is too old to be believed. */
  readonly unavailable: Cause | undefined
  /** Why nobody can say now when anything was signed: that needs the trust root of a key with a window, or of an age. */
  readonly timesUnavailable?: Cause | undefined
}

/** One row of the acceptance registry. */
export type Policy = {
  readonly name: string
  /** sha256 over the canonical form of what it demands: what was satisfied under one version is so under no other. */
  readonly version: string
  /** The strictest that it has in any ring: what is judged must be good enough for that one. */
  readonly mode: Mode
  readonly modes: RingModes
  readonly stance: Stance
  /** How long a pull waits for its verdict; undefined: as long as for anything else. */
  readonly verifyBudgetMs?: number
  readonly runbook: string | undefined
  /** What must hold before it is enforced in another ring; undefined where the document declares nothing. */
  readonly rollout: RolloutCriteria | undefined
  /** True where one of the policy's globs matches `registry/name` (without tag or digest). */
  matches(repositoryName: string): boolean
  /** Never empty. */
  readonly authorities: readonly Authority[]
  /** Names authorities of the policy. */
  readonly requirement: Requirement
  /** `file:line`, for messages. */
  readonly origin: string
}

/** All of them, over the time since the policy has demanded what it demands in the mode that it has in the ring. */
export type RolloutCriteria = {
  readonly minDays: number
  readonly minPulls: number
  readonly minImages: number
  /** Distinct images that would have been blocked, at most. */
  readonly maxWouldBlocks: number
}

/** When something was signed: from (inclusive) until (exclusive); undefined: open. */
export type SigningWindow = { readonly from: Date | undefined; readonly until: Date | undefined }

/**
 * What is never accepted again. With a window only what was, or may have been, signed in it: where no verified time of
 * `trustRoot` says that it was signed outside, it counts as inside.
 */
export type Denial =
  | { readonly kind: 'digest'; readonly digest: Digest }
  | {
      readonly kind: 'identity'
      /** Whose certificates, and whose times. */
      readonly trustRoot: string
      readonly identity: IdentityMatcher
      /** Why nobody can say now what its trust root vouches for. */
      readonly unavailable?: Cause | undefined
      readonly during: SigningWindow
    }
  /** `key` where the document brings it, so that its signatures can be found. */
  | ({ readonly kind: 'key'; readonly id: string; readonly key: PublicKey | undefined } & Timed)
  /** Of provenance, whoever signed it. */
  | ({ readonly kind: 'builder'; readonly builder: StringMatcher } & Timed)

type Timed = {
  readonly trustRoot: string
  readonly during: SigningWindow
  /** Why nobody can say now when anything was signed. */
  readonly timesUnavailable?: Cause | undefined
}

/** A document that can only ever refuse: it beats every policy, and no evidence outweighs it. */
export type Revocation = {
  /** Unique among policies and revocations. */
  readonly name: string
  readonly version: string
  readonly mode: Mode
  readonly modes: RingModes
  /** Why, in one clause: part of the refusal. */
  readonly reason: string
  readonly runbook: string | undefined
  matches(repositoryName: string): boolean
  /** Any one of them is enough. Never empty. */
  readonly denials: readonly Denial[]
  readonly origin: string
}

export type PolicySet = {
  /** sha256 over the canonical form of everything that can change a verdict. */
  readonly version: string
  readonly policies: readonly Policy[]
  readonly revocations: readonly Revocation[]
  /** The mode of the rule "every image needs a policy". */
  readonly unmatched: Mode
}

/** What one authority made of the evidence, in the words of a refusal. Values quote data from outside. */
export type Reason = {
  readonly code:
    | 'no-policy' // nothing matches the image
    | 'unsigned' // the registry answered that there is no evidence of the kind asked for
    | 'revoked' // a revocation names the image, or whoever signed or built it
    | 'denied' // an authority of kind static says so
    | 'wrong-identity' // verified, by somebody else
    | 'wrong-key'
    | 'missing-attestation' // evidence verified, but none of this predicate type
    | 'failed-check' // the right signer's evidence of the right type, but it does not show what it must
    | 'too-old' // the same, but it was made too long ago, or nobody can say when
    | 'not-enough' // some authorities are satisfied, but not as many, or not those, that are required together
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
      /** Every authority that is satisfied, once for each of its signers; `signer` is undefined for kind static. */
      readonly by: readonly {
        readonly authority: string
        readonly signer: Signer | undefined
        readonly verified: readonly Verified[]
      }[]
      /** From when on it is too old to count; undefined: never. */
      readonly until?: Date | undefined
    }
  | { readonly kind: 'violated'; readonly reasons: readonly Reason[] }
  | { readonly kind: 'undetermined'; readonly causes: readonly Cause[] }

export type PolicyResult = {
  /** `unmatched` for the rule that every image needs a policy; of a revocation, which is only there where it hits, its name. */
  readonly policy: string
  /** The policy's own version; empty for `unmatched`. */
  readonly version: string
  /** Under which versions it is remembered that it is satisfied; where it is not, under which it could be. Else `version`. */
  readonly factVersions?: readonly string[]
  /** Of the ring that it is about; as long as it is about none, the strictest of all. */
  readonly mode: Mode
  readonly modes: RingModes
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
