import { errors } from 'undici'
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
  const message = `${what} answered ${answer.status}${said === '' ? '' : `: ${said}`}`
  const seconds = retryAfterSeconds(answer.retryAfter, answer.nowMs)
  const details = { status: answer.status, ...(seconds === undefined ? {} : { retryAfterSeconds: seconds }) }
  return new UpstreamError(codeOf(answer.status), message, details)
}

function errorCode(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : ''
}

/** What a thrown error means. Only failures that another attempt may cure are retryable. */
export function thrownFailure(what: string, error: unknown, signal: AbortSignal): FailedAttempt {
  if (error instanceof UpstreamError) return { error, retryable: false }
  if (signal.aborted) {
    return {
      error: new UpstreamError('timeout', `${what}: the deadline passed`, { cause: error }),
      retryable: false,
    }
  }
  const code = errorCode(error)
  if (TIMEOUTS.has(code)) {
    // A connection costs little to try again; an upstream that is slow to answer gets no second question.
    const failure = new UpstreamError('timeout', `${what}: no answer in time (${code})`, { cause: error })
    return { error: failure, retryable: code === 'UND_ERR_CONNECT_TIMEOUT' }
  }
  if (error instanceof errors.HTTPParserError || PROTOCOL.test(code)) {
    const failure = new UpstreamError('invalid', `${what}: no valid HTTP answer`, { cause: error })
    return { error: failure, retryable: false }
  }
  const reason = code === '' ? 'connection failed' : code
  return { error: new UpstreamError('unavailable', `${what}: ${reason}`, { cause: error }), retryable: true }
}
