import type { Connections } from '../../connections.ts'
import { readAtMost } from '../../upstream/body.ts'

export type LogRequest = {
  readonly method: 'GET' | 'POST'
  readonly url: URL
  /** JSON. */
  readonly body?: string
}

export type LogAnswer = {
  readonly status: number
  readonly body: Buffer
  /** False where the body was longer than its limit and was cut. */
  readonly whole: boolean
}

/**
 * One request to a log. Rejects with anything where there is no answer. Whoever wants to break the circuit, to take the
 * log away in a drill or to count requests wraps this.
 */
export type SendToLog = (request: LogRequest, signal: AbortSignal) => Promise<LogAnswer>

/** Ten entries with the attestations that Rekor may store beside them, 100 KiB each by its default. */
const ANSWER_BYTES_MAX = 4 * 1024 * 1024

/** Over HTTP with undici. Redirects are answers like any other: a log that sends elsewhere is not the one configured. */
export function createLogSend(dispatcher: Pick<Connections, 'request'>, userAgent: string): SendToLog {
  return async ({ method, url, body }, signal) => {
    const answer = await dispatcher.request({
      origin: url.origin,
      path: url.pathname + url.search,
      method,
      headers: {
        'user-agent': userAgent,
        accept: 'application/json',
        'accept-encoding': 'identity',
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      body: body ?? null,
      signal,
    })
    const { bytes, whole } = await readAtMost(answer.body, ANSWER_BYTES_MAX)
    return { status: answer.statusCode, body: bytes, whole }
  }
}
