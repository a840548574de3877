import { TrustError } from '../trust-error.ts'
import type { TufFetcher } from './fetcher.ts'
import { describeAge, textOf } from './message.ts'
import { parseRoot, parseSnapshot, parseTargets, parseTimestamp } from './metadata.ts'

export type FailedRun = {
  readonly fetcher: TufFetcher
  /** Of the repository. */
  readonly url: string
  readonly at: Date
  /** The newest root that the client came to trust. */
  readonly root: Buffer | undefined
}

type Dated = {
  readonly signed: { readonly expires: string; readonly version: number; isExpired(at: Date): boolean }
}

const PARSERS: readonly (readonly [RegExp, (bytes: Buffer) => Dated])[] = [
  [/(?:^|\/)timestamp\.json$/, parseTimestamp],
  [/(?:^|[/.])snapshot\.json$/, parseSnapshot],
  [/(?:^|[/.])targets\.json$/, parseTargets],
]

/** What the Updater puts before the texts of others. */
const UPDATER_PREFIX = /^Unable to load \w+(?: metadata)? error (?:\w*Error: )?/

/** Why a refresh came to nothing, told from what was received: the Updater's own errors are mostly text. */
export function explainFailure(error: unknown, run: FailedRun): TrustError {
  const { fetcher, url } = run
  if (fetcher.failure !== undefined) return fetcher.failure
  if (error instanceof TrustError) return new TrustError(error.code, `${url}: ${error.message}`, error)
  const expired = expiryAmong(run)
  if (expired !== undefined) return new TrustError('refused', `${url}/${expired}`, error)
  const text = textOf(error).replace(UPDATER_PREFIX, '')
  return new TrustError('refused', `${fetcher.last ?? url}: ${text}`, error)
}

function expiryAmong({ root, fetcher, at, url }: FailedRun): string | undefined {
  const candidates: [string, Dated | undefined][] = [['root.json', root && parsed(root, parseRoot)]]
  for (const [address, bytes] of fetcher.received) {
    const parse = PARSERS.find(([pattern]) => pattern.test(address))?.[1]
    if (parse !== undefined) candidates.push([address.slice(url.length + 1), parsed(bytes, parse)])
  }
  for (const [file, metadata] of candidates) {
    if (metadata?.signed.isExpired(at) !== true) continue
    const { expires, version } = metadata.signed
    const age = describeAge(at.getTime() - new Date(expires).getTime())
    return `${file} (version ${version}) expired at ${expires}, ${age} ago: the repository is frozen or its signers are late`
  }
  return undefined
}

function parsed(bytes: Buffer, parse: (bytes: Buffer) => Dated): Dated | undefined {
  try {
    return parse(bytes)
  } catch {
    return undefined
  }
}
