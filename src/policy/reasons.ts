import { isSignedBy } from '../verify/public-key.ts'
import type { EvidenceFailure, FailureCode, HeldKey, Signer, Verified } from '../verify/types.ts'
import { isLoggedFor, isSigner, isTimelyFor, meets, needsOf, type Need } from './authority.ts'
import { matcherText } from './matcher.ts'
import type { Authority, Reason } from './types.ts'

/** How many of several equal things a clause names. */
const NAMED_MAX = 2
/** Hex digits of a key id that a person needs to tell two keys apart. */
const KEY_ID_DIGITS = 16

/** What tells a person most comes first: who signed instead, then what is missing, then what is broken. */
const TELLING: readonly Reason['code'][] = [
  'malformed',
  'foreign-url',
  'no-policy',
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
): readonly Reason[] {
  const unmet = needsOf(authority).flatMap((need) => reasonOf(authority, need, verified, failures) ?? [])
  const reason = mostTelling(unmet)
  return reason === undefined ? [] : [reason]
}

function reasonOf(
  authority: Authority,
  need: Need,
  verified: readonly Verified[],
  failures: readonly EvidenceFailure[],
): Reason | undefined {
  const base = { authority: authority.name, expected: expectation(authority, need) }
  const gone = goneKey(authority)
  if (gone !== undefined) return { ...base, ...gone }
  const ofKind = verified.filter((one) => meets(need, one))
  const own = ofKind.filter((one) => isSigner(authority, one.signer))
  const [foreign] = ofKind.filter((one) => !isSigner(authority, one.signer))
  if (own.length > 0) {
    const logged = own.filter((one) => isLoggedFor(authority, one))
    return logged.length === 0
      ? notLogged(authority, need, own, base)
      : untimely(authority, need, logged, base)
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

/** Who keeps the key says that there is none: nothing that anybody could sign would count. */
function goneKey({ signer }: Authority): Omit<Reason, 'authority'> | undefined {
  if (signer.kind === 'keyless' || signer.keyReference === undefined || signer.keys.length > 0)
    return undefined
  const found = `no key: ${signer.keyReference} is gone or disabled`
  return { code: 'wrong-key', found, expected: 'a key that signatures can be verified with' }
}

/** The right signer made what is needed, but it is in no log that counts. */
function notLogged(authority: Authority, need: Need, own: readonly Verified[], base: Base): Reason {
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
function untimely(
  authority: Authority,
  need: Need,
  own: readonly Verified[],
  base: Base,
): Reason | undefined {
  if (own.some((one) => isTimelyFor(authority, one))) return undefined
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
  authority: Authority,
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

function wrongSigner({ signer }: Authority): 'wrong-identity' | 'wrong-key' {
  return signer.kind === 'keyless' ? 'wrong-identity' : 'wrong-key'
}

function nounOf(need: Need): string {
  return need.kind === 'signature' ? 'a signature' : `a ${need.name} attestation`
}

function signerText(signer: Signer): string {
  if (signer.kind === 'key') return `by key ${keyText(signer.key)}`
  const { subject, issuer } = signer.identity
  return `by ${subject} (issuer ${issuer}, trust root ${signer.trustRoot})`
}

/** The right key by its id, but not as the authority has it sign. */
function foreignText({ signer: expected }: Authority, signer: Signer): string {
  const text = signerText(signer)
  if (expected.kind === 'keyless' || signer.kind === 'keyless') return text
  return expected.keys.some(({ key }) => key.id === signer.key)
    ? `${text}, with another hash algorithm or padding`
    : text
}

function expectation({ signer }: Authority, need: Need): string {
  const what = need.kind === 'signature' ? 'one' : `a ${need.name} attestation (${need.predicateType})`
  if (signer.kind === 'key') {
    const keys = listText(signer.keys.map(({ key }) => keyText(key.id)))
    return signer.keyReference === undefined
      ? `${what} by key ${keys}`
      : `${what} by key ${signer.keyReference} (${keys})`
  }
  const identities = signer.identities.map(
    ({ issuer, subject }) => `${matcherText(subject)} (issuer ${matcherText(issuer)})`,
  )
  return `${what} by ${listText(identities)} of trust root ${signer.trustRoot}`
}

function keyText(id: string): string {
  return id.slice(0, 'sha256:'.length + KEY_ID_DIGITS)
}

function listText(items: readonly string[]): string {
  const more = items.length - NAMED_MAX
  const named = items.slice(0, NAMED_MAX).join(' or ')
  return more > 0 ? `${named} or ${more} more` : named
}
