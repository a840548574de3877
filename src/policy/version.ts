import { hash } from 'node:crypto'
import type { HeldKey } from '../verify/types.ts'
import type { Glob } from './glob.ts'
import { identityCanonical } from './identity.ts'
import { requirementCanonical } from './requirement.ts'
import type { Authority, ClaimCheck, Mode, Policy, Requirement, RingModes, SigningWindow } from './types.ts'

/**
 * What must be proven, and nothing else. Names, globs, modes, stance, budget and runbook are not in it: what satisfied the policy
 * goes on satisfying it whatever it is called, whatever else it is about and whatever is done with the others.
 */
export function policyVersion(authorities: readonly Authority[], requirement: Requirement): string {
  const demands = new Map(
    authorities.map((authority) => [authority.name, JSON.stringify(demandOf(authority))]),
  )
  return digestOf(requirementCanonical(requirement, (name) => demands.get(name) ?? ''))
}

/**
 * Everything of the set that can change a judgement or a refusal; comments, order and file names are not in it.
 * `revocations` is the canonical form of those that belong to the set.
 */
export function setVersion(
  entries: readonly { readonly policy: Policy; readonly globs: readonly Glob[] }[],
  unmatched: Mode,
  revocations: string,
): string {
  const policies = entries.map(({ policy, globs }) => ({
    name: policy.name,
    modes: modesCanonical(policy.modes),
    rollout: policy.rollout ?? null,
    stance: policy.stance,
    // A set without budgets has the version that it always had.
    ...(policy.verifyBudgetMs === undefined ? {} : { verifyBudgetMs: policy.verifyBudgetMs }),
    runbook: policy.runbook ?? null,
    images: globs.map((glob) => glob.canonical).toSorted(),
    authorities: policy.authorities.map(namedDemandOf).toSorted(),
    require: requirementCanonical(policy.requirement, (name) => name),
  }))
  return digestOf({ unmatched, policies, revocations })
}

export function modesCanonical({ fallback, byRing }: RingModes): readonly unknown[] {
  return [fallback, [...byRing].toSorted(([a], [b]) => (a < b ? -1 : 1))]
}

function namedDemandOf(authority: Authority): string {
  const { name, signer, attestations } = authority
  const called = attestations.map((entry) => JSON.stringify([entry.name, entry.predicateType])).toSorted()
  const message = signer.kind === 'static' ? signer.message : null
  const checks = [...authority.checks, ...attestations.flatMap((entry) => entry.checks)]
  const wordings = checks.flatMap(({ canonical, wording }) =>
    wording === undefined ? [] : [JSON.stringify([canonical, wording])],
  )
  return JSON.stringify([name, called, message, wordings.toSorted(), demandOf(authority)])
}

function demandOf(authority: Authority): object {
  const { signer, attestations, checks, maxAgeMs } = authority
  if (signer.kind === 'static') return { static: signer.action }
  const asked = {
    attestations: attestations
      .map((demand) => JSON.stringify([demand.predicateType, ...claimParts(demand.checks, demand.maxAgeMs)]))
      .toSorted(),
    signature: claimParts(checks, maxAgeMs),
  }
  if (signer.kind === 'keyless') {
    const { trustRoot, identities } = signer
    return { trustRoot, identities: identities.map(identityCanonical).toSorted(), ...asked }
  }
  const { keyReference, during, transparencyLog, trustRoot } = signer
  // A reference stands for itself: its keys change with the trust snapshot. What they satisfied is remembered by key.
  const keys =
    keyReference === undefined
      ? signer.keys.map(keyCanonical)
      : [JSON.stringify([keyReference, windowParts(during)])]
  return { keys: keys.toSorted(), transparencyLog, trustRoot, ...asked }
}

function claimParts(checks: readonly ClaimCheck[], maxAgeMs: number | undefined): readonly unknown[] {
  return [checks.map(({ canonical }) => canonical).toSorted(), maxAgeMs ?? null]
}

function keyCanonical({ key: { id, scheme }, validFrom, validUntil }: HeldKey): string {
  const window = windowParts({ from: validFrom, until: validUntil })
  return JSON.stringify([id, scheme?.hash ?? null, scheme?.pss === true, window])
}

function windowParts(during: SigningWindow | undefined): readonly unknown[] {
  return [during?.from ?? null, during?.until ?? null]
}

function digestOf(canonical: unknown): string {
  return `sha256:${hash('sha256', JSON.stringify(canonical), 'hex')}`
}
