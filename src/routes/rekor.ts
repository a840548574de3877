import type { IncomingMessage } from 'node:http'
import type { Answer } from '../http/answer.ts'
import { readBody } from '../http/body.ts'
import type { StateStore } from '../store/types.ts'
import { proposedLeafHash } from '../trust/rekor/proposed-leaf.ts'
import { EvidenceError } from '../verify/evidence-error.ts'
import { isRecord, listAt, parseJson } from '../verify/json.ts'
import { promisedIndex, readLogEntry } from '../verify/log-entry-json.ts'

export type LogEntryRequest = {
  readonly method: 'GET' | 'HEAD' | 'POST'
  /** As it came: `/rekor/<trust root>/api/v1/log/entries/<uuid>`. */
  readonly target: string
  /** Of POST: at most LOG_QUERY_BYTES_MAX. */
  readonly body?: Buffer
}

/**
 * An attestation of 60 KiB, and what JSON makes of it; a build's provenance has 10. Anybody may ask, and this is parsed
 * between other people's requests: 128 KiB of the worst take 5 to 10 ms.
 */
export const LOG_QUERY_BYTES_MAX = 128 * 1024

/** The name of a trust root, then Rekor's own path, of which one spelling is known. */
const TARGET =
  /^\/rekor\/([a-z0-9][a-z0-9-]{0,62})\/api\/v1\/log\/entries(?:\/(retrieve|[0-9a-f]{64}|[0-9a-f]{80})|\?logIndex=(0|[1-9]\d{0,15}))?$/
/** rekor openapi.yaml, SearchLogQuery. */
const ASKED_AT_ONCE_MAX = 10
const UUID = /^(?:[0-9a-f]{16})?[0-9a-f]{64}$/
const LOG_INDEX = /^(?:0|[1-9]\d{0,15})$/

export type LogEntries = Pick<StateStore, 'getLogEntry' | 'findLogEntry'>

/** To search is the one question of all that comes with a body. */
export async function answerLogQuery(incoming: IncomingMessage, state: LogEntries): Promise<Answer> {
  const target = incoming.url ?? ''
  if (incoming.method !== 'POST') return answerRekor({ method: 'GET', target }, state)
  const body = await readBody(incoming, LOG_QUERY_BYTES_MAX)
  return answerRekor({ method: 'POST', target, ...(body === undefined ? {} : { body }) }, state)
}

/**
 * Rekor v1's API for reading, answered from the entries that were looked up and verified before; nothing is asked of
 * anybody. What is not among them is 404 in Rekor's own words, and to retrieve is not to find it.
 */
export function answerRekor({ method, target, body }: LogEntryRequest, state: LogEntries): Answer {
  const [, log = '', last = '', index = ''] = TARGET.exec(target) ?? []
  if (last === 'retrieve')
    return method === 'POST' ? retrieve(log, body, state) : failure(405, 'ask by POST', { allow: 'POST' })
  // Also what would add an entry, which is for the log itself.
  if (method === 'POST') return failure(405, 'this is a read-only copy', { allow: 'GET, HEAD' })
  return one(last === '' ? byIndex(log, index, state) : byUuid(log, last, state))
}

function one(json: string | undefined): Answer {
  if (json === undefined) return failure(404, 'no such entry in this copy of the log')
  return { status: 200, headers: headersOf(json), body: Buffer.from(json) }
}

function byIndex(log: string, index: string, state: LogEntries): string | undefined {
  if (!LOG_INDEX.test(index)) return undefined
  const json = state.findLogEntry(log, index)?.json
  return json === undefined ? undefined : wholeEntry(json, (entry) => promisedIndex(entry) === index)
}

/** With the tree's id in front, that must be the one that the log gave; nobody has signed it. */
function byUuid(log: string, uuid: string, state: LogEntries): string | undefined {
  if (!UUID.test(uuid)) return undefined
  const json = state.getLogEntry(log, uuid.slice(-64))
  return json === undefined ? undefined : wholeEntry(json, (entry) => entry.uuid.endsWith(uuid))
}

/** Read again before it leaves: others rely on it. */
function wholeEntry(
  json: string,
  isIt: (entry: ReturnType<typeof readLogEntry>) => boolean,
): string | undefined {
  try {
    return isIt(readLogEntry(json)) ? json : undefined
  } catch (error) {
    if (error instanceof EvidenceError) return undefined
    throw error
  }
}

function retrieve(log: string, body: Buffer | undefined, state: LogEntries): Answer {
  const question = readQuestion(body)
  if (question === undefined) return failure(400, 'not a question that Rekor knows')
  const indexes = listAt(question, 'logIndexes')
  const uuids = listAt(question, 'entryUUIDs')
  const proposals = listAt(question, 'entries')
  if (indexes.length + uuids.length + proposals.length > ASKED_AT_ONCE_MAX)
    return failure(422, `more than ${ASKED_AT_ONCE_MAX} entries asked for at once`)
  const found = [
    ...indexes.map((index) => byIndex(log, wordOf(index), state)),
    ...uuids.map((uuid) => byUuid(log, wordOf(uuid), state)),
    ...proposals.map((proposal) => byUuid(log, proposedLeafHash(proposal) ?? '', state)),
  ]
  const json = `[${found.filter((entry) => entry !== undefined).join(',')}]`
  return { status: 200, headers: headersOf(json), body: Buffer.from(json) }
}

/** What is neither number nor text asks for nothing, and need not be one that can be written. */
function wordOf(value: unknown): string {
  if (typeof value === 'string') return value
  return typeof value === 'number' ? String(value) : ''
}

function readQuestion(body: Buffer | undefined): unknown {
  if (body === undefined || body.length > LOG_QUERY_BYTES_MAX) return undefined
  try {
    const question = parseJson(body, 'question')
    return isRecord(question) ? question : undefined
  } catch (error) {
    if (error instanceof EvidenceError) return undefined
    throw error
  }
}

/** rekor openapi.yaml, Error. */
function failure(status: number, message: string, headers: Readonly<Record<string, string>> = {}): Answer {
  const json = JSON.stringify({ code: status, message })
  return { status, headers: { ...headersOf(json), ...headers }, body: Buffer.from(json) }
}

function headersOf(json: string): Record<string, string> {
  return { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(json)) }
}
