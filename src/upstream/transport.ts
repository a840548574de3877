import type { Readable } from 'node:stream'
import { readAtMost } from './body.ts'
import { VERSION } from '../version.ts'
import { Circuits, type Asked, type CircuitsDeps } from './circuits.ts'
import type { CallResult } from '../breaker.ts'
import type { Connections } from '../connections.ts'
import { answerError, answerSays, thrownFailure, unreachable, type FailedAnswer } from './failure.ts'
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

export type TransportDeps = TransportHooks &
  CircuitsDeps & {
    readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>
    /** Why the whole upstream is not to be dialled now, in a few words: a drill. It looks like an outage from here on. */
    readonly takenAway?: () => string | undefined
  }

export type TransportLimits = {
  readonly concurrency: number
  readonly retries: number
  readonly headersTimeoutMs: number
  readonly bodyTimeoutMs: number
}

/** A token is small, and whoever shares it waits no longer than this and a retry. */
const TOKEN_MS_MAX = 10_000

/** Others wait for it before they are sent. A host that takes longer is out as far as a pull is concerned. */
const PING_MS_MAX = 5_000

/** Any other body is read to its limit; an error's text is worth no more. */
const ERROR_BODY_BYTES_MAX = 64 * 1024

type Outcome =
  | { readonly answer: Answer; readonly failure?: FailedAttempt }
  | { readonly failure: FailedAttempt }

type Placed = Pick<TransportRequest, 'url' | 'method' | 'kind'>

/** Method and place of a request, without the query: it may be upstream's own and hold a signature. */
export function describeRequest(request: { method: string; url: URL }): string {
  return `${request.method} ${request.url.host}${request.url.pathname}`
}

export function headerValue(headers: Headers, name: string): string | undefined {
  const value = headers[name]
  return typeof value === 'string' ? value : value?.[0]
}

/** One upstream's requests: bounded in number, size and time, retried within a budget, and none to what is out. */
export class Transport {
  readonly #dispatcher: Connections
  readonly #deps: TransportDeps
  readonly #limits: TransportLimits
  readonly #budget = new RetryBudget()
  readonly #circuits: Circuits
  #isTakenAway = false
  /** Blobs stream as slowly as our clients read; they must never hold back the metadata that decides a pull. */
  readonly #lanes: { readonly metadata: Semaphore; readonly blobs: Semaphore }

  constructor(dispatcher: Connections, limits: TransportLimits, deps: TransportDeps) {
    this.#dispatcher = dispatcher
    this.#deps = deps
    this.#limits = limits
    this.#circuits = new Circuits(deps, (asked) => this.#ping(asked))
    this.#lanes = { metadata: new Semaphore(limits.concurrency), blobs: new Semaphore(limits.concurrency) }
  }

  /** Throws what `send` would reject with at once, because the host is out: before anything is made ready for it. */
  assertInReach(request: Placed): void {
    const failure = this.#refusal(request)
    if (failure?.error.code === 'unavailable') throw failure.error
  }

