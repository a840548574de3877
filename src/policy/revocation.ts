import type { Claim, EvidenceFailure, Signer, Verified } from '../verify/types.ts'
import { identityText, matchesIdentity } from './identity.ts'
import { matcherText, matchesString } from './matcher.ts'
import { PROVENANCE_TYPES, readProvenance } from './provenance.ts'
import type { Cause, Denial, ImageFacts, PolicyResult, Reason, Revocation, Verdict } from './types.ts'

/** What is known of an image when it is held against the revocations. */
type Known = {
  readonly image: ImageFacts
  readonly verified: readonly Verified[]
  /** Evidence that proves nothing now. */
  readonly failures?: readonly EvidenceFailure[]
}

/** A denial that is about evidence, and not about an image. */
export type EvidenceDenial = Exclude<Denial, { kind: 'digest' }>

type Hit = { readonly reason: Reason } | { readonly cause: Cause }

/** Whoever makes the evidence chooses most of these: they must not push the reason out of a refusal. */
const WHO_CHARACTERS_MAX = 120
const UNREAD = '(too large to be read)'

/**
 * A result for every revocation that hits, and none for the others: so a revocation never satisfies anything, and no
 * other evidence outweighs it. Undetermined only where a window is all that could spare the image and nobody can say
 * now when it was signed.
 */
export function revokedBy(revocations: readonly Revocation[], known: Known): readonly PolicyResult[] {
  return revocations.flatMap((revocation) => {
    const verdict = revocation.mode === 'off' ? undefined : verdictOf(revocation, known)
    return verdict === undefined ? [] : [resultOf(revocation, verdict)]
  })
}

/**
 * Undetermined for every revocation that names digests: it may hit an image whose SHA-256 digest nobody knows yet, and no
 * stance lets that pass.
 */
export function maybeRevokedBy(revocations: readonly Revocation[], cause: Cause): readonly PolicyResult[] {
  return revocations
    .filter(namesDigests)
    .map((revocation) => resultOf(revocation, { kind: 'undetermined', causes: [cause] }))
}

function resultOf({ name, version, mode, modes, runbook }: Revocation, verdict: Verdict): PolicyResult {
  return { policy: name, version, mode, modes, stance: 'closed', runbook, verdict }
}

/** Whether the SHA-256 digest of an image must be known to know whether it hits. */
export function namesDigests({ mode, denials }: Revocation): boolean {
  return mode !== 'off' && denials.some(({ kind }) => kind === 'digest')
}

/** Whether evidence must be looked at to know whether it hits. */
export function asksForEvidence({ mode, denials }: Revocation): boolean {
  return mode !== 'off' && denials.some(({ kind }) => kind !== 'digest')
}

/** Denials that can only hit evidence that was verified: with these roots, with these keys. */
export function evidenceDenials(revocations: readonly Revocation[]): readonly EvidenceDenial[] {
  return revocations
    .filter(({ mode }) => mode !== 'off')
    .flatMap(({ denials }) => denials)
    .filter((denial) => denial.kind !== 'digest')
}

/** Asked of every image about every revocation, and nearly always for nothing. */
function verdictOf({ denials, reason }: Revocation, known: Known): Verdict | undefined {
  const hits: Hit[] = []
  for (const denial of denials) {
    const hit = hitOf(denial, reason, known)
    if (hit !== undefined) hits.push(hit)
  }
  if (hits.length === 0) return undefined
  const reasons = hits.flatMap((hit) => ('reason' in hit ? [hit.reason] : []))
  if (reasons.length > 0) return { kind: 'violated', reasons }
  return { kind: 'undetermined', causes: hits.flatMap((hit) => ('cause' in hit ? [hit.cause] : [])) }
}

