import { isSignedBy } from '../verify/public-key.ts'
import type { EvidenceFailure, FailureCode, HeldKey, Signer, Verified } from '../verify/types.ts'
import {
  freshUntilMs,
  isGone,
  isLoggedFor,
  isOfKind,
  isSigner,
  isTimelyFor,
  needsOf,
  ownTimes,
  type Need,
  type Occasion,
} from './authority.ts'
import { durationText, keyText } from './describe.ts'
import { identityText } from './identity.ts'
import type { Authority, Reason, Shortfall } from './types.ts'

/** How many of several equal things a clause names. */
const NAMED_MAX = 2

/**
 * What tells a person most comes first: what nobody can mend, then what is nearly enough, then who signed instead, then
 * what is missing, then what is broken.
 */
const TELLING: readonly Reason['code'][] = [
  'revoked',
  'denied',
  'malformed',
  'foreign-url',
  'no-policy',
  'not-enough',
  'failed-check',
  'too-old',
  'wrong-identity',
  'wrong-key',
  'missing-attestation',
  'not-logged',
  'invalid-evidence',
  'unsigned',
]

/** The nearest miss first: evidence that fails late was nearly right. */
const NEARNESS: readonly FailureCode[] = [
  'subject',
  'log-entry',
  'timestamp',
  'certificate',
  'signature',
  'key',
  'unsupported',
  'malformed',
]

export function mostTelling(reasons: readonly Reason[]): Reason | undefined {
  return reasons.toSorted((a, b) => TELLING.indexOf(a.code) - TELLING.indexOf(b.code))[0]
}

/** Why an authority that is not satisfied is not: the most telling of what its unmet needs say. Empty if it is. */
export function reasonsOf(
  authority: Authority,
  verified: readonly Verified[],
  failures: readonly EvidenceFailure[],
  occasion: Occasion,
): readonly Reason[] {
  const { name, signer } = authority
  if (signer.kind === 'static') return signer.action === 'pass' ? [] : [denied(name, signer.message)]
  if (isGone(authority)) return [goneKey(name, signer)]
  const found = { verified, failures, occasion }
  const unmet = needsOf(authority).flatMap((need) => reasonOf({ ...authority, signer }, need, found) ?? [])
  const reason = mostTelling(unmet)
  return reason === undefined ? [] : [reason]
}

function denied(authority: string, message: string): Reason {
  const found = `an image that this policy denies: ${message}`
  return { code: 'denied', authority, found, expected: 'another image' }
}

/** Who keeps the key says that there is none: nothing that anybody could sign would count. */
function goneKey(authority: string, signer: EvidenceSigner): Reason {
  const reference = signer.kind === 'key' ? (signer.keyReference ?? '') : ''
  const found = `no key: ${reference} is gone or disabled`
  return { code: 'wrong-key', authority, found, expected: 'a key that signatures can be verified with' }
}

type EvidenceSigner = Exclude<Authority['signer'], { kind: 'static' }>
/** An authority that looks at evidence. */
type Asking = Authority & { readonly signer: EvidenceSigner }

type Found = {
  readonly verified: readonly Verified[]
  readonly failures: readonly EvidenceFailure[]
  readonly occasion: Occasion
}

function reasonOf(authority: Asking, need: Need, found: Found): Reason | undefined {
  const { verified, failures, occasion } = found
  const base = { authority: authority.name, expected: expectation(authority, need) }
  const ofKind = verified.filter((one) => isOfKind(need, one))
  const own = ofKind.filter((one) => isSigner(authority, one.signer))
  const [foreign] = ofKind.filter((one) => !isSigner(authority, one.signer))
  if (own.length > 0) {
    const logged = own.filter((one) => isLoggedFor(authority, one))
    if (logged.length === 0) return notLogged(authority, need, own, base)
    const timely = logged.filter((one) => isTimelyFor(authority, one))
    if (timely.length === 0) return untimely(authority, need, logged, base)
    return lacking(authority, need, timely, occasion)
  }
  if (foreign !== undefined) {
    return {
      ...base,
      code: wrongSigner(authority),
      found: `${nounOf(need)} ${foreignText(authority, foreign.signer)}`,
    }
  }
  if (verified.length > 0) return otherClaims(need, verified, failures, base)
  return nothingVerified(authority, need, failures, base)
}