  /** Follows no redirect. Resolves to any HTTP answer, retried or not; rejects with UpstreamError where there is none. */
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
    if (failure === undefined || request.method === 'POST' || attempt >= this.#limits.retries) return false
    const delayMs = retryDelayMs(failure, attempt, this.#deps.random)
    if (delayMs === undefined || signal.aborted || this.#isOut(request) || !this.#budget.withdraw())
      return false
    this.#deps.onRetry?.({ kind: request.kind, code: failure.error.code })
    try {
      await this.#deps.sleep(delayMs, signal)
      return !signal.aborted
    } catch {
      // The deadline came first: the failure before it says more than the deadline does.
      return false
    }
  }

  #isOut(request: Placed): boolean {
    return this.#refusal(request)?.error.code === 'unavailable'
  }

  #refusal(request: Placed): FailedAttempt | undefined {
    const isTakenAway = this.#deps.takenAway?.() !== undefined
    // What failed in a drill never failed.
    if (this.#isTakenAway && !isTakenAway) this.#circuits.reset()
    this.#isTakenAway = isTakenAway
    return this.#circuits.refusal(request)
  }

  async #attempt(request: TransportRequest, signal: AbortSignal): Promise<Outcome> {
    const refusal = this.#refusal(request)
    if (refusal !== undefined) return { failure: refusal }
    let release: () => void = () => undefined
    try {
      // A token request has no lane: whoever waits for the token may hold every slot.
      const lane = request.bytesMax === 'stream' ? this.#lanes.blobs : this.#lanes.metadata
      if (request.kind !== 'token') release = await lane.acquire(signal)
    } catch (error) {
      // Those before it may have found meanwhile that the host is out.
      const failure = thrownFailure(describeRequest(request), error, { signal })
      return { failure: this.#refusal(request) ?? failure }
    }
    // The host may have gone out while this request waited.
    const admission = await this.#circuits.enter(request)
    if (!admission.ok) {
      release()
      return admission
    }
    const outcome = await this.#observed(request, signal, release)
    admission.end('answer' in outcome ? answerSays(outcome.answer.status) : outcome.failure.says)
    return outcome
  }

  async #observed(request: TransportRequest, signal: AbortSignal, release: () => void): Promise<Outcome> {
    const startedMs = this.#deps.now()
    const outcome = await this.#outcome(request, signal, release)
    this.#deps.onRequest?.({
      kind: request.kind,
      method: request.method,
      result: 'answer' in outcome ? outcome.answer.status : outcome.failure.error.code,
      durationMs: this.#deps.now() - startedMs,
    })
    return outcome
  }

  async #outcome(request: TransportRequest, signal: AbortSignal, release: () => void): Promise<Outcome> {
    const what = describeRequest(request)
    const takenAway = this.#deps.takenAway?.()
    if (takenAway !== undefined) {
      release()
      return { failure: unreachable(what, takenAway) }
    }
    const limit = new AbortController()
    const timer = setTimeout(() => limit.abort(), this.#wholeMs(request))
    try {
      const signals = AbortSignal.any([signal, limit.signal])
      const answer = await this.#dispatch(request, signals, release)
      const error = isRetryableStatus(answer.status) ? this.error(what, answer) : undefined
      if (answer.status === 429) this.#circuits.pause(request, error?.retryAfterSeconds)
      if (error === undefined) return { answer }
      return { answer, failure: { error, retryable: true, says: answerSays(answer.status) } }
    } catch (error) {
      release()
      return { failure: thrownFailure(what, error, { signal, limit: limit.signal }) }
    } finally {
      clearTimeout(timer)
    }
  }

  /**
   * distribution-spec "Determining Support": every registry has `/v2/`, and elsewhere a 404 is an answer as well. Of a token
   * server, the realm, which upstream names; only its query is a client's.
   */
  async #ping({ url: { origin, pathname }, kind }: Asked): Promise<CallResult> {
    const takenAway = this.#deps.takenAway?.()
    if (takenAway !== undefined) return { failed: takenAway }
    const url = new URL(kind === 'token' ? pathname : '/v2/', origin)
    const headers = { 'user-agent': `portcullis/${VERSION}`, 'accept-encoding': 'identity' }
    const request = { url, kind, headers, method: 'GET', bytesMax: ERROR_BODY_BYTES_MAX } as const
    const limit = AbortSignal.timeout(PING_MS_MAX)
    try {
      return answerSays((await this.#dispatch(request, limit, () => undefined)).status)
    } catch (error) {
      return thrownFailure(describeRequest(request), error, { limit }).says
    }
  }

  /** Headers and every piece of the body in time are not enough: a body may come in very many pieces. */
  #wholeMs({ kind }: TransportRequest): number {
    const { headersTimeoutMs, bodyTimeoutMs } = this.#limits
    const wholeMs = headersTimeoutMs + bodyTimeoutMs
    return kind === 'token' ? Math.min(wholeMs, TOKEN_MS_MAX) : wholeMs
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
