export type PublishErrorCode =
  | 'usage' // an argument that cannot be meant
  | 'key' // a key that must not or cannot be used: permissions, type, one given twice, not one of the role's
  | 'signatures' // too few signatures, or ones that do not verify
  | 'conflict' // what is there already stands in the way: going backwards, overwriting, nothing to sign
  | 'invalid' // a client would refuse the repository, or what was about to be published
  | 'locked' // another run is at work in the same directory
  | 'unavailable' // a KMS or an origin that does not answer, or a disk that cannot be read or written

/** Why nothing was published. `message` says what a person can do about it. */
export class PublishError extends Error {
  override readonly name = 'PublishError'
  readonly code: PublishErrorCode

  constructor(code: PublishErrorCode, message: string, cause?: unknown) {
    super(message, { cause })
    this.code = code
  }
}

/** The text of whatever was thrown. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
