import { isSignedBy, keyName } from '../verify/public-key.ts'
import type { HeldKey, Signer, Verified } from '../verify/types.ts'
import { matchesIdentity } from './identity.ts'
import type { AttestationDemand, Authority, Cause, ClaimCheck, ImageFacts, Verdict } from './types.ts'

/** One thing that an authority must have vouched for. */
export type Need =
  | {
      readonly kind: 'signature'
      readonly checks: readonly ClaimCheck[]
      readonly maxAgeMs: number | undefined
    }
  | ({ readonly kind: 'attestation' } & AttestationDemand)

/** What evidence is held against, beside what the policy demands: of which image it is, and when. */
export type Occasion = { readonly image: ImageFacts; readonly now: Date }

/** Evidence that is an authority's own, and until when it meets each of its needs: `NOT_MET` where it does not. */
export type Counted = { readonly verified: Verified; readonly untilMs: readonly number[] }

export const NOT_MET = -Infinity
/** Met for good, as long as the policy is what it is. */
export const FOR_EVER = Infinity

type Satisfied = Extract<Verdict, { kind: 'satisfied' }>['by'][number]

/** Empty for kind static only: an authority that asks for no attestation asks for a signature. */
export function needsOf({ signer, attestations, checks, maxAgeMs }: Authority): readonly Need[] {
  if (signer.kind === 'static') return []
  if (attestations.length === 0) return [{ kind: 'signature', checks, maxAgeMs }]
  return attestations.map((attestation) => ({ kind: 'attestation', ...attestation }))
}

/** Whether it is the kind of thing that is needed, whatever it says. */
export function isOfKind(need: Need, { claim }: Pick<Verified, 'claim'>): boolean {
  if (need.kind === 'signature') return claim.kind === 'signature'
  return claim.kind === 'attestation' && claim.statement.predicateType === need.predicateType
}

/** Whether `signer` is who the authority names: root and identity together, or one of its keys. */
export function isSigner({ signer: expected }: Authority, signer: Signer): boolean {
  if (expected.kind === 'static') return false
  if (expected.kind === 'key') return expected.keys.some(({ key }) => isSignedBy(signer, key))
  if (signer.kind !== 'keyless' || signer.trustRoot !== expected.trustRoot) return false
  return expected.identities.some((identity) => matchesIdentity(identity, signer.identity))
}

/** Whether certificates need a log entry of their root is checked with them; for keys the authority decides. */
export function isLoggedFor({ signer }: Authority, { logs }: Verified): boolean {
  if (signer.kind !== 'key' || signer.transparencyLog === 'optional') return true
  return logs.some(({ trustRoot }) => trustRoot === signer.trustRoot)
}

/** What a key signs counts within its window only: now, or at a time that somebody else vouches for. */
export function isTimelyFor(authority: Authority, { signer: by, times }: Verified): boolean {
  const { signer } = authority
  if (signer.kind !== 'key' || by.kind === 'keyless') return true
  const own = ownTimes(authority, times)
  return signer.keys.some((held) => isSignedBy(by, held.key) && countsAt(held, own))
}

/** A time of another root is somebody else's word: who may sign for that one could date a stolen key back. */
export function ownTimes({ signer }: Authority, times: Verified['times']): readonly Date[] {
  if (signer.kind === 'static') return []
  return times.filter(({ trustRoot }) => trustRoot === signer.trustRoot).map(({ time }) => time)
}

function countsAt({ isCurrent, validFrom, validUntil }: HeldKey, times: readonly Date[]): boolean {
  const isInside = (time: Date): boolean =>
    (validFrom === undefined || validFrom <= time) && (validUntil === undefined || time < validUntil)
  return isCurrent || times.some(isInside)
}

/** All that counts for the authority, whether or not it meets a need. Nothing where nobody can say now. */
export function countedBy(
  authority: Authority,
  verified: readonly Verified[],
  occasion: Occasion,
): readonly Counted[] {
  if (authority.unavailable !== undefined) return []
  const needs = needsOf(authority)
  return verified
    .filter(
      (one) => isSigner(authority, one.signer) && isLoggedFor(authority, one) && isTimelyFor(authority, one),
    )
    .map((one) => ({
      verified: one,
      untilMs: needs.map((need) => needUntilMs(authority, need, one, occasion)),
    }))
}

