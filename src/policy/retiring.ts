import { isSignedBy } from '../verify/public-key.ts'
import type { Verified } from '../verify/types.ts'
import { satisfiedBy, type Occasion } from './authority.ts'
import type { Authority, Judgement, Policy } from './types.ts'

export type RetiringKind = 'root' | 'key'

/** One for all: nearly every verdict that is kept has it. */
const NONE: readonly RetiringKind[] = []

/**
 * What the verdicts rest on that is being retired: for each authority that would not be satisfied without it. Images
 * that still count here must be signed anew, or verified by the successor, before the old root or key goes.
 */
export function retiringIn(
  { results }: Judgement,
  policies: readonly Policy[],
  occasion: Occasion,
): readonly RetiringKind[] {
  const kinds = results.flatMap(({ policy: name, verdict }): readonly RetiringKind[] => {
    if (verdict.kind !== 'satisfied') return []
    const authorities = policies.find((policy) => policy.name === name)?.authorities ?? []
    return authorities.flatMap((authority) => {
      const own = verdict.by.filter((by) => by.authority === authority.name)
      const verified = own.flatMap((by) => by.verified)
      return retiringOf(authority, verified, occasion)
    })
  })
  return kinds.length === 0 ? NONE : kinds
}

function retiringOf(
  authority: Authority,
  verified: readonly Verified[],
  occasion: Occasion,
): readonly RetiringKind[] {
  const staying = verified.filter((one) => !isRetiring(authority, one))
  if (verified.length === staying.length || satisfiedBy(authority, staying, occasion).length > 0) return []
  return [authority.signer.kind === 'keyless' ? 'root' : 'key']
}

function isRetiring({ signer }: Authority, { signer: by }: Verified): boolean {
  if (by.kind === 'keyless') return by.byRetiringRoot
  if (signer.kind !== 'key') return false
  const held = signer.keys.filter(({ key }) => isSignedBy(by, key))
  return held.length > 0 && held.every((one) => one.isRetiring)
}
