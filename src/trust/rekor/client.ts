import { EvidenceError } from '../../verify/evidence-error.ts'
import { parseJson } from '../../verify/json.ts'
import { entryInLogEntry, type ReadLogEntry } from '../../verify/log-entry-json.ts'
import { TrustError } from '../trust-error.ts'
import type { LogAnswer, LogRequest, SendToLog } from './send.ts'

/**
 * One Rekor v1 log (rekor openapi.yaml). Every method rejects with TrustError: `unavailable` where the log did not
 * answer, or not in time; `refused` where what it answered is no answer to the question. "There is none" is a result.
 * Entries are bound to their UUID and nothing more: the verifier decides what they prove.
 */
export type RekorClient = {
  /** The entries that the log would have made of this ProposedEntry (JSON), which it refuses to look at where it is bad. */
  findProposed(proposal: string, signal: AbortSignal): Promise<readonly ReadLogEntry[]>
  /** `uuid`: 64 or 80 hex digits. */
  getByUuid(uuid: string, signal: AbortSignal): Promise<ReadLogEntry | undefined>
  getByIndex(logIndex: string, signal: AbortSignal): Promise<ReadLogEntry | undefined>
  /** Entries that the log's index knows under `sha256:<hex>`, at most 20 of them: anyone can add to that list. */
  search(digest: string, signal: AbortSignal): Promise<readonly ReadLogEntry[]>
}

export type RekorClientOptions = {
  /** `https://rekor.sigstore.dev`; a path in front of `/api/v1` is kept. */
  readonly url: string
  readonly send: SendToLog
  /** For one request, in milliseconds. Default 5,000: the public log answers in a fifth of a second. */
  readonly timeoutMs?: number
}

const TIMEOUT_MS = 5_000
/** Rekor takes at most this many in one question (openapi.yaml, SearchLogQuery). */
const ASKED_AT_ONCE_MAX = 10
const SEARCHED_MAX = 20
/** Of one proposal: a log has one, and one more where it was logged again after a change of shard. */
const FOUND_MAX = 4

const UUID = /^(?:[0-9a-f]{16})?[0-9a-f]{64}$/
const LATER: ReadonlySet<number> = new Set([408, 425, 429])

const NOT_THERE: readonly number[] = [404]
/** The log looks at a proposal before it searches: one whose signature does not verify was never logged. */
const NOT_LOGGABLE: readonly number[] = [400, 422]

/** One question: the parsed answer, or undefined where the status says that there is no such thing. */
type Ask = (request: LogRequest, absent: readonly number[], signal: AbortSignal) => Promise<unknown>