function hitOf(denial: Denial, why: string, { image, verified, failures = [] }: Known): Hit | undefined {
  if (denial.kind === 'digest') {
    if (denial.digest !== image.digest) return undefined
    return revoked(`digest ${image.digest}, which is revoked: ${why}`, 'another image')
  }
  const inside = verified.find((one) => isDenied(denial, one) && isInside(denial, one))
  if (inside === undefined) {
    // What cannot be verified while its root cannot be used may be by whom is revoked.
    if (denial.kind !== 'identity' || denial.unavailable === undefined) return undefined
    return failures.length === 0 ? undefined : { cause: denial.unavailable }
  }
  if (denial.kind !== 'identity' && denial.timesUnavailable !== undefined && isBounded(denial)) {
    return { cause: denial.timesUnavailable }
  }
  return revoked(`${evidenceText(denial, inside)}, which is revoked: ${why}`, expectation(denial))
}

function revoked(found: string, expected: string): Hit {
  return { reason: { code: 'revoked', authority: undefined, found, expected } }
}

function isDenied(denial: EvidenceDenial, { signer, claim }: Verified): boolean {
  switch (denial.kind) {
    case 'identity':
      return (
        signer.kind === 'keyless' &&
        signer.trustRoot === denial.trustRoot &&
        matchesIdentity(denial.identity, signer.identity)
      )
    // Under whatever scheme: it is the key that cannot be trusted.
    case 'key':
      return signer.kind === 'key' && signer.key === denial.id
    case 'builder': {
      const builder = builderOf(claim)
      return builder === UNREAD || (builder !== undefined && matchesString(denial.builder, builder))
    }
  }
}

function isBounded({ during: { from, until } }: EvidenceDenial): boolean {
  return from !== undefined || until !== undefined
}

/**
 * A time proves that the signature was there by then, so the earliest counts: one that is had for it afterwards moves it
 * out of no window. Times of other roots are the word of somebody else.
 */
function isInside(denial: EvidenceDenial, verified: Verified): boolean {
  const time = earliestTime(denial, verified)
  const { from, until } = denial.during
  if (time === undefined) return true
  return (from === undefined || from <= time) && (until === undefined || time < until)
}

function earliestTime({ trustRoot }: EvidenceDenial, { times }: Verified): Date | undefined {
  const own = times.filter((one) => one.trustRoot === trustRoot).map(({ time }) => time)
  return own.toSorted((a, b) => a.getTime() - b.getTime())[0]
}

/** `a signature by …, signed at …`. */
function evidenceText(denial: EvidenceDenial, verified: Verified): string {
  const { claim, signer } = verified
  const noun = claim.kind === 'signature' ? 'a signature' : 'an attestation'
  const time = earliestTime(denial, verified)?.toISOString()
  const made = time === undefined ? 'with no verified time' : `signed at ${time}`
  if (denial.kind !== 'builder') return `${noun} by ${shortened(signerText(signer))}, ${made}`
  return `provenance of builder ${shortened(builderOf(claim) ?? '')}, ${made}`
}

function signerText(signer: Signer): string {
  return signer.kind === 'key' ? `key ${signer.key}` : signer.identity.subject
}

function expectation(denial: EvidenceDenial): string {
  const outside = isBounded(denial) ? `, or signed ${outsideText(denial)}` : ''
  switch (denial.kind) {
    case 'identity':
      return `nothing by ${shortened(identityText(denial.identity))}${outside}`
    case 'key':
      return `nothing by that key${outside}`
    case 'builder':
      return `nothing built by ${shortened(matcherText(denial.builder))}${outside}`
  }
}

function outsideText({ during: { from, until } }: EvidenceDenial): string {
  const before = from === undefined ? [] : [`before ${from.toISOString()}`]
  const after = until === undefined ? [] : [`from ${until.toISOString()} on`]
  return [...before, ...after].join(' or ')
}

function shortened(text: string): string {
  return text.length <= WHO_CHARACTERS_MAX ? text : `${text.slice(0, WHO_CHARACTERS_MAX)}...`
}

/**
 * By whichever version of SLSA provenance says it; undefined where the claim is none, or does not say it. Provenance that is
 * too large to be kept may name anybody: whoever builds chooses how large it is.
 */
function builderOf(claim: Claim): string | undefined {
  if (claim.kind === 'signature') return undefined
  const { predicateType, predicate } = claim.statement
  if (!PROVENANCE_TYPES.has(predicateType)) return undefined
  return predicate === undefined ? UNREAD : readProvenance(predicateType, predicate).builderId.value
}
