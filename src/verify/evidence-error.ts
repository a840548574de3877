import { VerificationError } from '@sigstore/verify'
import type { EvidenceFailure, EvidenceSource, FailureCode } from './types.ts'

/** Why a candidate proves nothing. Stays inside verify/, where it ends as an EvidenceFailure. */
export class EvidenceError extends Error {
  override readonly name = 'EvidenceError'
  readonly code: FailureCode
  /** True where the evidence belongs to another Sigstore instance than the one it was held against. */
  readonly foreign: boolean

  constructor(code: FailureCode, message: string, details: { foreign?: boolean; cause?: unknown } = {}) {
    super(message, { cause: details.cause })
    this.code = code
    this.foreign = details.foreign ?? false
  }
}

/** Something of this program stands in the way, and not the evidence: nothing is known of it. */
export class VerifierError extends Error {
  override readonly name = 'VerifierError'
}

const QUOTE_LENGTH_MAX = 200

/** Data from outside, short enough for a message. */
export function quote(text: string): string {
  return text.length <= QUOTE_LENGTH_MAX ? text : `${text.slice(0, QUOTE_LENGTH_MAX)}…`
}

const LIBRARY_CODES: Readonly<Record<VerificationError['code'], FailureCode>> = {
  NOT_IMPLEMENTED_ERROR: 'unsupported',
  TLOG_ERROR: 'log-entry',
  TLOG_INCLUSION_PROOF_ERROR: 'log-entry',
  TLOG_INCLUSION_PROMISE_ERROR: 'log-entry',
  TLOG_MISSING_INCLUSION_ERROR: 'log-entry',
  TLOG_BODY_ERROR: 'log-entry',
  CERTIFICATE_ERROR: 'certificate',
  PUBLIC_KEY_ERROR: 'key',
  SIGNATURE_ERROR: 'signature',
  TIMESTAMP_ERROR: 'timestamp',
}

/** Anything thrown while hostile bytes were read or verified; what is not recognised is the bytes' fault. Throws a VerifierError on. */
export function toEvidenceError(error: unknown): EvidenceError {
  if (error instanceof EvidenceError) return error
  if (error instanceof VerifierError) throw error
  if (error instanceof VerificationError) {
    const cause: unknown = error.cause
    const detail = cause instanceof Error ? `: ${cause.message}` : ''
    return new EvidenceError(LIBRARY_CODES[error.code], quote(`${error.message}${detail}`), { cause: error })
  }
  const message = error instanceof Error ? error.message : String(error)
  return new EvidenceError('malformed', quote(message), { cause: error })
}

export function toFailure(error: EvidenceError, source: EvidenceSource): EvidenceFailure {
  return { source, code: error.code, message: error.message }
}

/** How far verification came before it failed: a later step says more about what is wrong. */
const PROGRESS: Readonly<Record<FailureCode, number>> = {
  malformed: 0,
  unsupported: 1,
  key: 2,
  timestamp: 3,
  certificate: 4,
  'log-entry': 5,
  signature: 6,
  subject: 7,
}

/** Of several attempts on one candidate, the failure that is worth showing. */
export function mostTelling(errors: readonly EvidenceError[]): EvidenceError | undefined {
  const rank = (error: EvidenceError): number => (error.foreign ? -1 : PROGRESS[error.code])
  return errors.reduce<EvidenceError | undefined>(
    (best, error) => (best === undefined || rank(error) > rank(best) ? error : best),
    undefined,
  )
}