type Base = Pick<Reason, 'authority' | 'expected'>

/** The right signer made what is needed; then only what it says, or its age, can fall short. */
function lacking(
  authority: Asking,
  need: Need,
  timely: readonly Verified[],
  { image, now }: Occasion,
): Reason | undefined {
  const shown = timely.map((one) => {
    const shortfalls = need.checks.flatMap((demanded) => demanded.check(one, image) ?? [])
    return { one, shortfalls }
  })
  const whole = shown.filter(({ shortfalls }) => shortfalls.length === 0).map(({ one }) => one)
  if (whole.length === 0) return failedCheck(authority.name, shown)
  const untilMs = Math.max(...whole.map((one) => freshUntilMs(authority, need, one)))
  return untilMs > now.getTime() ? undefined : tooOld(authority, need, whole)
}

/** Of several that fall short, the one that lacks least. */
function failedCheck(
  authority: string,
  shown: readonly { readonly shortfalls: readonly Shortfall[] }[],
): Reason | undefined {
  const [nearest] = shown.toSorted((a, b) => a.shortfalls.length - b.shortfalls.length)
  const shortfall = nearest?.shortfalls[0]
  if (shortfall === undefined) return undefined
  const { found, expected } = shortfall
  return { code: 'failed-check', authority, found: `${found}, by the right signer`, expected }
}

function tooOld(authority: Asking, need: Need, whole: readonly Verified[]): Reason {
  const madeMs = whole.map(({ times }) =>
    Math.min(...ownTimes(authority, times).map((time) => time.getTime())),
  )
  const latestMs = Math.max(...madeMs.filter(Number.isFinite))
  const when = Number.isFinite(latestMs)
    ? `made at ${new Date(latestMs).toISOString()}`
    : `made at a time that trust root ${authority.signer.trustRoot} does not vouch for`
  return {
    code: 'too-old',
    authority: authority.name,
    found: `${nounOf(need)} by the right signer, ${when}`,
    expected: `one that is at most ${durationText(need.maxAgeMs ?? 0)} old`,
  }
}

/** The right signer made what is needed, but it is in no log that counts. */
function notLogged(authority: Asking, need: Need, own: readonly Verified[], base: Base): Reason {
  const roots = [...new Set(own.flatMap(({ logs }) => logs.map(({ trustRoot }) => trustRoot)))]
  const entry = roots.length === 0 ? 'without a log entry' : `in a log of trust root ${listText(roots)} only`
  return {
    ...base,
    code: 'not-logged',
    found: `${nounOf(need)} by the right key ${entry}`,
    expected: `a log entry of trust root ${authority.signer.trustRoot}`,
  }
}

/** The right key made what is needed; then only its window can be missed. */
function untimely(authority: Asking, need: Need, own: readonly Verified[], base: Base): Reason | undefined {
  const [nearest] = own.toSorted((a, b) => b.times.length - a.times.length)
  const signer = nearest?.signer
  if (signer === undefined || signer.kind !== 'key' || authority.signer.kind !== 'key') return undefined
  const time = nearest?.times[0]?.time.toISOString()
  const made = time === undefined ? 'at a time that nobody vouches for' : `at ${time}`
  const windows = authority.signer.keys.filter(({ key }) => isSignedBy(signer, key)).map(windowText)
  return {
    ...base,
    code: 'wrong-key',
    found: `${nounOf(need)} by key ${keyText(signer.key)}, made ${made}`,
    expected: `one made while that key counts: ${listText(windows)}`,
  }
}

function windowText({ validFrom, validUntil }: HeldKey): string {
  const from = validFrom === undefined ? '' : `from ${validFrom.toISOString()} `
  return validUntil === undefined ? `${from}on` : `${from}until ${validUntil.toISOString()}`
}

