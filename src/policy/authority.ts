import { isSignedBy, keyName } from '../verify/public-key.ts'
import type { HeldKey, Signer, Verified } from '../verify/types.ts'
import { matchesString } from './matcher.ts'
import type { Authority, Cause, Verdict } from './types.ts'

/** One thing that an authority must have vouched for. */
export type Need =
  | { readonly kind: 'signature' }
  | { readonly kind: 'attestation'; readonly name: string; readonly predicateType: string }

type Satisfied = Extract<Verdict, { kind: 'satisfied' }>['by'][number]

/** Never empty: an authority that asks for no attestation asks for a signature. */
export function needsOf(authority: Authority): readonly Need[] {
  if (authority.attestations.length === 0) return [{ kind: 'signature' }]
  return authority.attestations.map((attestation) => ({ kind: 'attestation', ...attestation }))
}

export function meets(need: Need, { claim }: Verified): boolean {
  if (need.kind === 'signature') return claim.kind === 'signature'
  return claim.kind === 'attestation' && claim.statement.predicateType === need.predicateType
}

/** Whether `signer` is who the authority names: root, issuer and subject together, or one of its keys. */
export function isSigner(authority: Authority, signer: Signer): boolean {
  const expected = authority.signer
  if (expected.kind === 'key') return expected.keys.some(({ key }) => isSignedBy(signer, key))
  if (signer.kind !== 'keyless' || signer.trustRoot !== expected.trustRoot) return false
  return expected.identities.some(
    ({ issuer, subject }) =>
      matchesString(issuer, signer.identity.issuer) && matchesString(subject, signer.identity.subject),
  )
}

/** Keyless evidence is only ever verified with a log entry of its own root; for keys the authority decides. */
export function isLoggedFor({ signer }: Authority, { logs }: Verified): boolean {
  if (signer.kind === 'keyless' || signer.transparencyLog === 'optional') return true
  return logs.some(({ trustRoot }) => trustRoot === signer.trustRoot)
}

/** What a key signs counts within its window only: now, or at a time that somebody else vouches for. */
export function isTimelyFor({ signer }: Authority, { signer: by, times }: Verified): boolean {
  if (signer.kind === 'keyless' || by.kind === 'keyless') return true
  // A time of another root is somebody else's word: who may sign for that one could date a stolen key back.
  const own = times.filter(({ trustRoot }) => trustRoot === signer.trustRoot)
  return signer.keys.some((held) => isSignedBy(by, held.key) && countsAt(held, own))
}

function countsAt({ isCurrent, validFrom, validUntil }: HeldKey, times: Verified['times']): boolean {
  const isInside = (time: Date): boolean =>
    (validFrom === undefined || validFrom <= time) && (validUntil === undefined || time < validUntil)
  return isCurrent || times.some(({ time }) => isInside(time))
}

/** What satisfies the authority, by signer; empty where a single need is not met, or where nobody can say now. */
export function satisfiedBy(authority: Authority, verified: readonly Verified[]): readonly Satisfied[] {
  if (authority.unavailable !== undefined) return []
  const own = verified.filter(
    (one) => isSigner(authority, one.signer) && isLoggedFor(authority, one) && isTimelyFor(authority, one),
  )
  const needs = needsOf(authority)
  if (!needs.every((need) => own.some((one) => meets(need, one)))) return []
  const used = own.filter((one) => needs.some((need) => meets(need, one)))
  const bySigner = Map.groupBy(used, ({ signer }) => signerKey(signer))
  return [...bySigner.values()].flatMap((group) =>
    group.slice(0, 1).map(({ signer }) => ({ authority: authority.name, signer, verified: group })),
  )
}

/** Why nobody can say when a key signed that does not count at any time; undefined where no time would satisfy. */
export function untimedCause(authority: Authority, verified: readonly Verified[]): Cause | undefined {
  const { signer, timesUnavailable } = authority
  if (signer.kind === 'keyless' || timesUnavailable === undefined) return undefined
  const keys = signer.keys.map((held) => ({ ...held, isCurrent: true }))
  return satisfiedBy({ ...authority, signer: { ...signer, keys } }, verified).length > 0
    ? timesUnavailable
    : undefined
}

function signerKey(signer: Signer): string {
  if (signer.kind === 'key') return keyName({ ...signer, id: signer.key })
  return JSON.stringify([signer.trustRoot, signer.identity.issuer, signer.identity.subject])
}
