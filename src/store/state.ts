import type { Digest } from '../oci/digest.ts'
import type { Repository } from '../oci/reference.ts'
import { createAdmissions } from './admissions.ts'
import { openDatabase, openingFailure, type Database } from './database.ts'
import { createClosures } from './closures.ts'
import { createDecisions } from './decisions.ts'
import { storeError, type StoreError } from './error.ts'
import { createEvidence } from './evidence.ts'
import { createManifestFacts, createMemberFacts, createTagFacts } from './facts.ts'
import { createFindings } from './findings.ts'
import { STATE_LIMITS, type StateLimits } from './limits.ts'
import { createLogEntries } from './log-entries.ts'
import { checkRecords } from './records.ts'
import { createPromotions, createStages } from './rollout.ts'
import { createSatisfied } from './satisfied.ts'
import { createSightings } from './sightings.ts'
import type { StateStore } from './types.ts'
import { createUses, type Uses } from './uses.ts'

export type StateStoreOptions = Partial<StateLimits> & {
  now: () => Date
  /** Whether another process has the database open and has read every record. */
  isChecked?: boolean
  /** Told of every cached fact that could not be read or written. Such a fact counts as not known. */
  onError: (error: StoreError) => void
}

/** Records. They are durable or they throw. */
type Durable = Pick<
  StateStore,
  | 'recordDecision'
  | 'wasRefused'
  | 'countDecision'
  | 'decisions'
  | 'admitOpen'
  | 'openAdmissions'
  | 'closeAdmission'
  | 'admissions'
  | 'recordPromotion'
  | 'promotions'
>
/** What is counted and when it began: written or thrown, for the caller to lose or to keep. */
type Counted = Pick<StateStore, 'noteSightings' | 'sightings' | 'rolloutStages' | 'changeRolloutStages'>
type Cached = Omit<StateStore, keyof Durable | keyof Counted | 'noteUse' | 'close'>

/**
 * State in SQLite. Records throw StoreError where the disk refuses them. Everything else is a cache: where the disk
 * refuses it, it is reported and kept in memory until the process ends, so that a full disk stops no pull half way.
 * Throws StoreError `damaged` where a record is no longer what was written.
 */
export function createStateStore(database: Database, options: StateStoreOptions): StateStore {
  const { facts, records, counts } = openTables(database, options)
  return {
    noteUse: (...image) => facts.noteUse(...image),
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
    noteSatisfied: (fact) => facts.write((cached) => cached.noteSatisfied(fact)),
    lastSatisfied: (fact) => facts.read(undefined, (cached) => cached.lastSatisfied(fact), latest),
    getLogEntry: (...key) => facts.read(undefined, (cached) => cached.getLogEntry(...key), first),
    setLogEntry: (...fact) => facts.write((cached) => cached.setLogEntry(...fact)),
    findLogEntry: (...key) => facts.read(undefined, (cached) => cached.findLogEntry(...key), first),
    setFindings: (...fact) => facts.write((cached) => cached.setFindings(...fact)),
    getFindings: (...key) => facts.read(undefined, (cached) => cached.getFindings(...key), first),
    ...counts,
    ...records,
    close() {
      facts.close()
      database.close()
    },
  }
}

function openTables(
  database: Database,
  options: StateStoreOptions,
): { facts: CachedFacts; records: Durable; counts: Counted } {
  try {
    if (options.isChecked !== true) checkRecords(database)
    const { onError, sightingRowsMax: rowsMax = STATE_LIMITS.sightingRowsMax } = options
    return {
      records: { ...createDecisions(database), ...createAdmissions(database), ...createPromotions(database) },
      counts: { ...createSightings(database, { rowsMax, onError }), ...createStages(database, { onError }) },
      facts: new CachedFacts(database, options),
    }
  } catch (error) {
    throw openingFailure(database.location() ?? ':memory:', error)
  }
}

/** Facts on disk and, once the disk has refused one, those that it refused. */
class CachedFacts {
  readonly #options: StateStoreOptions
  readonly #stored: Cached
  readonly #uses: Uses
  #overflow: { readonly database: Database; readonly cached: Cached } | undefined

  constructor(database: Database, options: StateStoreOptions) {
    this.#options = options
    this.#stored = createCached(database, options)
    const parentsOf = this.#stored.parentsOfManifest
    this.#uses = createUses(database, { now: options.now, parentsOf })
  }

  noteUse(repository: Repository, digest: Digest): void {
    this.#attempt('cannot note a use', undefined, () => this.#uses.note(repository, digest))
  }

  read<T>(unknown: T, ask: (cached: Cached) => T, merge: (stored: T, overflow: T) => T): T {
    const found = this.#attempt('cannot read state', unknown, () => ask(this.#stored))
    return this.#overflow === undefined ? found : merge(found, ask(this.#overflow.cached))
  }

  write(tell: (cached: Cached) => void): void {
    this.#flushUses()
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
    this.#flushUses()
    this.#overflow?.database.close()
  }

  /** A write may evict: what is in use must be known to be by then. */
  #flushUses(): void {
    this.#attempt('cannot note a use', undefined, () => this.#uses.flush())
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

function createCached(
  database: Database,
  { now, onError, isChecked: _isChecked, ...limits }: StateStoreOptions,
): Cached {
  const max = { ...STATE_LIMITS, ...limits }
  return {
    ...createClosures(database, { now, onError, rowsMax: max.closureRowsMax }),
    ...createMemberFacts(database, { now, rowsMax: max.memberRowsMax }),
    ...createManifestFacts(database, { now, rowsMax: max.manifestRowsMax }),
    ...createTagFacts(database, { onError, rowsMax: max.tagRowsMax }),
    ...createEvidence(database, { now, onError, bytesMax: max.evidenceBytesMax }),
    ...createLogEntries(database, { now, onError, bytesMax: max.logEntryBytesMax }),
    ...createFindings(database, { now, onError, bytesMax: max.findingBytesMax }),
    ...createSatisfied(database, { now, onError, rowsMax: max.satisfiedRowsMax }),
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

const latest = newestBy((at: Date) => at)
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
