/** Trust that cannot be loaded: the caller keeps what it had, or does not start. */
export class TrustError extends Error {
  override readonly name = 'TrustError'
  readonly code: 'trust-root' | 'snapshot'

  constructor(code: TrustError['code'], message: string) {
    super(message)
    this.code = code
  }
}
