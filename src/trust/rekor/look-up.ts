import { shareFlight } from '../../flight.ts'
import { createLru, type Lru } from '../../lru.ts'
import { Semaphore } from '../../upstream/semaphore.ts'
import { EvidenceError } from '../../verify/evidence-error.ts'
import { readLogEntry, type ReadLogEntry } from '../../verify/log-entry-json.ts'
import { isAbout } from '../../verify/log-query.ts'
import type { Unlogged } from '../../verify/types.ts'
import { TrustError } from '../trust-error.ts'
import type { RekorClient } from './client.ts'
import { proposedLeafHash } from './proposed-leaf.ts'

export type LookUpResult =
  /** The earliest first; bound to their UUIDs and about the signature, by their own word. */
  | { readonly kind: 'found'; readonly entries: readonly ReadLogEntry[]; readonly isKept?: boolean }
  /** The log answered, and has no such entry. A fact, for a short while. */
  | { readonly kind: 'absent' }
  /** `unavailable` or `refused`: nobody knows. */
  | { readonly kind: 'failed'; readonly error: TrustError }

/** One question to a log, asked or answered from memory: fields from closed sets. */
export type LookUpEvent = {
  /** Name of the trust root. */
  readonly log: string
  readonly result: 'found' | 'absent' | 'kept' | 'remembered' | 'unavailable' | 'refused'
}

export type LookUpOptions = {
  /** By the name of the trust root whose entries they keep. */
  readonly logs: ReadonlyMap<string, RekorClient>
  /** The JSON of an entry that was verified before, by the name of its trust root and its leaf hash. */
  readonly kept?: (log: string, leafHash: string) => string | undefined
  /** Milliseconds, monotonic. */
  readonly elapsed: () => number
  /** Ends one look-up with all its requests. */
  readonly limit: () => AbortSignal
  /** How long "no such entry" is believed, in milliseconds. Default 60,000: signers log within seconds of signing. */
  readonly absentTtlMs?: number
  readonly onEvent?: (event: LookUpEvent) => void
}

const ABSENT_TTL_MS = 60_000
const ABSENT_MAX = 10_000
/** Look-ups at a time, of all images together: the public log counts requests by address. */
const PARALLEL_MAX = 8

/** Asks logs for the entries of signatures that came without one. One question at a time for whoever asks the same. */
export class LogLookUp {
  readonly #options: LookUpOptions
  readonly #absent: Lru<string, number>
  readonly #flights = new Map<string, Promise<LookUpResult>>()
  readonly #slots = new Semaphore(PARALLEL_MAX)

  constructor(options: LookUpOptions) {
    this.#options = options
    this.#absent = createLru(ABSENT_MAX)
  }

  /** Whether a log is there to be asked. */
  has(trustRoot: string): boolean {
    return this.#options.logs.has(trustRoot)
  }

  /** What is kept, else what the log says. Never rejects for what a log does. */
  async find(about: Pick<Unlogged, 'trustRoot' | 'query'>): Promise<LookUpResult> {
    const { trustRoot, query } = about
    const entry = this.has(trustRoot) ? this.#kept(trustRoot, query) : undefined
    if (entry === undefined) return await this.ask(about)
    this.#options.onEvent?.({ log: trustRoot, result: 'kept' })
    return { kind: 'found', entries: [entry], isKept: true }
  }

  /** What the log says, whatever is kept. Never rejects for what a log does. */
  async ask({ trustRoot, query }: Pick<Unlogged, 'trustRoot' | 'query'>): Promise<LookUpResult> {
    const log = this.#options.logs.get(trustRoot)
    if (log === undefined) return { kind: 'absent' }
    // With the wording: whoever pushes a copy in other words must not have the answer to it taken for this one's.
    const question = `${trustRoot} ${query.id} ${query.wording}`
    const until = this.#absent.get(question)
    if (until !== undefined && until > this.#options.elapsed()) {
      this.#options.onEvent?.({ log: trustRoot, result: 'remembered' })
      return { kind: 'absent' }
    }
    return await shareFlight(this.#flights, question, async () => {
      const result = await this.#ask(log, query)
      const { absentTtlMs = ABSENT_TTL_MS, elapsed, onEvent } = this.#options
      if (result.kind === 'absent') this.#absent.set(question, elapsed() + absentTtlMs)
      onEvent?.({ log: trustRoot, result: resultName(result) })
      return result
    })
  }

  /** For another repository with the same image, or where the evidence with the entry in it was dropped. */
  #kept(trustRoot: string, query: Unlogged['query']): ReadLogEntry | undefined {
    const { kept } = this.#options
    if (kept === undefined) return undefined
    for (const proposal of query.proposals) {
      const json = kept(trustRoot, proposedLeafHash(JSON.parse(proposal)) ?? '')
      const entry = json === undefined ? undefined : readKept(json)
      if (entry !== undefined && isAbout(query, entry.entry)) return entry
    }
    return undefined
  }

  async #ask(log: RekorClient, query: Unlogged['query']): Promise<LookUpResult> {
    const signal = this.#options.limit()
    try {
      const release = await this.#slots.acquire(signal)
      try {
        const entries = await entriesFor(log, query, signal)
        return entries.length === 0 ? { kind: 'absent' } : { kind: 'found', entries }
      } finally {
        release()
      }
    } catch (cause) {
      if (cause instanceof TrustError) return { kind: 'failed', error: cause }
      const message = cause instanceof Error ? cause.message : 'the log could not be asked'
      return { kind: 'failed', error: new TrustError('unavailable', message, cause) }
    }
  }
}

async function entriesFor(
  log: RekorClient,
  query: Unlogged['query'],
  signal: AbortSignal,
): Promise<readonly ReadLogEntry[]> {
  for (const proposal of query.proposals) {
    // oxlint-disable-next-line no-await-in-loop -- the likeliest first, and nearly always it is the one
    const found = await log.findProposed(proposal, signal)
    if (found.some(({ entry }) => !isAbout(query, entry)))
      throw new TrustError('refused', 'the log answered with an entry of another signature')
    if (found.length > 0) return earliestFirst(found)
  }
  if (query.isExact || query.indexedBy === undefined) return []
  // Anyone may have logged the same content: those entries are no answer, and no fault of the log.
  const found = await log.search(query.indexedBy, signal)
  return earliestFirst(found.filter(({ entry }) => isAbout(query, entry)))
}

function earliestFirst(entries: readonly ReadLogEntry[]): readonly ReadLogEntry[] {
  return entries.toSorted((a, b) => Number(a.entry.integratedTime) - Number(b.entry.integratedTime))
}

/** What is kept may be damaged, and is then had anew. */
function readKept(json: string): ReadLogEntry | undefined {
  try {
    return readLogEntry(json)
  } catch (error) {
    if (error instanceof EvidenceError) return undefined
    throw error
  }
}

function resultName(result: LookUpResult): LookUpEvent['result'] {
  if (result.kind !== 'failed') return result.kind
  return result.error.code === 'unavailable' ? 'unavailable' : 'refused'
}
