import type { CallResult } from '../breaker.ts'
import { retryAfterSeconds, type FailedAttempt } from './retry.ts'
import { UpstreamError, type UpstreamErrorCode } from './types.ts'

const EXCERPT_LENGTH_MAX = 200

const TIMEOUTS = new Set(['UND_ERR_CONNECT_TIMEOUT', 'UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT'])

/** undici: the peer does not speak HTTP as it should. */
const PROTOCOL = /^(?:UND_ERR_HEADERS_OVERFLOW|UND_ERR_RES_)/

export type FailedAnswer = {
  readonly status: number
  readonly retryAfter: unknown
  /** The start of the body; never quoted where it may hold a token. */
  readonly bytes: Buffer
  /** Values that must not be repeated, should upstream echo them. */
  readonly secrets: readonly string[]
  readonly nowMs: number
}

function codeOf(status: number): UpstreamErrorCode {
  if (status === 401) return 'unauthorized'
  if (status === 403) return 'forbidden'
  if (status === 404) return 'not-found'
  if (status === 408) return 'timeout'
  if (status === 429) return 'rate-limited'
  return status >= 500 ? 'unavailable' : 'invalid'
}

/** The first printable characters of a body from outside, on one line. */
function excerpt(bytes: Buffer, secrets: readonly string[]): string {
  let text = bytes.toString('utf8')
  for (const secret of secrets) if (secret !== '') text = text.replaceAll(secret, '***')
  return text
    .replaceAll(/[^\x20-\x7e]+/g, ' ')
    .trim()
    .slice(0, EXCERPT_LENGTH_MAX)
}

export function answerError(what: string, answer: FailedAnswer): UpstreamError {
  const said = excerpt(answer.bytes, answer.secrets)
  const details = {
    status: answer.status,
    retryAfterSeconds: retryAfterSeconds(answer.retryAfter, answer.nowMs),
    detail: said === '' ? undefined : said,
  }
  return withoutTrace(
    () => new UpstreamError(codeOf(answer.status), `${what} answered ${answer.status}`, details),
  )
}

/** Most pulls meet three answers of 404: where each was asked for takes longer to find out than the answer took to read. */
function withoutTrace(make: () => UpstreamError): UpstreamError {
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 0
  try {
    return make()
  } finally {
    Error.stackTraceLimit = stackTraceLimit
  }
}

function errorCode(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : ''
}

/** By its name: it has no code, and its class would have to be loaded with all of undici. */
function isParserError(error: unknown): boolean {
  return error instanceof Error && error.name === 'HTTPParserError'
}

/** What an answer says of its host: only `5xx` and 408 are no answer to the question. 501 is a clear one. */
export function answerSays(status: number): CallResult {
  const isOutage = (status >= 500 && status !== 501) || status === 408
  return isOutage ? { failed: `answered ${status}` } : 'answered'
}

/** Whose time limits: the caller's patience, and what this request may take of itself. */
type Limits = { readonly signal?: AbortSignal; readonly limit?: AbortSignal }

/** What a thrown error means. Only failures that another attempt may cure are retryable. */
export function thrownFailure(what: string, error: unknown, { signal, limit }: Limits): FailedAttempt {
  // An answer that breaks a limit, or an address that may not be dialled.
  if (error instanceof UpstreamError) return { error, retryable: false, says: 'answered' }
  const failure = (kind: UpstreamErrorCode, reason: string, retryable: boolean): FailedAttempt => ({
    error: new UpstreamError(kind, `${what}: ${reason}`, { cause: error }),
    retryable,
    says: { failed: reason },
  })
  // Whoever leaves early learns nothing about the host.
  if (signal?.aborted === true)
    return { ...failure('deadline', 'the deadline passed', false), says: 'abandoned' }
  if (limit?.aborted === true) return failure('timeout', 'no whole answer in time', false)
  const code = errorCode(error)
  // A connection costs little to try again; an upstream that is slow to answer gets no second question.
  if (TIMEOUTS.has(code)) {
    return failure('timeout', `no answer in time (${code})`, code === 'UND_ERR_CONNECT_TIMEOUT')
  }
  if (isParserError(error) || PROTOCOL.test(code)) {
    return failure('invalid', 'no valid HTTP answer', false)
  }
  return unreachable(what, code === '' ? 'connection failed' : code, error)
}

/** No connection, or one that broke. */
export function unreachable(what: string, reason: string, cause?: unknown): FailedAttempt {
  const error = new UpstreamError('unavailable', `${what}: ${reason}`, { cause })
  return { error, retryable: true, says: { failed: reason } }
}
