import type { KeyObject } from 'node:crypto'
import type { TrustMaterial } from '@sigstore/verify'
import type { Digest } from '../oci/digest.ts'

/** Where a candidate was found: enough for a person to fetch the same bytes again. */
export type EvidenceSource = {
  readonly found: 'referrer' | 'fallback-tag' | 'signature-tag' | 'attestation-tag' | 'file'
  /** The manifest that carries it; for `file` the digest of the file. */
  readonly manifest: Digest
  readonly blob: Digest
}

/** Bytes that may prove something about a subject. A hint until verified: a registry controls all of it. */
export type Candidate = LookedUp &
  /** A Sigstore bundle, v0.1 to v0.3, as JSON. */
  (
    | { readonly form: 'bundle'; readonly source: EvidenceSource; readonly bytes: Buffer }
    /** A layer of cosign's `.sig`: a simple signing payload, all proof in the layer's annotations. */
    | {
        readonly form: 'simple-signing'
        readonly source: EvidenceSource
        readonly bytes: Buffer
        readonly annotations: Readonly<Record<string, string>>
      }
    /** A layer of cosign's `.att`: a DSSE envelope, its log entry in the layer's annotations. */
    | {
        readonly form: 'dsse'
        readonly source: EvidenceSource
        readonly bytes: Buffer
        readonly annotations: Readonly<Record<string, string>>
      }
  )

type LookedUp = {
  /**
   * Log entries that did not come with the candidate but were asked for, each as `readLogEntry` of log-entry-json.ts
   * writes it. They prove themselves like those that came with it.
   */
  readonly logEntries?: readonly string[]
}

/** Fulcio's extensions by name: OID 1.3.6.1.4.1.57264.1.N, fulcio docs/oid-info.md. */
export const FULCIO_EXTENSIONS = {
  2: 'githubWorkflowTrigger',
  3: 'githubWorkflowSHA',
  4: 'githubWorkflowName',
  5: 'githubWorkflowRepository',
  6: 'githubWorkflowRef',
  9: 'buildSignerURI',
  10: 'buildSignerDigest',
  11: 'runnerEnvironment',
  12: 'sourceRepositoryURI',
  13: 'sourceRepositoryDigest',
  14: 'sourceRepositoryRef',
  15: 'sourceRepositoryIdentifier',
  16: 'sourceRepositoryOwnerURI',
  17: 'sourceRepositoryOwnerIdentifier',
  18: 'buildConfigURI',
  19: 'buildConfigDigest',
  20: 'buildTrigger',
  21: 'runInvocationURI',
  22: 'sourceRepositoryVisibilityAtSigning',
  23: 'deploymentEnvironment',
  24: 'tokenSubject',
} as const

export type FulcioExtension = (typeof FULCIO_EXTENSIONS)[keyof typeof FULCIO_EXTENSIONS]

export type SignerIdentity = {
  /** The certificate's only subject alternative name. */
  readonly subject: string
  readonly subjectType: 'uri' | 'email' | 'dns' | 'username'
  /**
   * OIDC issuer (extension 8, or 1 where 8 is absent). Below a root of one's own PKI: the distinguished name of the
   * authority that issued the certificate, as RFC 4514 writes it.
   */
  readonly issuer: string
  readonly extensions: Readonly<Partial<Record<FulcioExtension, string>>>
}

export type Signer =
  | {
      readonly kind: 'keyless'
      readonly trustRoot: string
      readonly identity: SignerIdentity
      /** Proven by a root that is being retired; another Verified may prove the same by its successor. */
      readonly byRetiringRoot: boolean
    }
  /** `id` and scheme of the PublicKey that verified: under another scheme, other signatures count. */
  | { readonly kind: 'key'; readonly key: string; readonly scheme?: KeyScheme }

/** One log entry that was verified and is bound to this signature, key and payload. */
export type LogProof = {
  /** Name of the trust root that knows the log: two roots may know one log, and each vouches for its own entries only. */
  readonly trustRoot: string
  /** Hex of the log id in the trust root: distinct ids are distinct logs. */
  readonly logId: string
  readonly logIndex: string
  readonly promise: boolean
  readonly inclusion: boolean
}

export type VerifiedTime = {
  /** Name of the trust root that knows the authority. */
  readonly trustRoot: string
  readonly source: 'log' | 'timestamp-authority'
  /** Log id, or the authority's leaf certificate digest: distinct values are distinct authorities. */
  readonly authority: string
  readonly time: Date
}

/** in-toto attestation Statement v0.1 or v1; `predicate` is authenticated but its shape is not checked. */
type Statement = {
  readonly predicateType: string
  readonly predicate: unknown
}

export type Claim =
  /** "This image is signed": simple signing, a message signature, or cosign 3's sign statement. */
  { readonly kind: 'signature' } | { readonly kind: 'attestation'; readonly statement: Statement }

