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
