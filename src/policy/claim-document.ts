import type * as z from 'zod'
import { compileExpressions, expressionsSchema } from './expression-document.ts'
import type { Path, Report } from './problem.ts'
import { PROVENANCE_TYPES } from './provenance.ts'
import { compileSlsa, slsaSchema } from './slsa.ts'
import type { ClaimCheck } from './types.ts'
import { compileVsa, VSA_TYPES, vsaPassed, vsaSchema } from './vsa.ts'

/** What a policy document may demand of a verified signature or statement, beside who made it and of which type it is. */

/** Keys of an attestation; of an authority without attestations only `expressions` has a meaning. */
export const claimShape = {
  slsa: slsaSchema
    .optional()
    .describe('What SLSA provenance must say of the build: builder, level, source, materials.'),
  vsa: vsaSchema
    .optional()
    .describe('What a SLSA verification summary must say: by which verifier, for which levels.'),
  expressions: expressionsSchema
    .optional()
    .describe('CEL expressions; all of them must be true. A field that is missing is a failure.'),
} as const

export type ClaimDocument = z.output<z.ZodObject<typeof claimShape>>

/** `predicateType` is undefined for a plain signature. Reports what is wrong, and what would change nothing. */
export function compileClaimChecks(
  document: ClaimDocument,
  predicateType: string | undefined,
  path: Path,
  report: Report,
): readonly ClaimCheck[] {
  const { slsa, vsa, expressions } = document
  reportMisplaced(document, predicateType, path, report)
  return [
    ...provenanceChecks(slsa, predicateType, [...path, 'slsa'], report),
    ...summaryChecks(vsa, predicateType, [...path, 'vsa'], report),
    ...compileExpressions(expressions ?? [], predicateType, [...path, 'expressions'], report),
  ]
}

function provenanceChecks(
  slsa: ClaimDocument['slsa'],
  predicateType: string | undefined,
  path: Path,
  report: Report,
): readonly ClaimCheck[] {
  return slsa !== undefined && isProvenance(predicateType)
    ? compileSlsa(slsa, predicateType, path, report)
    : []
}

/** A summary says PASSED or FAILED; no policy means the latter, whatever else it asks. */
function summaryChecks(
  vsa: ClaimDocument['vsa'],
  predicateType: string | undefined,
  path: Path,
  report: Report,
): readonly ClaimCheck[] {
  if (!isSummary(predicateType)) return []
  const asked = vsa === undefined ? [] : compileVsa(vsa, predicateType, path, report)
  return [vsaPassed(predicateType), ...asked]
}

function reportMisplaced(
  { slsa, vsa, expressions }: ClaimDocument,
  predicateType: string | undefined,
  path: Path,
  report: Report,
): void {
  if (slsa !== undefined && !isProvenance(predicateType)) {
    report([...path, 'slsa'], misplaced('slsa', predicateType, PROVENANCE_TYPES))
  }
  if (vsa !== undefined && !isSummary(predicateType)) {
    report([...path, 'vsa'], misplaced('vsa', predicateType, VSA_TYPES))
  }
  if (isSummary(predicateType) && vsa === undefined && expressions === undefined) {
    const found = 'found a verification summary of which nothing is asked'
    report(path, `${found}, expected vsa with verifiers and levels, or expressions`)
  }
}

function isProvenance(predicateType: string | undefined): predicateType is string {
  return predicateType !== undefined && PROVENANCE_TYPES.has(predicateType)
}

function isSummary(predicateType: string | undefined): predicateType is string {
  return predicateType !== undefined && VSA_TYPES.has(predicateType)
}

function misplaced(key: string, predicateType: string | undefined, types: ReadonlySet<string>): string {
  const found = predicateType === undefined ? 'a plain signature' : `predicate type ${predicateType}`
  return `found ${key} for ${found}, expected it for an attestation of predicateType ${[...types].join(' or ')}`
}
