import { openDatabase, type Database } from './database.ts'
import { createDecisions } from './decisions.ts'
import { storeError, type StoreError } from './error.ts'
import { createEvidence } from './evidence.ts'
import { createClosureFacts, createManifestFacts, createTagFacts } from './facts.ts'
import type { StateStore } from './types.ts'

export type StateStoreOptions = {
  now: () => Date
  /** Default 256 MiB: a signed image needs 10 to 100 KiB. Only evidence counts; decisions are never evicted. */
  evidenceBytesMax?: number
  /** Told of every cached fact that could not be read or written. Such a fact counts as not known. */
  onError: (error: StoreError) => void
}

const EVIDENCE_BYTES_MAX = 256 * 1024 * 1024

type Cached = Omit<StateStore, 'recordDecision' | 'decisions' | 'countDecision' | 'close'>

/**
 * State in SQLite. Decisions throw StoreError where the disk refuses them. Everything else is a cache: where the disk
 * refuses it, it is reported and kept in memory until the process ends, so that a full disk stops no pull half way.
 */
export function createStateStore(database: Database, options: StateStoreOptions): StateStore {
  const facts = new CachedFacts(database, options)
  return {
    addClosure: (...fact) => facts.write((cached) => cached.addClosure(...fact)),
    parentsOfManifest: (...key) => facts.read([], (cached) => cached.parentsOfManifest(...key), newestFirst),
    parentsOfBlob: (...key) => facts.read([], (cached) => cached.parentsOfBlob(...key), newestFirst),
    evidenceParentsOfBlob: (...key) =>
      facts.read([], (cached) => cached.evidenceParentsOfBlob(...key), newestFirst),
    addBlob: (...fact) => facts.write((cached) => cached.addBlob(...fact)),
    hasBlob: (...key) => facts.read(false, (cached) => cached.hasBlob(...key), either),
    manifestType: (...key) => facts.read(undefined, (cached) => cached.manifestType(...key), first),
    addManifest: (...fact) => facts.write((cached) => cached.addManifest(...fact)),
    isManifest: (digest) => facts.read(false, (cached) => cached.isManifest(digest), either),
    getTag: (...key) => facts.read(undefined, (cached) => cached.getTag(...key), newestTag),
    setTag: (...fact) => facts.write((cached) => cached.setTag(...fact)),
    dropTag: (...key) => facts.writeEverywhere((cached) => cached.dropTag(...key)),
    getEvidence: (...key) => facts.read(undefined, (cached) => cached.getEvidence(...key), newestEvidence),
    setEvidence: (...fact) => facts.write((cached) => cached.setEvidence(...fact)),
    ...createDecisions(database),
    close() {
      facts.close()
      database.close()
    },
  }
}

/** Facts on disk and, once the disk has refused one, those that it refused. */
class CachedFacts {
  readonly #options: StateStoreOptions
  readonly #stored: Cached
  #overflow: { readonly database: Database; readonly cached: Cached } | undefined

  constructor(database: Database, options: StateStoreOptions) {
    this.#options = options
    this.#stored = createCached(database, options)
  }

  read<T>(unknown: T, ask: (cached: Cached) => T, merge: (stored: T, overflow: T) => T): T {
    const found = this.#attempt('cannot read state', unknown, () => ask(this.#stored))
    return this.#overflow === undefined ? found : merge(found, ask(this.#overflow.cached))
  }

  write(tell: (cached: Cached) => void): void {
    const written = this.#attempt('cannot write state', false, () => {
      tell(this.#stored)
      return true
    })
    if (!written) tell(this.#openOverflow())
  }

  /** For what must be gone: a fact that only one of the two forgets would come back. */
  writeEverywhere(tell: (cached: Cached) => void): void {
    this.write(tell)
    if (this.#overflow !== undefined) tell(this.#overflow.cached)
  }

  close(): void {
    this.#overflow?.database.close()
  }

  #openOverflow(): Cached {
    if (this.#overflow === undefined) {
      const database = openDatabase(':memory:')
      this.#overflow = { database, cached: createCached(database, this.#options) }
    }
    return this.#overflow.cached
  }

  #attempt<T>(what: string, otherwise: T, work: () => T): T {
    try {
      return work()
    } catch (error) {
      this.#options.onError(storeError(what, error))
      return otherwise
    }
  }
}

function createCached(database: Database, options: StateStoreOptions): Cached {
  const { now, onError, evidenceBytesMax: bytesMax = EVIDENCE_BYTES_MAX } = options
  return {
    ...createClosureFacts(database),
    ...createManifestFacts(database),
    ...createTagFacts(database),
    ...createEvidence(database, { now, onError, bytesMax }),
  }
}

function first<T>(stored: T | undefined, overflow: T | undefined): T | undefined {
  return stored ?? overflow
}

function either(stored: boolean, overflow: boolean): boolean {
  return stored || overflow
}

function newestFirst<T>(stored: readonly T[], overflow: readonly T[]): readonly T[] {
  return overflow.length === 0 ? stored : [...new Set([...overflow, ...stored])]
}

const newestTag = newestBy((tag: { digest: unknown; checkedAt: Date }) => tag.checkedAt)
const newestEvidence = newestBy((found: { discovery: unknown; gatheredAt: Date }) => found.gatheredAt)

/** The disk may have taken a newer fact since it refused an older one. */
function newestBy<F>(
  timeOf: (fact: F) => Date,
): <T extends F>(stored: T | undefined, overflow: T | undefined) => T | undefined {
  return (stored, overflow) => {
    if (stored === undefined || overflow === undefined) return stored ?? overflow
    return timeOf(stored) >= timeOf(overflow) ? stored : overflow
  }
}
