import { hash } from 'node:crypto'
import type { Glob } from './glob.ts'
import { matcherText } from './matcher.ts'
import type { Authority, Mode, Policy } from './types.ts'

/**
 * What must be proven, and nothing else. Names, globs, mode, stance and runbook are not in it: what satisfied the policy
 * goes on satisfying it whatever it is called, whatever else it is about and whatever is done with the others.
 */
export function policyVersion(authorities: readonly Authority[]): string {
  return digestOf(authorities.map((authority) => JSON.stringify(demandOf(authority))).toSorted())
}

/** Everything of the set that can change a judgement or a refusal; comments, order and file names are not in it. */
export function setVersion(
  entries: readonly { readonly policy: Policy; readonly globs: readonly Glob[] }[],
  unmatched: Mode,
): string {
  const policies = entries.map(({ policy, globs }) => ({
    name: policy.name,
    mode: policy.mode,
    stance: policy.stance,
    runbook: policy.runbook ?? null,
    images: globs.map((glob) => glob.canonical).toSorted(),
    authorities: policy.authorities.map(namedDemandOf).toSorted(),
  }))
  return digestOf({ unmatched, policies })
}

function namedDemandOf(authority: Authority): string {
  const { name, attestations } = authority
  const called = attestations.map((entry) => JSON.stringify([entry.name, entry.predicateType])).toSorted()
  return JSON.stringify([name, called, demandOf(authority)])
}

function demandOf({ signer, attestations }: Authority): object {
  const types = attestations.map(({ predicateType }) => predicateType).toSorted()
  if (signer.kind === 'keyless') {
    const identities = signer.identities.map(({ issuer, subject }) =>
      JSON.stringify([issuer.kind, matcherText(issuer), subject.kind, matcherText(subject)]),
    )
    return { trustRoot: signer.trustRoot, identities: identities.toSorted(), types }
  }
  const { keyReference, transparencyLog, trustRoot } = signer
  // A reference stands for itself: its keys change with the trust snapshot. What they satisfied is remembered by key.
  const keys =
    keyReference === undefined
      ? signer.keys.map(({ key: { id, scheme } }) =>
          JSON.stringify([id, scheme?.hash ?? null, scheme?.pss === true]),
        )
      : [keyReference]
  return { keys: keys.toSorted(), transparencyLog, trustRoot, types }
}

function digestOf(canonical: unknown): string {
  return `sha256:${hash('sha256', JSON.stringify(canonical), 'hex')}`
}
