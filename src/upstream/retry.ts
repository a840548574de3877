import type { CallResult } from '../breaker.ts'
import type { UpstreamError } from './types.ts'

const BACKOFF_BASE_MS = 100
const BACKOFF_MAX_MS = 2_000

/** An upstream that wants a longer pause than this is told to our client instead; a pull is not held that long. */
const RETRY_AFTER_MS_MAX = 10_000

/** Each request earns a fifth of a retry, so an upstream that is down gets at most 1.2 times its usual load. */
const BUDGET_PER_REQUEST = 0.2
const BUDGET_MAX = 10

/** What one attempt came to. `error` is what the caller gets if there is no further attempt. */
export type FailedAttempt = {
  readonly error: UpstreamError
  readonly retryable: boolean
  /** What it says of the host. */
  readonly says: CallResult
}

/** A token bucket, full at the start so that a quiet proxy may retry its first requests. */
export class RetryBudget {
  #tokens = BUDGET_MAX

  deposit(): void {
    this.#tokens = Math.min(BUDGET_MAX, this.#tokens + BUDGET_PER_REQUEST)
  }

  withdraw(): boolean {
    if (this.#tokens < 1) return false
    this.#tokens -= 1
    return true
  }
}

export function isRetryableStatus(status: number): boolean {
  return status === 429 || status === 502 || status === 503 || status === 504
}

/** `Retry-After` in whole seconds (RFC 9110 section 10.2.3: seconds or a date), or undefined. */
export function retryAfterSeconds(header: unknown, nowMs: number): number | undefined {
  if (typeof header !== 'string' || header === '') return undefined
  if (/^\d{1,9}$/.test(header)) return Number(header)
  const at = Date.parse(header)
  return Number.isNaN(at) ? undefined : Math.max(0, Math.ceil((at - nowMs) / 1_000))
}

/** Milliseconds until the next attempt (`attempt` counts from 0), or undefined where there should be none. */
export function retryDelayMs(
  failure: FailedAttempt,
  attempt: number,
  random: () => number,
): number | undefined {
  const askedMs = (failure.error.retryAfterSeconds ?? 0) * 1_000
  if (!failure.retryable || askedMs > RETRY_AFTER_MS_MAX) return undefined
  // Full jitter: clients that failed together do not come back together.
  const backoffMs = random() * Math.min(BACKOFF_MAX_MS, BACKOFF_BASE_MS * 2 ** attempt)
  return Math.max(askedMs, backoffMs)
}
