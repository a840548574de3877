import { compileGlob } from '../policy/glob.ts'
import { indexPolicies, type IndexedPolicySet } from '../policy/policy-index.ts'
import type { Authority, Policy } from '../policy/types.ts'

/**
 * What counts where policies are configured and were never had: one policy for every image, which nobody can judge. What
 * cannot be loaded is undetermined, never absent, and no stance makes it lax.
 */
export const HELD: IndexedPolicySet = holdAll()

function holdAll(): IndexedPolicySet {
  const everything = compileGlob('**')
  if (!everything.ok) throw new TypeError(everything.message)
  const authority: Authority = {
    name: 'policy-bundle',
    signer: { kind: 'static', action: 'fail', message: 'there are no policies' },
    attestations: [],
    checks: [],
    maxAgeMs: undefined,
    unavailable: { dependency: 'trust', message: 'the policy bundle has never been obtained' },
  }
  const policy: Policy = {
    name: 'policy-bundle',
    version: 'none',
    mode: 'enforce',
    modes: { fallback: 'enforce', byRing: new Map() },
    stance: 'closed',
    runbook: undefined,
    rollout: undefined,
    matches: () => true,
    authorities: [authority],
    requirement: { kind: 'authority', name: authority.name },
    origin: 'policies.bundle',
  }
  const set = { version: 'none', policies: [policy], revocations: [], unmatched: 'enforce' } as const
  return indexPolicies(set, { policies: [[everything.glob]], revocations: [] })
}
