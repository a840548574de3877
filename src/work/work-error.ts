export type WorkErrorCode =
  | 'timeout' // the time limit of one task
  | 'crashed' // the thread died or threw
  | 'overloaded' // the queue is full
  | 'aborted' // the caller's signal
  | 'closed' // the runner is closing

/** Work that did not finish: a fact about this machine, never about the evidence. */
export class WorkError extends Error {
  override readonly name = 'WorkError'
  readonly code: WorkErrorCode

  constructor(code: WorkErrorCode, message: string, cause?: unknown) {
    super(message, { cause })
    this.code = code
  }
}

/** Throws WorkError where the signal has aborted: with its own reason, where that is one. */
export function assertWanted(signal: AbortSignal): void {
  if (!signal.aborted) return
  const reason: unknown = signal.reason
  throw reason instanceof WorkError ? reason : new WorkError('aborted', 'verification was given up', reason)
}
