/** Trust that cannot be loaded or renewed: the caller keeps what it had, or does not start. */
export class TrustError extends Error {
  override readonly name = 'TrustError'
  readonly code: TrustErrorCode

  constructor(code: TrustErrorCode, message: string, cause?: unknown) {
    super(message, { cause })
    this.code = code
  }
}

export type TrustErrorCode =
  | 'trust-root' // a document that is none, or that nobody should trust
  | 'snapshot' // parts that do not fit together
  | 'unavailable' // a mirror, KMS or log that does not answer, or not in time
  | 'refused' // it answers, with something that must not be believed: expired, rolled back, wrongly signed
  | 'damaged' // what was kept on disk is not what was written
