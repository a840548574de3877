import { bindPolicies } from './policy/bind.ts'
import { policiesFor, type IndexedPolicySet } from './policy/policy-index.ts'
import type { Policy } from './policy/types.ts'
import type { TrustSnapshot } from './trust/snapshot.ts'

/**
 * What every verdict depends on beside the image, at one moment. It never changes: new policies or new trust make a new
 * epoch. One judgement uses one epoch from its start to its end.
 */
export type Epoch = {
  /** Bound to `trust`. */
  readonly policies: IndexedPolicySet
  /** Every policy that matches `registry/name`. */
  matching(repositoryName: string): readonly Policy[]
  readonly trust: TrustSnapshot
  /** Two epochs with one key come to the same verdicts. */
  readonly key: string
  readonly policyVersion: string
  readonly trustVersion: string
}

/** The versions that a record of a verdict names. */
export type EpochVersions = Pick<Epoch, 'policyVersion' | 'trustVersion'>

export function createEpoch(set: IndexedPolicySet, trust: TrustSnapshot): Epoch {
  const policies = bindPolicies(set, trust)
  const [policyVersion, trustVersion] = [set.version, trust.version]
  return {
    policies,
    matching: (repositoryName) => policiesFor(policies, repositoryName),
    trust,
    key: `${policyVersion} ${trustVersion}`,
    policyVersion,
    trustVersion,
  }
}

export function versionsOf({ policyVersion, trustVersion }: EpochVersions): EpochVersions {
  return { policyVersion, trustVersion }
}
