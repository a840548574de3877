import { createLru } from '../lru.ts'
import type { Digest } from '../oci/digest.ts'
import { repositoryName, type Repository } from '../oci/reference.ts'
import { inDurableTransaction, integerOf, textOf, type Database } from './database.ts'
import { digestBytes } from './digest-column.ts'
import { attempt, storeError, type StoreError } from './error.ts'

/** What a process asks of a database that others write too, before it goes by what it remembers. */
export type SharedState = {
  /**
   * Another text when more speaks for the image than before: it satisfied a policy, perhaps again, or an index that names
   * it was let through. What was held against it until then may not count any more. A microsecond or two while nobody writes.
   */
  readonly supportFor: (repository: Repository, digest: Digest) => string
  /** Another text when an image was admitted open, or one that had been was judged. Throws StoreError. */
  readonly admissionsStamp: () => string
  /** All of `work` on what is true now: nobody writes meanwhile. Durable when it returns. Throws what `work` throws. */
  readonly exclusively: <T>(work: () => T) => T
}

type Known = { readonly revision: number; readonly support: string }

/** Images that policies refuse, or would: some 300 bytes each. */
const KNOWN_MAX = 10_000
/** Indexes of one image that are counted; nearly always there is one. */
const INDEXES_MAX = 65

export type SharedStateOptions = {
  /** Told of what could not be read where the answer goes on without. */
  readonly onError: (error: StoreError) => void
  /** Writes the facts that wait. */
  readonly flush: () => void
}

export function createSharedState(database: Database, { onError, flush }: SharedStateOptions): SharedState {
  const revision = database.prepare('PRAGMA data_version')
  const support = database.prepare(
    `SELECT (SELECT count(*) || ' ' || coalesce(max(at), 0)
             FROM satisfied WHERE repository = :name AND digest = :digest) || ' '
       || (SELECT count(*) FROM (
            SELECT 1 FROM closure WHERE digest = :named AND kind = 'child'
              AND repository = (SELECT id FROM repository WHERE name = :name) LIMIT ${INDEXES_MAX})) AS support`,
  )
  const admissions = database.prepare(
    `SELECT (SELECT coalesce(max(id), 0) FROM admission) AS newest,
            (SELECT count(*) FROM admission WHERE verdict IS NULL) AS waiting`,
  )
  const known = createLru<string, Known>(KNOWN_MAX)

  /** SQLite: changes when another connection has committed (https://sqlite.org/pragma.html#pragma_data_version). */
  function revisionNow(): number {
    const row = revision.get()
    return row === undefined ? 0 : integerOf(row, 'data_version')
  }

  return {
    supportFor(repository, digest) {
      const name = repositoryName(repository)
      const key = `${name}@${digest}`
      const before = known.get(key)
      try {
        const now = revisionNow()
        if (before?.revision === now) return before.support
        const row = support.get({ name, digest, named: digestBytes(digest) })
        const found = row === undefined ? '' : textOf(row, 'support')
        known.set(key, { revision: now, support: found })
        return found
      } catch (error) {
        // What is remembered counts on, as where nobody else writes.
        onError(storeError('cannot read state', error))
        return before?.support ?? ''
      }
    },
    admissionsStamp: () =>
      attempt('cannot read admissions', () => {
        const row = admissions.get()
        return row === undefined ? '' : `${integerOf(row, 'newest')} ${integerOf(row, 'waiting')}`
      }),
    exclusively(work) {
      // On the medium with it, and not lost with it where it is rolled back.
      flush()
      return attempt('cannot write state', () => inDurableTransaction(database, work))
    },
  }
}
