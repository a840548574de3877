import { hash } from 'node:crypto'
import { bindPolicies } from './policy/bind.ts'
import { policiesFor, revocationsFor, type IndexedPolicySet } from './policy/policy-index.ts'
import type { Policy, Revocation } from './policy/types.ts'
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
  /** Every revocation likewise. */
  revoking(repositoryName: string): readonly Revocation[]
  readonly trust: TrustSnapshot
  /** Two epochs with one key come to the same verdicts. */
  readonly key: string
  readonly policyVersion: string
  /** What the policies come from, where a record names that beside their version: the signed bundle. */
  readonly policySource?: string | undefined
  readonly trustVersion: string
}

/** The versions that a record of a verdict names. */
export type EpochVersions = Pick<Epoch, 'policyVersion' | 'policySource' | 'trustVersion'>

export function createEpoch(set: IndexedPolicySet, trust: TrustSnapshot, policySource?: string): Epoch {
  const policies = bindPolicies(set, trust)
  const [policyVersion, trustVersion] = [set.version, trust.version]
  return {
    policies,
    matching: (repositoryName) => policiesFor(policies, repositoryName),
    revoking: (repositoryName) => revocationsFor(policies, repositoryName),
    trust,
    // Short: it is part of the name of every verdict that is kept.
    key: hash('sha256', JSON.stringify([policyVersion, trustVersion, policySource]), 'base64url'),
    policyVersion,
    policySource,
    trustVersion,
  }
}

export function versionsOf({ policyVersion, policySource, trustVersion }: EpochVersions): EpochVersions {
  return { policyVersion, policySource, trustVersion }
}
