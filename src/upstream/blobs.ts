import type { Readable } from 'node:stream'
import type { Digest } from '../oci/digest.ts'
import type { Repository } from '../oci/reference.ts'
import type { Exchange, RegistryAnswer, RegistryRequest } from './exchange.ts'
import { headerValue, type Headers } from './transport.ts'
import { UpstreamError, type RegistryClient, type UpstreamBlob } from './types.ts'

type BlobMethods = Pick<RegistryClient, 'getBlob' | 'headBlob' | 'locateBlob'>

const CONTENT_RANGE = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/

function request(repository: Repository, digest: Digest, range?: string): RegistryRequest {
  const headers = range === undefined ? {} : { range }
  const path = `blobs/${digest}`
  return { repository, method: 'GET', kind: 'blob', path, headers, bytesMax: 'stream' }
}

function contentLength(headers: Headers): number | undefined {
  const text = headerValue(headers, 'content-length')
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined
}

function contentRange(headers: Headers): { start: number; size: number | undefined } | undefined {
  const match = CONTENT_RANGE.exec(headerValue(headers, 'content-range') ?? '')
  if (match === null) return undefined
  return { start: Number(match[1]), size: match[3] === '*' ? undefined : Number(match[3]) }
}

/** The unread body of a good answer. Nobody will read it, so it goes with its connection. */
function discard(answer: RegistryAnswer): void {
  answer.body?.destroy()
}

function opened(answer: RegistryAnswer, body: Readable, offset: number): UpstreamBlob {
  // A Content-Encoding is not looked at: the bytes are passed on as they came, and their digest decides.
  if (answer.status === 200) return { size: contentLength(answer.headers), offset: 0, body }
  const range = contentRange(answer.headers)
  if (range === undefined || range.start !== offset) {
    body.destroy()
    throw new UpstreamError('invalid', `${answer.url.host} answered another range than was asked for`)
  }
  return { size: range.size, offset, body }
}

export function createBlobMethods(exchange: Exchange, upstream: URL): BlobMethods {
  /** Object stores sign a URL for one method, so a redirected HEAD may be refused where a GET is not. */
  const sizeByGet = async (
    repository: Repository,
    digest: Digest,
    signal: AbortSignal,
  ): Promise<{ size: number }> => {
    const answer = await exchange(request(repository, digest, 'bytes=0-0'), signal)
    discard(answer)
    if (answer.status !== 200 && answer.status !== 206) throw answer.error()
    const size = answer.status === 206 ? contentRange(answer.headers)?.size : contentLength(answer.headers)
    if (size === undefined) throw new UpstreamError('invalid', `${answer.url.host} tells no size of a blob`)
    return { size }
  }

  return {
    async getBlob(repository, digest, offset, signal) {
      const range = offset === 0 ? undefined : `bytes=${offset}-`
      const answer = await exchange(request(repository, digest, range), signal)
      const expected = answer.status === 200 || (answer.status === 206 && offset > 0)
      if (!expected || answer.body === undefined) {
        discard(answer)
        throw answer.error()
      }
      return opened(answer, answer.body, offset)
    },

    async headBlob(repository, digest, signal) {
      const answer = await exchange({ ...request(repository, digest), method: 'HEAD' }, signal)
      const size = answer.status === 200 ? contentLength(answer.headers) : undefined
      if (size !== undefined) return { size }
      const redirected = answer.url.origin !== upstream.origin
      const askAgain = answer.status === 200 || answer.status === 405 || (answer.status === 403 && redirected)
      if (!askAgain) throw answer.error()
      return await sizeByGet(repository, digest, signal)
    },

    async locateBlob(repository, digest, signal) {
      // One byte, because a registry that serves the blob itself would otherwise start to send all of it.
      const answer = await exchange(
        { ...request(repository, digest, 'bytes=0-0'), redirect: 'manual' },
        signal,
      )
      discard(answer)
      if (answer.status === 200 || answer.status === 206) return undefined
      if (answer.location === undefined) throw answer.error()
      // A place on the upstream itself would ask the client for credentials that it does not have.
      return answer.location.origin === upstream.origin ? undefined : answer.location.href
    },
  }
}
