import type { Readable } from 'node:stream'
import type { Dispatcher } from 'undici'
import { readAtMost } from './body.ts'
import { thrownFailure, type FailedAnswer, answerError } from './failure.ts'
import { isRetryableStatus, retryDelayMs, RetryBudget, type FailedAttempt } from './retry.ts'
import { Semaphore } from './semaphore.ts'
import { UpstreamError, type UpstreamErrorCode } from './types.ts'

/** What is asked for; a label of the request metrics. */
export type RequestKind = 'manifest' | 'blob' | 'referrers' | 'tags' | 'token'

export type TransportRequest = {
  readonly url: URL
  readonly method: 'GET' | 'HEAD' | 'POST'
  readonly kind: RequestKind
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
  /** The largest good answer, read whole; `stream` hands a good answer's body on unread. */
  readonly bytesMax: number | 'stream'
}

/** Header values as they came: one string, or several where a field was repeated. */
export type Headers = Readonly<Record<string, string | string[] | undefined>>

export type Answer = {
  readonly status: number
  readonly headers: Headers
  /** The whole body, the start of an error body, or empty where `body` holds it. */
  readonly bytes: Buffer
  /** The caller must read or destroy it. Errors are undici's own. */
  readonly body: Readable | undefined
}

/** What one request came to: fields from closed sets, so metrics may use them as labels. */
export type RequestEvent = {
  readonly kind: RequestKind
  readonly method: 'GET' | 'HEAD' | 'POST'
  readonly result: number | UpstreamErrorCode
  readonly durationMs: number
}

type TransportHooks = {
  readonly onRequest?: (event: RequestEvent) => void
  readonly onRetry?: (event: { kind: RequestKind; code: UpstreamErrorCode }) => void
}

export type TransportDeps = TransportHooks & {
  readonly now: () => number
  readonly random: () => number
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>
}

export type TransportLimits = { readonly concurrency: number; readonly retries: number }

/** Any other body is read to its limit; an error's text is worth no more. */
const ERROR_BODY_BYTES_MAX = 64 * 1024

type Outcome =
  | { readonly answer: Answer; readonly failure?: FailedAttempt }
  | { readonly failure: FailedAttempt }

/** Method and place of a request, without the query: it may be upstream's own and hold a signature. */
export function describeRequest(request: { method: string; url: URL }): string {
  return `${request.method} ${request.url.host}${request.url.pathname}`
}

export function headerValue(headers: Headers, name: string): string | undefined {
  const value = headers[name]
  return typeof value === 'string' ? value : value?.[0]
}

/** One upstream's requests: bounded in number and size, timed, retried within a budget. Follows no redirects. */
export class Transport {
  readonly #dispatcher: Dispatcher
  readonly #deps: TransportDeps
  readonly #retries: number
  readonly #budget = new RetryBudget()
  /** Blobs stream as slowly as our clients read; they must never hold back the metadata that decides a pull. */
  readonly #lanes: { readonly metadata: Semaphore; readonly blobs: Semaphore }

  constructor(dispatcher: Dispatcher, limits: TransportLimits, deps: TransportDeps) {
    this.#dispatcher = dispatcher
    this.#deps = deps
    this.#retries = limits.retries
    this.#lanes = { metadata: new Semaphore(limits.concurrency), blobs: new Semaphore(limits.concurrency) }
  }

  /** Resolves to any HTTP answer, retried or not; rejects with UpstreamError where there is none. */
  async send(request: TransportRequest, signal: AbortSignal): Promise<Answer> {
    this.#budget.deposit()
    for (let attempt = 0; ; attempt += 1) {
      const outcome = await this.#attempt(request, signal)
      if (!(await this.#again(request, outcome.failure, { attempt, signal }))) {
        if ('answer' in outcome) return outcome.answer
        throw outcome.failure.error
      }
    }
  }

  /** The error that an answer stands for. The secrets of the request are struck from what it quotes. */
  error(what: string, answer: Answer, secrets: readonly string[] = []): UpstreamError {
    return answerError(what, this.#failed(answer, secrets))
  }

  #failed(answer: Answer, secrets: readonly string[]): FailedAnswer {
    const { status, headers, bytes } = answer
    return { status, bytes, secrets, retryAfter: headers['retry-after'], nowMs: this.#deps.now() }
  }

  async #again(
    request: TransportRequest,
    failure: FailedAttempt | undefined,
    { attempt, signal }: { attempt: number; signal: AbortSignal },
  ): Promise<boolean> {
    if (failure === undefined || request.method === 'POST' || attempt >= this.#retries) return false
    const delayMs = retryDelayMs(failure, attempt, this.#deps.random)
    if (delayMs === undefined || signal.aborted || !this.#budget.withdraw()) return false
    this.#deps.onRetry?.({ kind: request.kind, code: failure.error.code })
    try {
      await this.#deps.sleep(delayMs, signal)
      return !signal.aborted
    } catch {
      // The deadline came first: the failure before it says more than the deadline does.
      return false
    }
  }

  async #attempt(request: TransportRequest, signal: AbortSignal): Promise<Outcome> {
    const startedMs = this.#deps.now()
    const outcome = await this.#outcome(request, signal)
    this.#deps.onRequest?.({
      kind: request.kind,
      method: request.method,
      result: 'answer' in outcome ? outcome.answer.status : outcome.failure.error.code,
      durationMs: this.#deps.now() - startedMs,
    })
    return outcome
  }

  async #outcome(request: TransportRequest, signal: AbortSignal): Promise<Outcome> {
    const what = describeRequest(request)
    let release: () => void = () => undefined
    try {
      // A token request has no lane: whoever waits for the token may hold every slot.
      const lane = request.bytesMax === 'stream' ? this.#lanes.blobs : this.#lanes.metadata
      if (request.kind !== 'token') release = await lane.acquire(signal)
      const answer = await this.#dispatch(request, signal, release)
      if (!isRetryableStatus(answer.status)) return { answer }
      return { answer, failure: { error: this.error(what, answer), retryable: true } }
    } catch (error) {
      release()
      return { failure: thrownFailure(what, error, signal) }
    }
  }

  async #dispatch(request: TransportRequest, signal: AbortSignal, release: () => void): Promise<Answer> {
    const {
      statusCode: status,
      headers,
      body,
    } = await this.#dispatcher.request({
      origin: request.url.origin,
      path: request.url.pathname + request.url.search,
      method: request.method,
      headers: request.headers,
      body: request.body ?? null,
      signal,
    })
    body.once('close', release)
    // Without a listener, a connection that breaks while nobody reads would end the process.
    body.on('error', () => undefined)
    const good = status >= 200 && status < 300
    if (good && request.bytesMax === 'stream' && request.method !== 'HEAD') {
      return { status, headers, bytes: Buffer.alloc(0), body }
    }
    const limit = good && request.bytesMax !== 'stream' ? request.bytesMax : ERROR_BODY_BYTES_MAX
    if (good && request.method !== 'HEAD') this.#assertFits(request, headers, { body, limit })
    const { bytes, whole } = await readAtMost(body, limit)
    if (good && !whole) throw tooLarge(request, limit)
    return { status, headers, bytes, body: undefined }
  }

  #assertFits(request: TransportRequest, headers: Headers, read: { body: Readable; limit: number }): void {
    if (Number(headerValue(headers, 'content-length') ?? 0) <= read.limit) return
    read.body.destroy()
    throw tooLarge(request, read.limit)
  }
}

function tooLarge(request: TransportRequest, limit: number): UpstreamError {
  return new UpstreamError('invalid', `${describeRequest(request)} answered more than ${limit} bytes`)
}