/** Something verifies, by whomever, but none of it is of the kind asked for. */
function otherClaims(
  need: Need,
  verified: readonly Verified[],
  failures: readonly EvidenceFailure[],
  base: Base,
): Reason {
  const types = verified.flatMap(({ claim }) =>
    claim.kind === 'attestation' ? [claim.statement.predicateType] : [],
  )
  const attestations = types.length === 0 ? '' : `attestations of type ${listText([...new Set(types)])}`
  const nearest = nearestOf(failures)
  const broken = nearest === undefined ? '' : `, and evidence that does not verify (${nearest.message})`
  if (need.kind === 'signature') return { ...base, code: 'unsigned', found: `only ${attestations}${broken}` }
  const found = attestations === '' ? 'a signature but no attestation' : `only ${attestations}`
  return { ...base, code: 'missing-attestation', found: `${found}${broken}` }
}

function nothingVerified(
  authority: Asking,
  need: Need,
  failures: readonly EvidenceFailure[],
  base: Base,
): Reason {
  const strangerKey = failures.some(({ code }) => code === 'key')
  const others = failures.filter(({ code }) => code !== 'key')
  // To a key authority an unknown key says more than a broken keyless bundle does, and the other way round.
  if (strangerKey && (authority.signer.kind === 'key' || others.length === 0)) {
    return { ...base, code: wrongSigner(authority), found: 'a signature with a key that no policy names' }
  }
  const nearest = nearestOf(others)
  if (nearest !== undefined) {
    const found = `evidence that does not verify: ${nearest.message}`
    return { ...base, code: 'invalid-evidence', found, evidence: nearest.code }
  }
  const what = need.kind === 'signature' ? 'no signature at all' : 'no signature or attestation at all'
  return { ...base, code: 'unsigned', found: what }
}

function nearestOf(failures: readonly EvidenceFailure[]): EvidenceFailure | undefined {
  return failures.toSorted((a, b) => NEARNESS.indexOf(a.code) - NEARNESS.indexOf(b.code))[0]
}

function wrongSigner({ signer }: Asking): 'wrong-identity' | 'wrong-key' {
  return signer.kind === 'keyless' ? 'wrong-identity' : 'wrong-key'
}

function nounOf(need: Need): string {
  return need.kind === 'signature' ? 'a signature' : articled(`${need.name} attestation`)
}

function signerText(signer: Signer): string {
  if (signer.kind === 'key') return `by key ${keyText(signer.key)}`
  const { subject, issuer } = signer.identity
  return `by ${subject} (issuer ${issuer}, trust root ${signer.trustRoot})`
}

/** The right key by its id, but not as the authority has it sign. */
function foreignText({ signer: expected }: Asking, signer: Signer): string {
  const text = signerText(signer)
  if (expected.kind === 'keyless' || signer.kind === 'keyless') return text
  return expected.keys.some(({ key }) => key.id === signer.key)
    ? `${text}, with another hash algorithm or padding`
    : text
}

function expectation({ signer }: Asking, need: Need): string {
  const what =
    need.kind === 'signature' ? 'one' : `${articled(`${need.name} attestation`)} (${need.predicateType})`
  if (signer.kind === 'key') {
    const keys = listText(signer.keys.map(({ key }) => keyText(key.id)))
    return signer.keyReference === undefined
      ? `${what} by key ${keys}`
      : `${what} by key ${signer.keyReference} (${keys})`
  }
  return `${what} by ${listText(signer.identities.map(identityText))} of trust root ${signer.trustRoot}`
}

/** The first of them, and how many more there are. */
export function listText(items: readonly string[], word: 'and' | 'or' = 'or'): string {
  const more = items.length - NAMED_MAX
  const named = items.slice(0, NAMED_MAX).join(` ${word} `)
  return more > 0 ? `${named} ${word} ${more} more` : named
}

/** By its first letter: names are words of the operator's own. */
function articled(noun: string): string {
  return `${/^[aeiou]/.test(noun) ? 'an' : 'a'} ${noun}`
}
