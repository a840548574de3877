import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Fetcher } from 'tuf-js'
// The Updater knows the newest root by this class alone, and tuf-js's index does not export it.
import { DownloadHTTPError } from 'tuf-js/dist/error.js'
import { TrustError } from '../trust-error.ts'
import type { FetchBytes } from './fetch.ts'
import { parseModestJson } from './json.ts'
import { textOf } from './message.ts'
import { ROOT_FILE } from './names.ts'

export type TufFetcherOptions = {
  readonly fetch: FetchBytes
  /** For one request, all of its body included. */
  readonly timeoutMs: number
  readonly signal: AbortSignal
  /** Where downloads lie until they are verified. */
  readonly directory: string
}

const HTTP_OK = 200
const HTTP_FORBIDDEN = 403
const HTTP_NOT_FOUND = 404

/** What the Updater downloads with: remembers every answer, and what went wrong, which the Updater tells as text only. */
export class TufFetcher implements Fetcher {
  readonly #options: TufFetcherOptions
  readonly #received = new Map<string, Buffer>()
  #failure: TrustError | undefined
  #last: string | undefined

  constructor(options: TufFetcherOptions) {
    this.#options = options
  }

  /** Whole answers by URL, verified or not. */
  get received(): ReadonlyMap<string, Buffer> {
    return this.#received
  }

  /** Why something could not be had. Undefined where whatever was asked for came. */
  get failure(): TrustError | undefined {
    return this.#failure
  }

  /** The URL that was answered last. */
  get last(): string | undefined {
    return this.#last
  }

  /** Undefined where the repository says that it has no such file; rejects with TrustError. */
  async get(url: string, bytesMax: number): Promise<Buffer | undefined> {
    const status = await this.#get(url, bytesMax)
    if (Buffer.isBuffer(status)) return status
    if (isMissing(status)) return undefined
    throw this.#fail(new TrustError('unavailable', `${url} answered ${describeStatus(status)}`))
  }

  /** Metadata: handed to the Updater only if it is of a size that its parser can take. */
  async downloadBytes(url: string, bytesMax: number): Promise<Buffer> {
    const bytes = await this.#download(url, bytesMax)
    try {
      parseModestJson(bytes)
    } catch (error) {
      throw this.#fail(new TrustError('refused', `${url}: ${textOf(error)}`, error))
    }
    return bytes
  }

  async #download(url: string, bytesMax: number): Promise<Buffer> {
    const status = await this.#get(url, bytesMax)
    if (Buffer.isBuffer(status)) return status
    const message = `${url} answered ${describeStatus(status)}`
    // A root that is not there is how a repository says which one is the newest.
    const isEnd = isMissing(status) && ROOT_FILE.test(new URL(url).pathname.split('/').at(-1) ?? '')
    if (!isEnd) this.#fail(new TrustError('unavailable', message))
    throw new DownloadHTTPError(message, status)
  }

  async downloadFile<T>(url: string, bytesMax: number, handler: (path: string) => Promise<T>): Promise<T> {
    const bytes = await this.#download(url, bytesMax)
    const directory = await mkdtemp(join(this.#options.directory, 'download-'))
    try {
      const path = join(directory, 'target')
      await writeFile(path, bytes)
      return await handler(path)
    } finally {
      await rm(directory, { recursive: true, force: true })
    }
  }

  async #get(url: string, bytesMax: number): Promise<Buffer | number> {
    const { fetch, timeoutMs, signal } = this.#options
    const timeout = AbortSignal.timeout(timeoutMs)
    try {
      const { status, bytes } = await fetch(url, { bytesMax, signal: AbortSignal.any([signal, timeout]) })
      this.#last = url
      if (status !== HTTP_OK) return status
      this.#received.set(url, bytes)
      return bytes
    } catch (error) {
      if (error instanceof TrustError) throw this.#fail(error)
      if (signal.aborted) throw this.#fail(new TrustError('unavailable', `${url} was given up`, error))
      const why = timeout.aborted
        ? `did not answer within ${timeoutMs} ms`
        : `cannot be reached: ${textOf(error)}`
      throw this.#fail(new TrustError('unavailable', `${url} ${why}`, error))
    }
  }

  #fail(error: TrustError): TrustError {
    this.#failure = error
    return error
  }
}

function isMissing(status: number): boolean {
  return status === HTTP_NOT_FOUND || status === HTTP_FORBIDDEN
}

function describeStatus(status: number): string {
  if (status === HTTP_NOT_FOUND) return '404: there is no such file, or no TUF repository'
  return status >= 300 && status < 400 ? `${status}: redirects are not followed` : String(status)
}