/** One thing that is now known about the subject, with everything that proves it. */
export type Verified = {
  readonly source: EvidenceSource
  readonly signer: Signer
  readonly claim: Claim
  readonly logs: readonly LogProof[]
  readonly times: readonly VerifiedTime[]
}

export type FailureCode =
  | 'malformed' // not parseable, or over a limit
  | 'unsupported' // a format, algorithm or media type this verifier does not know
  | 'certificate' // chain, validity, EKU, critical extension, SAN count, SCT
  | 'log-entry' // missing, not bound to this signature/key/payload, proof or promise bad
  | 'timestamp' // no verified time
  | 'signature' // the signature does not verify with the key
  | 'subject' // authentic, but about another image
  | 'key' // no configured key verifies it

/** Why one candidate proves nothing. Kept, because the refusal names the best one. */
export type EvidenceFailure = {
  readonly source: EvidenceSource
  readonly code: FailureCode
  /** One line, no trailing stop. May quote data from outside; sanitised where it is shown. */
  readonly message: string
}

/** What may be trusted to vouch for certificates, logs and timestamps: one trusted_root.json, parsed once. */
export type TrustRoot = {
  readonly name: string
  /**
   * How its certificates are read. `sigstore`: short-lived ones of Fulcio, each in a certificate transparency log.
   * `pki`: those of an organisation's own authorities.
   */
  readonly kind: 'sigstore' | 'pki'
  /** sha256 of the document, under its kind: verdicts depend on it. */
  readonly version: string
  /** The document itself, so that a worker thread can build its own material. */
  readonly json: string
  readonly material: TrustMaterial
  /** A successor is there: what verifies only by this root will stop to. */
  readonly isRetiring: boolean
}

/** A signature scheme beside the key type's own default. */
export type KeyScheme = { readonly hash: 'sha256' | 'sha384' | 'sha512' | null; readonly pss?: boolean }

export type PublicKey = {
  /** `sha256:<hex>` of the DER SubjectPublicKeyInfo. */
  readonly id: string
  readonly key: KeyObject
  readonly scheme?: KeyScheme
}

/** A key of a set, with the time in which what it signs counts. */
export type HeldKey = {
  readonly key: PublicKey
  /** Undefined: always has, never ends. */
  readonly validFrom: Date | undefined
  readonly validUntil: Date | undefined
  /**
   * Whether the key may vouch for a signature without a verified time: it is inside its window now. Outside of it, only
   * signatures with a verified time inside the window count.
   */
  readonly isCurrent: boolean
  /** A successor is there: what verifies only by this key will stop to. */
  readonly isRetiring: boolean
}

/** The keys that a reference (`awskms:///alias/release`, `keys:NAME`) stands for, or why they cannot be had. */
export type KeySet =
  | { readonly kind: 'held'; readonly keys: readonly HeldKey[] }
  | { readonly kind: 'missing'; readonly dependency: 'kms' | 'trust'; readonly message: string }

export type VerificationInput = {
  readonly subject: Digest
  readonly roots: readonly TrustRoot[]
  readonly keys: readonly PublicKey[]
  /** Names of trust roots whose log can be asked for entries: results then say which signatures lack one. */
  readonly logsToAsk?: readonly string[]
}

export type CandidateResult = {
  readonly verified: readonly Verified[]
  readonly failures: readonly EvidenceFailure[]
  /** What would be proven with a log entry. Only where the input names logs to ask. */
  readonly unlogged?: readonly Unlogged[]
}

/** A signature that holds in all but an entry in the log of this trust root: good for a question, proof of nothing. */
export type Unlogged = {
  /** `candidateKey` of the candidate. */
  readonly candidate: string
  readonly source: EvidenceSource
  readonly trustRoot: string
  readonly signer: Signer
  readonly claim: Claim
  readonly query: LogQuery
}

/** How to ask a Rekor v1 log for the entry of one signature, and how to tell it from others. */
export type LogQuery = {
  /** Hex: equal for all copies of one signature by one signer, in whatever wording. */
  readonly id: string
  /** Hex: equal for equal proposals. */
  readonly wording: string
  /** Rekor's ProposedEntry as JSON, the likeliest first: what would be logged for this signature. */
  readonly proposals: readonly string[]
  /** Whether the proposals are all that can have been logged; else the log's index must be asked too. */
  readonly isExact: boolean
  /** `sha256:<hex>` of the signed content, under which the log's index knows an envelope. */
  readonly indexedBy: string | undefined
  /** Base64. */
  readonly signature: string
  /** `sha256:<hex>` of the DER of the certificate, or of the key's SubjectPublicKeyInfo, that the entry must name. */
  readonly signer: string
  /** Hex SHA-256 of the envelope's own bytes, where they are at hand: one for each copy that is asked about. */
  readonly envelopeHashes: readonly string[]
}
