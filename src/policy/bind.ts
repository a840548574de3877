import type { KeySet } from '../verify/types.ts'
import type { IndexedPolicySet } from './policy-index.ts'
import type { Authority, Cause, Policy, PolicySet } from './types.ts'

/** What policies are bound to: the parts of a trust snapshot that they refer to by name. */
export type BindingTrust = {
  /** Trust roots that can be used. */
  readonly roots: ReadonlyMap<string, unknown>
  readonly keys: ReadonlyMap<string, KeySet>
  /** Trust roots that cannot be used now, and why. */
  readonly unusable: ReadonlyMap<string, string>
}

/** Every key reference of the set, each once: what the trust snapshot is asked to hold. */
export function keyReferencesOf({ policies }: Pick<PolicySet, 'policies'>): readonly string[] {
  const references = policies.flatMap(({ authorities }) =>
    authorities.flatMap(({ signer }) => (signer.kind === 'key' ? (signer.keyReference ?? []) : [])),
  )
  return [...new Set(references)].toSorted()
}

/**
 * The same policies with the keys that they refer to, and with every authority marked that cannot be judged for want of
 * its key or trust root. Such an authority stays where it is: a policy never becomes laxer, and never disappears.
 */
export function bindPolicies(set: IndexedPolicySet, trust: BindingTrust): IndexedPolicySet {
  const bound = new Map(set.policies.map((policy) => [policy, bindPolicy(policy, trust)]))
  const byPrefix = [...set.byPrefix].map(
    ([prefix, policies]) => [prefix, policies.map((policy) => bound.get(policy) ?? policy)] as const,
  )
  return { ...set, policies: [...bound.values()], byPrefix: new Map(byPrefix) }
}

function bindPolicy(policy: Policy, trust: BindingTrust): Policy {
  return { ...policy, authorities: policy.authorities.map((authority) => bindAuthority(authority, trust)) }
}

function bindAuthority(authority: Authority, trust: BindingTrust): Authority {
  const { signer } = authority
  const rootCause = rootProblem(authority, trust)
  if (signer.kind === 'keyless' || signer.keyReference === undefined)
    return { ...authority, unavailable: rootCause }
  const set = trust.keys.get(signer.keyReference)
  const keys = set?.kind === 'held' ? set.keys : []
  // Without a key nothing can count, and then nothing else that is missing is of any account.
  const isGone = set?.kind === 'held' && keys.length === 0
  const unavailable = isGone ? undefined : (keyProblem(signer.keyReference, set) ?? rootCause)
  return {
    ...authority,
    signer: { ...signer, keys },
    unavailable,
    timesUnavailable: timesProblem(signer.trustRoot, trust),
  }
}

/** A key whose window is over counts by a time of its root, though the authority asks for no log. */
function timesProblem(trustRoot: string, { unusable }: BindingTrust): Cause | undefined {
  const message = unusable.get(trustRoot)
  // A root that nobody has configured will never tell a time: then there is nothing to wait for.
  return message === undefined ? undefined : { dependency: 'trust', message }
}

/** A key authority needs its trust root for the log, and for times: but its current keys count without. */
function rootProblem({ signer }: Authority, { roots, unusable }: BindingTrust): Cause | undefined {
  if (signer.kind === 'key' && signer.transparencyLog === 'optional') return undefined
  if (roots.has(signer.trustRoot)) return undefined
  const message = unusable.get(signer.trustRoot) ?? `the trust root ${signer.trustRoot} is not loaded`
  return { dependency: 'trust', message }
}

/** A set without keys is an answer: there is none (any more). One that could not be had is none. */
function keyProblem(reference: string, set: KeySet | undefined): Cause | undefined {
  if (set?.kind === 'held') return undefined
  if (set !== undefined) return { dependency: set.dependency, message: set.message }
  const dependency = reference.startsWith('awskms://') ? 'kms' : 'trust'
  return { dependency, message: `the key ${reference} has never been obtained` }
}
