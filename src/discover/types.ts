import type { NotHad } from '../upstream/outage.ts'
import type { Candidate, EvidenceFailure } from '../verify/types.ts'

/** Something that could not be had: a fact about the world, so the verdict cannot rest on its absence. */
export type DiscoveryFailure = {
  readonly what:
    | 'referrers'
    | 'fallback-tag'
    | 'signature-tag'
    | 'attestation-tag'
    | 'evidence-manifest'
    | 'evidence-blob'
  /** `unread` also where it is there and is too much. */
  readonly because: NotHad
  /** One line: what was asked and what came back. */
  readonly message: string
}

export type Discovery = {
  readonly candidates: readonly Candidate[]
  /** Evidence that is there but unusable (malformed manifest, over a limit): a fact about bytes. */
  readonly rejected: readonly EvidenceFailure[]
  readonly failures: readonly DiscoveryFailure[]
}
