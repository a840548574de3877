import { PROVENANCE_TYPES } from './policy/provenance.ts'
import type { Verified } from './verify/types.ts'

/** What is proven of an image by anybody, whether a policy asks for it or not. */
export type SigningFacts = {
  /** Any signature or attestation. */
  readonly isSigned: boolean
  /** Any SLSA provenance. */
  readonly hasProvenance: boolean
}

export function signingFacts(verified: readonly Verified[]): SigningFacts {
  const hasProvenance = verified.some(
    ({ claim }) => claim.kind === 'attestation' && PROVENANCE_TYPES.has(claim.statement.predicateType),
  )
  if (hasProvenance) return WITH_PROVENANCE
  return verified.length > 0 ? SIGNED : NOTHING_SIGNED
}

/** Where nobody looked. */
export const NOTHING_SIGNED: SigningFacts = { isSigned: false, hasProvenance: false }
/** One object each: one of them is kept with each verdict. */
const SIGNED: SigningFacts = { isSigned: true, hasProvenance: false }
const WITH_PROVENANCE: SigningFacts = { isSigned: true, hasProvenance: true }
