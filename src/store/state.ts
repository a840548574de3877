import { repositoryName, type Repository } from '../oci/reference.ts'
import { createAdmissions } from './admissions.ts'
import { CachedFacts, type Later } from './cached-facts.ts'
import { openingFailure, type Database } from './database.ts'
import { createClosures } from './closures.ts'
import { createDecisions } from './decisions.ts'
import type { StoreError } from './error.ts'
import { createEvidence } from './evidence.ts'
import { createManifestFacts, createMemberFacts, createTagFacts } from './facts.ts'
import { createFindings } from './findings.ts'
import { STATE_LIMITS, type StateLimits } from './limits.ts'
import { createLogEntries } from './log-entries.ts'
import { checkRecords } from './records.ts'
import { createPromotions, createStages } from './rollout.ts'
import { createSatisfied } from './satisfied.ts'
import { createSightings } from './sightings.ts'
import type { SatisfiedFact, StateStore } from './types.ts'
import { createUses } from './uses.ts'

export type StateStoreOptions = Partial<StateLimits> & {
  now: () => Date
  /** Whether another process has the database open and has read every record. */
  isChecked?: boolean
  /** Told of every cached fact that could not be read or written. Such a fact counts as not known. */
  onError: (error: StoreError) => void
  /** When facts are written that are written with others. Absent: each at once, by itself. */
  later?: Later
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
type Cached = Omit<StateStore, keyof Durable | keyof Counted | 'noteUse' | 'written' | 'flush' | 'close'>

/**
 * State in SQLite. Records throw StoreError where the disk refuses them. Everything else is a cache: where the disk
 * refuses it, it is reported and kept in memory until the process ends, so that a full disk stops no pull half way.
 * Throws StoreError `damaged` where a record is no longer what was written.
 */
export function createStateStore(database: Database, options: StateStoreOptions): StateStore {
  const { facts, records, counts } = openTables(database, options)
  return {
    noteUse: (...image) => facts.noteUse(...image),
    addClosure: (...fact) => facts.writeLater(closuresOf(fact[0]), (cached) => cached.addClosure(...fact)),
    parentsOfManifest: (...key) =>
      facts.read([], (cached) => cached.parentsOfManifest(...key), newestFirst, closuresOf(key[0])),
    parentsOfBlob: (...key) =>
      facts.read([], (cached) => cached.parentsOfBlob(...key), newestFirst, closuresOf(key[0])),
    evidenceParentsOfBlob: (...key) =>
      facts.read([], (cached) => cached.evidenceParentsOfBlob(...key), newestFirst, closuresOf(key[0])),
    addBlob: (...fact) => facts.write((cached) => cached.addBlob(...fact)),
    hasBlob: (...key) => facts.read(false, (cached) => cached.hasBlob(...key), either),
    manifestType: (...key) =>
      facts.read(undefined, (cached) => cached.manifestType(...key), first, about('manifest', ...key)),
    addManifest: (...fact) =>
      facts.writeLater(about('manifest', fact[0], fact[1]), (cached) => cached.addManifest(...fact)),
    isManifest: (digest) => facts.read(false, (cached) => cached.isManifest(digest), either),
    getTag: (...key) => facts.read(undefined, (cached) => cached.getTag(...key), newestTag, 'tag'),
    // At once: one that waits would come back after another process has dropped it.
    setTag: (...fact) => facts.writeBeside((cached) => cached.setTag(...fact)),
    dropTag: (...key) => facts.writeEverywhere((cached) => cached.dropTag(...key)),
    getEvidence: (...key) =>
      facts.read(
        undefined,
        (cached) => cached.getEvidence(...key),
        newestEvidence,
        about('evidence', ...key),
      ),
    setEvidence: (...fact) =>
      facts.writeLater(about('evidence', fact[0], fact[1]), (cached) => cached.setEvidence(...fact)),
    noteSatisfied: (fact) => facts.writeLater(satisfiedOf(fact), (cached) => cached.noteSatisfied(fact)),
    lastSatisfied: (fact) =>
      facts.read(undefined, (cached) => cached.lastSatisfied(fact), latest, satisfiedOf(fact)),
    getLogEntry: (...key) => facts.read(undefined, (cached) => cached.getLogEntry(...key), first),
    setLogEntry: (...fact) => facts.write((cached) => cached.setLogEntry(...fact)),
    findLogEntry: (...key) => facts.read(undefined, (cached) => cached.findLogEntry(...key), first),
    setFindings: (...fact) =>
      facts.writeLater(about('findings', fact[0], fact[1]), (cached) => cached.setFindings(...fact)),
    getFindings: (...key) =>
      facts.read(undefined, (cached) => cached.getFindings(...key), first, about('findings', ...key)),
    written: () => facts.written(),
    flush: () => facts.flush(),
    ...counts,
    ...recordsAfter(() => facts.flush(), records),
    close() {
      facts.close()
      database.close()
    },
  }
}

/** On the medium before a record is what was known when it was made: a violation ends what satisfied a policy before. */
function recordsAfter(flush: () => void, records: Durable): Durable {
  return {
    ...records,
    recordDecision(decision) {
      flush()
      return records.recordDecision(decision)
    },
    admitOpen(admission) {
      flush()
      records.admitOpen(admission)
    },
    closeAdmission(...finding) {
      flush()
      records.closeAdmission(...finding)
    },
  }
}

function about(kind: string, repository: Repository, name: string): string {
  return `${kind} ${repositoryName(repository)} ${name}`
}

/** A closure is about everything that it names. */
function closuresOf(repository: Repository): string {
  return about('closure', repository, '')
}

function satisfiedOf({ repository, digest, policy, policyVersion }: Omit<SatisfiedFact, 'at'>): string {
  return about('satisfied', repository, `${digest} ${policy} ${policyVersion}`)
}

function openTables(
  database: Database,
  options: StateStoreOptions,
): { facts: CachedFacts<Cached>; records: Durable; counts: Counted } {
  try {
    if (options.isChecked !== true) checkRecords(database)
    const { onError, sightingRowsMax: rowsMax = STATE_LIMITS.sightingRowsMax } = options
    return {
      records: { ...createDecisions(database), ...createAdmissions(database), ...createPromotions(database) },
      counts: { ...createSightings(database, { rowsMax, onError }), ...createStages(database, { onError }) },
      facts: openFacts(database, options),
    }
  } catch (error) {
    throw openingFailure(database.location() ?? ':memory:', error)
  }
}

function openFacts(database: Database, options: StateStoreOptions): CachedFacts<Cached> {
  const stored = createCached(database, options)
  const uses = createUses(database, { now: options.now, parentsOf: stored.parentsOfManifest })
  const { onError, later } = options
  const openOverflow = (spare: Database): Cached => createCached(spare, options)
  return new CachedFacts({ database, stored, uses, onError, later, openOverflow })
}

function createCached(
  database: Database,
  { now, onError, isChecked: _isChecked, later: _later, ...limits }: StateStoreOptions,
): Cached {
  const max = { ...STATE_LIMITS, ...limits }
  return {
    ...createClosures(database, { now, onError, rowsMax: max.closureRowsMax }),
    ...createMemberFacts(database, { now, onError, rowsMax: max.memberRowsMax }),
    ...createManifestFacts(database, { now, onError, rowsMax: max.manifestRowsMax }),
    ...createTagFacts(database, { now, onError, rowsMax: max.tagRowsMax }),
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