function needUntilMs(authority: Authority, need: Need, one: Verified, { image, now }: Occasion): number {
  if (!isOfKind(need, one)) return NOT_MET
  const untilMs = freshUntilMs(authority, need, one)
  return untilMs > now.getTime() && passesChecks(need, one, image) ? untilMs : NOT_MET
}

export function passesChecks({ checks }: Need, one: Verified, image: ImageFacts): boolean {
  return checks.every((demanded) => demanded.check(one, image) === undefined)
}

/**
 * When it becomes too old. Its age counts from the earliest time: what was signed long ago is not made young by being
 * logged once more. Without any time nobody can say that it is young enough.
 */
export function freshUntilMs(authority: Authority, { maxAgeMs }: Need, { times }: Verified): number {
  if (maxAgeMs === undefined) return FOR_EVER
  const own = ownTimes(authority, times).map((time) => time.getTime())
  return own.length === 0 ? NOT_MET : Math.min(...own) + maxAgeMs
}

/** Until when what counts meets every need of the authority; `NOT_MET` where a single one is not met. */
export function satisfiedUntilMs({ signer }: Authority, counted: readonly Counted[]): number {
  if (signer.kind === 'static') return signer.action === 'pass' ? FOR_EVER : NOT_MET
  const [first] = counted
  if (first === undefined) return NOT_MET
  return Math.min(
    ...first.untilMs.map((_, need) => Math.max(...counted.map(({ untilMs }) => untilMs[need] ?? NOT_MET))),
  )
}

/**
 * The signers of whom each alone satisfies the authority, and until when. A key is one, whatever its scheme; so is an
 * identity, whichever trust root certifies it.
 */
export function signersOf(authority: Authority, counted: readonly Counted[]): ReadonlyMap<string, number> {
  const bySigner = Map.groupBy(counted, ({ verified }) => signerName(verified.signer))
  const alone = [...bySigner].map(([signer, own]) => [signer, satisfiedUntilMs(authority, own)] as const)
  return new Map(alone.filter(([, untilMs]) => untilMs > NOT_MET))
}

/** What satisfies the authority, by signer; empty where a single need is not met, or where nobody can say now. */
export function satisfiedBy(
  authority: Authority,
  verified: readonly Verified[],
  occasion: Occasion,
): readonly Satisfied[] {
  return satisfiersOf(authority, countedBy(authority, verified, occasion))
}

export function satisfiersOf(authority: Authority, counted: readonly Counted[]): readonly Satisfied[] {
  if (satisfiedUntilMs(authority, counted) === NOT_MET) return []
  if (authority.signer.kind === 'static')
    return [{ authority: authority.name, signer: undefined, verified: [] }]
  const used = counted.filter(({ untilMs }) => untilMs.some((ms) => ms > NOT_MET))
  const bySigner = Map.groupBy(used, ({ verified }) => recordName(verified.signer))
  return [...bySigner.values()].flatMap((group) =>
    group.slice(0, 1).map(({ verified: { signer } }) => {
      return { authority: authority.name, signer, verified: group.map(({ verified }) => verified) }
    }),
  )
}

/** Why nobody can say when it was signed that would satisfy at some time; undefined where no time would. */
export function untimedCause(
  authority: Authority,
  verified: readonly Verified[],
  occasion: Occasion,
): Cause | undefined {
  const { signer, timesUnavailable } = authority
  if (signer.kind !== 'key' || timesUnavailable === undefined) return undefined
  const timeless: Authority = {
    ...authority,
    signer: { ...signer, keys: signer.keys.map((held) => ({ ...held, isCurrent: true })) },
    attestations: authority.attestations.map((demand) => ({ ...demand, maxAgeMs: undefined })),
    maxAgeMs: undefined,
  }
  return satisfiedBy(timeless, verified, occasion).length > 0 ? timesUnavailable : undefined
}

/** Who keeps the key says that there is none: nothing that anybody could sign would count. */
export function isGone({ signer, unavailable }: Authority): boolean {
  if (signer.kind !== 'key' || unavailable !== undefined) return false
  return signer.keyReference !== undefined && signer.keys.length === 0
}

function signerName(signer: Signer): string {
  return signer.kind === 'key'
    ? signer.key
    : JSON.stringify([signer.identity.issuer, signer.identity.subject])
}

/** Tells apart what is recorded as different: the same under another scheme, or by another trust root. */
function recordName(signer: Signer): string {
  return signer.kind === 'key'
    ? keyName({ ...signer, id: signer.key })
    : JSON.stringify([signer.trustRoot, signerName(signer)])
}
