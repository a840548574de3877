import { compileClaimChecks } from './claim-document.ts'
import { reportRepeated, reportTrustRoot, type CompileContext } from './compile-context.ts'
import { compileKey } from './compile-key.ts'
import type { AuthorityDocument } from './document.ts'
import { ANY_IDENTITY, compileIdentity } from './identity.ts'
import type { Path, Report } from './problem.ts'
import type { AttestationDemand, Authority } from './types.ts'

type AttestationDocument = NonNullable<AuthorityDocument['attestations']>[number]

/** Undefined where something is wrong with its signer, which is reported like everything else. */
export function compileAuthority(
  document: AuthorityDocument,
  path: Path,
  context: CompileContext,
  report: Report,
): Authority | undefined {
  const { name, maxAge, expressions, attestations = [] } = document
  reportRepeated(attestations, [...path, 'attestations'], report)
  const demands = attestations.map((attestation, index) =>
    compileAttestation(attestation, [...path, 'attestations', index], report),
  )
  const checks = compileClaimChecks({ expressions }, undefined, path, report)
  const signer = compileSigner(document, path, context, report)
  if (signer === undefined) return undefined
  const unavailable = unavailableUntilBound(signer)
  return { name, signer, attestations: demands, checks, maxAgeMs: maxAge, unavailable }
}

function compileAttestation(document: AttestationDocument, path: Path, report: Report): AttestationDemand {
  const { name, predicateType, maxAge, ...claim } = document
  const checks = compileClaimChecks(claim, predicateType, path, report)
  return { name, predicateType, checks, maxAgeMs: maxAge }
}

function compileSigner(
  document: AuthorityDocument,
  path: Path,
  context: CompileContext,
  report: Report,
): Authority['signer'] | undefined {
  const { keyless, key, static: fixed, maxAge, attestations = [] } = document
  if (keyless !== undefined) return compileKeyless(keyless, [...path, 'keyless'], context, report)
  if (key !== undefined) {
    const isTimed = [maxAge, ...attestations.map((one) => one.maxAge)].some((age) => age !== undefined)
    return compileKey(key, isTimed, { path: [...path, 'key'], context, report })
  }
  // The schema lets exactly one of the three through.
  if (fixed === undefined) return undefined
  const unsaid = fixed.action === 'pass' ? 'nothing is asked for' : 'nothing is accepted'
  return { kind: 'static', action: fixed.action, message: fixed.message ?? unsaid }
}

function compileKeyless(
  { trustRoot, identities = [], unsafeAnyIdentity }: NonNullable<AuthorityDocument['keyless']>,
  path: Path,
  context: CompileContext,
  report: Report,
): Authority['signer'] {
  reportTrustRoot(trustRoot, [...path, 'trustRoot'], context, report)
  const named = identities.flatMap(
    (identity, index) => compileIdentity(identity, [...path, 'identities', index], report) ?? [],
  )
  return { kind: 'keyless', trustRoot, identities: unsafeAnyIdentity === true ? [ANY_IDENTITY] : named }
}

/** What nobody has looked up yet is not known to be wrong. */
function unavailableUntilBound(signer: Authority['signer']): Authority['unavailable'] {
  if (signer.kind !== 'key' || signer.keyReference === undefined) return undefined
  return { dependency: 'trust', message: `the key ${signer.keyReference} has not been looked up` }
}
