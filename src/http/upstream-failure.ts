import type { UpstreamError } from '../upstream/types.ts'
import { errorAnswer, type Answer } from './answer.ts'

/** Seconds a client should wait where upstream named no time. */
const RETRY_AFTER_SECONDS = 10

/**
 * What a client sees of an upstream that failed, where no verdict was at stake. The wording is ours; what upstream said
 * itself follows only where it refuses, because then its users know best what it means.
 */
export function upstreamFailureAnswer(error: UpstreamError, what: 'manifest' | 'blob' | 'name'): Answer {
  const retryAfter = { 'retry-after': String(error.retryAfterSeconds ?? RETRY_AFTER_SECONDS) }
  const unknown = what === 'manifest' ? 'MANIFEST_UNKNOWN' : what === 'blob' ? 'BLOB_UNKNOWN' : 'NAME_UNKNOWN'
  switch (error.code) {
    case 'not-found':
      return errorAnswer({ status: 404, code: unknown, message: withDetail(error) })
    // Docker Hub answers 401 for a repository that does not exist; passing 401 on would ask the client to log in here.
    case 'unauthorized':
      return errorAnswer({
        status: 404,
        code: 'NAME_UNKNOWN',
        message: `${withDetail(error)} (unknown, or not ours to read)`,
      })
    case 'forbidden':
      return errorAnswer({
        status: 403,
        code: 'DENIED',
        message: withDetail(error),
        reasonPhrase: 'Denied by upstream',
      })
    case 'rate-limited':
      return errorAnswer({
        status: 429,
        code: 'TOOMANYREQUESTS',
        message: error.message,
        headers: retryAfter,
      })
    case 'invalid':
      return errorAnswer({
        status: 502,
        code: 'UNKNOWN',
        message: error.message,
        reasonPhrase: `Bad upstream: ${error.message}`,
      })
    case 'unavailable':
    case 'timeout':
    case 'deadline':
      return errorAnswer({
        status: 503,
        code: 'UNAVAILABLE',
        message: error.message,
        reasonPhrase: `Upstream unavailable: ${error.message}`,
        headers: retryAfter,
      })
  }
}

function withDetail({ message, detail }: UpstreamError): string {
  return detail === undefined ? message : `${message}: ${detail}`
}
