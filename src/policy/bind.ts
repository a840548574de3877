import type { HeldKey, KeySet } from '../verify/types.ts'
import type { IndexedPolicySet } from './policy-index.ts'
import type { Authority, Cause, Policy, PolicySet, Revocation, SigningWindow } from './types.ts'

type EvidenceSigner = Exclude<Authority['signer'], { kind: 'static' }>

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
  return {
    ...set,
    policies: set.policies.map((policy) => bindPolicy(policy, trust)),
    revocations: set.revocations.map((revocation) => bindRevocation(revocation, trust)),
  }
}

function bindRevocation(revocation: Revocation, trust: BindingTrust): Revocation {
  const denials = revocation.denials.map((denial) =>
    denial.kind === 'key' || denial.kind === 'builder'
      ? { ...denial, timesUnavailable: timesProblem(denial.trustRoot, trust) }
      : denial.kind === 'identity'
        ? { ...denial, unavailable: timesProblem(denial.trustRoot, trust) }
        : denial,
  )
  return { ...revocation, denials }
}

function bindPolicy(policy: Policy, trust: BindingTrust): Policy {
  return { ...policy, authorities: policy.authorities.map((authority) => bindAuthority(authority, trust)) }
}

function bindAuthority(authority: Authority, trust: BindingTrust): Authority {
  const { signer } = authority
  if (signer.kind === 'static') return authority
  const rootCause = rootProblem(signer, trust)
  if (signer.kind === 'keyless') return { ...authority, unavailable: rootCause }
  const timed = { ...authority, timesUnavailable: timesProblem(signer.trustRoot, trust) }
  const { keyReference, during } = signer
  if (keyReference === undefined) return { ...timed, unavailable: rootCause }
  const set = trust.keys.get(keyReference)
  const held = set?.kind === 'held' ? set.keys : []
  const keys = during === undefined ? held : held.map((key) => narrowed(key, during))
  // Without a key nothing can count, and then nothing else that is missing is of any account.
  const isGone = set?.kind === 'held' && keys.length === 0
  const unavailable = isGone ? undefined : (keyProblem(keyReference, set) ?? rootCause)
  return { ...timed, signer: { ...signer, keys }, unavailable }
}

/** In a window that a document gives, nothing counts by the clock alone: only what was signed in both windows. */
function narrowed(held: HeldKey, { from, until }: SigningWindow): HeldKey {
  const validFrom = later(held.validFrom, from)
  const validUntil = earlier(held.validUntil, until)
  return { ...held, validFrom, validUntil, isCurrent: false }
}

function later(a: Date | undefined, b: Date | undefined): Date | undefined {
  if (a === undefined || b === undefined) return a ?? b
  return a > b ? a : b
}

function earlier(a: Date | undefined, b: Date | undefined): Date | undefined {
  if (a === undefined || b === undefined) return a ?? b
  return a < b ? a : b
}

/** A key in its window, and what may only be so old, count by a time of their root, though no log is asked for. */
function timesProblem(trustRoot: string, { unusable }: BindingTrust): Cause | undefined {
  const message = unusable.get(trustRoot)
  // A root that nobody has configured will never tell a time: then there is nothing to wait for.
  return message === undefined ? undefined : { dependency: 'trust', message }
}

/** A key authority needs its trust root for the log, and for times: but its current keys count without. */
function rootProblem(signer: EvidenceSigner, { roots, unusable }: BindingTrust): Cause | undefined {
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