export function createRekorClient(options: RekorClientOptions): RekorClient {
  const base = options.url.replace(/\/+$/, '')
  const host = new URL(base).host
  const ask = createAsk(options, host)
  const entries = `${base}/api/v1/log/entries`
  const post = (url: string, body: string): LogRequest => ({ method: 'POST', url: new URL(url), body })

  const one = async (url: string, signal: AbortSignal): Promise<ReadLogEntry | undefined> => {
    const value = await ask({ method: 'GET', url: new URL(url) }, NOT_THERE, signal)
    if (value === undefined) return undefined
    return reading(host, () => entryInLogEntry(value))
  }
  const byUuids = async (uuids: readonly string[], signal: AbortSignal): Promise<readonly ReadLogEntry[]> => {
    const body = JSON.stringify({ entryUUIDs: uuids })
    const value = await ask(post(`${entries}/retrieve`, body), NOT_THERE, signal)
    const found = listOf(host, value, ASKED_AT_ONCE_MAX)
    const asked = new Set(uuids.map((uuid) => uuid.slice(-64)))
    if (found.some(({ leafHash }) => !asked.has(leafHash))) throw another(host)
    return found
  }

  return {
    findProposed: async (proposal, signal) => {
      const body = `{"entries":[${proposal}]}`
      return listOf(host, await ask(post(`${entries}/retrieve`, body), NOT_LOGGABLE, signal), FOUND_MAX)
    },
    getByUuid: async (uuid, signal) => {
      if (!UUID.test(uuid)) return undefined
      const found = await one(`${entries}/${uuid}`, signal)
      if (found !== undefined && found.leafHash !== uuid.slice(-64)) throw another(host)
      return found
    },
    getByIndex: async (logIndex, signal) => {
      if (!/^(?:0|[1-9]\d{0,15})$/.test(logIndex)) return undefined
      const found = await one(`${entries}?logIndex=${logIndex}`, signal)
      if (found !== undefined && found.logIndex !== logIndex) throw another(host)
      return found
    },
    search: async (digest, signal) => {
      const request = post(`${base}/api/v1/index/retrieve`, JSON.stringify({ hash: digest }))
      const uuids = uuidsIn(host, await ask(request, [], signal)).slice(0, SEARCHED_MAX)
      const found: ReadLogEntry[] = []
      for (let start = 0; start < uuids.length; start += ASKED_AT_ONCE_MAX) {
        // oxlint-disable-next-line no-await-in-loop -- at most twice, and the log is not hurried
        found.push(...(await byUuids(uuids.slice(start, start + ASKED_AT_ONCE_MAX), signal)))
      }
      return found
    },
  }
}

function createAsk({ send, timeoutMs = TIMEOUT_MS }: RekorClientOptions, host: string): Ask {
  const answerTo = async (request: LogRequest, signal: AbortSignal): Promise<LogAnswer> => {
    const timeout = AbortSignal.timeout(timeoutMs)
    try {
      return await send(request, AbortSignal.any([signal, timeout]))
    } catch (cause) {
      if (cause instanceof TrustError) throw cause
      const why = timeout.aborted ? `no answer within ${timeoutMs} ms` : reasonOf(cause)
      throw new TrustError('unavailable', `log ${host}: ${why}`, cause)
    }
  }
  return async (request, absent, signal) => {
    const { status, body, whole } = await answerTo(request, signal)
    if (absent.includes(status)) return undefined
    if (status >= 500 || LATER.has(status))
      throw new TrustError('unavailable', `log ${host} answered ${status}`)
    if (status !== 200) throw new TrustError('refused', `log ${host} answered ${status}`)
    if (!whole) throw new TrustError('refused', `log ${host} answered too much`)
    return reading(host, () => parseJson(body, 'answer'))
  }
}

function another(host: string): TrustError {
  return new TrustError('refused', `log ${host} answered with another entry than the one asked for`)
}

/** What the log sent is its own fault, whatever is wrong with it. */
function reading<T>(host: string, read: () => T): T {
  try {
    return read()
  } catch (cause) {
    if (!(cause instanceof EvidenceError)) throw cause
    throw new TrustError('refused', `log ${host}: ${cause.message}`, cause)
  }
}

/** An array of LogEntry objects with an entry each; anything beyond `max` is not looked at. */
function listOf(host: string, value: unknown, max: number): readonly ReadLogEntry[] {
  if (value === undefined) return []
  if (!Array.isArray(value)) throw new TrustError('refused', `log ${host} answered no list of entries`)
  return reading(host, () => value.slice(0, max).map(entryInLogEntry))
}

function uuidsIn(host: string, value: unknown): readonly string[] {
  const isList = Array.isArray(value) && value.every((item) => typeof item === 'string' && UUID.test(item))
  if (!isList) throw new TrustError('refused', `index of log ${host} answered no list of UUIDs`)
  return value
}

function reasonOf(cause: unknown): string {
  if (!(cause instanceof Error)) return 'no answer'
  // undici hides the system's code in `code`, and names aborts.
  const code = 'code' in cause && typeof cause.code === 'string' ? ` (${cause.code})` : ''
  return `no answer${code === '' ? `: ${cause.message}` : code}`
}
