import { open } from 'node:fs/promises'
import type { Connections } from '../../connections.ts'
import { readAtMost } from '../../upstream/body.ts'
import { TrustError } from '../trust-error.ts'

type FetchedBytes = { readonly status: number; readonly bytes: Buffer }

/**
 * Gets one URL, without following redirects and without retries. Rejects where there is no answer, and with TrustError
 * `refused` where the answer has more than `bytesMax` bytes.
 */
export type FetchBytes = (
  url: string,
  options: { readonly bytesMax: number; readonly signal: AbortSignal },
) => Promise<FetchedBytes>

export type TufFetchScheme = 'https:' | 'http:' | 'file:'

export type TufFetchOptions = {
  readonly dispatcher: Pick<Connections, 'request'>
  /** Default: https alone. Metadata is signed, but over http anyone on the way can hold it back or choose its age. */
  readonly schemes?: readonly TufFetchScheme[]
}

const HTTP_OK = 200
const HTTP_NOT_FOUND = 404

export function createTufFetch({ dispatcher, schemes = ['https:'] }: TufFetchOptions): FetchBytes {
  const allowed = new Set<string>(schemes)
  return async (address, { bytesMax, signal }) => {
    const url = new URL(address)
    if (!allowed.has(url.protocol)) {
      throw new TrustError('refused', `${address}: ${url.protocol.slice(0, -1)} is not allowed here`)
    }
    if (url.protocol === 'file:') return await readFileUrl(url, bytesMax)
    const { statusCode, headers, body } = await dispatcher.request({
      origin: url.origin,
      path: url.pathname,
      method: 'GET',
      headers: { 'user-agent': 'portcullis' },
      signal,
    })
    // Without a listener, a connection that breaks while nobody reads would end the process.
    body.on('error', () => undefined)
    if (statusCode !== HTTP_OK) {
      body.destroy()
      return { status: statusCode, bytes: Buffer.alloc(0) }
    }
    if (Number(headers['content-length'] ?? 0) > bytesMax) {
      body.destroy()
      throw tooLarge(address, bytesMax)
    }
    const { bytes, whole } = await readAtMost(body, bytesMax)
    if (!whole) throw tooLarge(address, bytesMax)
    return { status: statusCode, bytes }
  }
}

function tooLarge(address: string, bytesMax: number): TrustError {
  return new TrustError('refused', `${address} has more than ${bytesMax} bytes`)
}

async function readFileUrl(url: URL, bytesMax: number): Promise<FetchedBytes> {
  try {
    await using file = await open(url)
    const { size } = await file.stat()
    if (size > bytesMax) throw tooLarge(url.href, bytesMax)
    return { status: HTTP_OK, bytes: await file.readFile() }
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') {
      return { status: HTTP_NOT_FOUND, bytes: Buffer.alloc(0) }
    }
    throw error
  }
}
