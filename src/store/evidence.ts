import type { Discovery } from '../discover/types.ts'
import { repositoryName } from '../oci/reference.ts'
import type { Candidate } from '../verify/types.ts'
import { bytesOf, inTransaction, integerOf, textOf, type Database } from './database.ts'
import { decodeDiscovery, encodeDiscovery } from './discovery-codec.ts'
import { StoreError, storeError } from './error.ts'
import type { StateStore } from './types.ts'

type Evidence = Pick<StateStore, 'getEvidence' | 'setEvidence'>

/** A use is written down once an hour at most: reading evidence should not write. */
const USE_WRITTEN_EVERY_MS = 3_600_000
/** Rows removed a statement when the budget is passed. */
const EVICTED_AT_ONCE = 16

/**
 * Of one discovery, annotations included: reading and writing it holds the event loop for some 10 ms. A signed image
 * with an SBOM attestation needs 1 to 2 MiB. What is larger is had from upstream again.
 */
const DISCOVERY_BYTES_MAX = 2 * 1024 * 1024

/**
 * Complete discoveries by (repository, subject), the least recently used dropped beyond `bytesMax`. Of one that is over
 * its own limit the candidates that fit are kept: what is there suffices or does not, and absence is never read from it.
 */
export function createEvidence(
  database: Database,
  options: { now: () => Date; bytesMax: number; onError: (error: StoreError) => void },
): Evidence {
  const select = database.prepare(
    'SELECT id, gathered_at, used_at, checksum, header, bytes FROM evidence WHERE repository = ? AND subject = ?',
  )
  const insert = database.prepare(
    `INSERT OR REPLACE INTO evidence (repository, subject, gathered_at, used_at, size, checksum, header, bytes)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
  )
  const remove = database.prepare('DELETE FROM evidence WHERE id = ?')
  const removeKey = database.prepare('DELETE FROM evidence WHERE repository = ? AND subject = ?')
  const evict = createEviction(database, options.bytesMax)
  const noteUse = createUseNotes(database, options)

  return {
    getEvidence(repository, subject) {
      const row = select.get(repositoryName(repository), subject)
      if (row === undefined) return undefined
      const id = integerOf(row, 'id')
      const discovery = decodeDiscovery({
        header: textOf(row, 'header'),
        bytes: bytesOf(row, 'bytes'),
        checksum: textOf(row, 'checksum'),
      })
      if (discovery === undefined) {
        remove.run(id)
        options.onError(
          new StoreError('damaged', `dropped damaged evidence of ${repositoryName(repository)}@${subject}`),
        )
        return undefined
      }
      noteUse(id, integerOf(row, 'used_at'))
      return { discovery, gatheredAt: new Date(integerOf(row, 'gathered_at')) }
    },

    setEvidence(repository, subject, discovery, gatheredAt) {
      // What could not be had must never be remembered as "not there".
      if (discovery.failures.length > 0) return
      const { header, bytes, checksum } = encodeDiscovery(withinLimit(discovery))
      const size = header.length + bytes.length
      const name = repositoryName(repository)
      inTransaction(database, () => {
        // Too large to keep: the older answer must not stay in its place.
        if (size > options.bytesMax) return void removeKey.run(name, subject)
        insert.run(
          name,
          subject,
          gatheredAt.getTime(),
          options.now().getTime(),
          size,
          checksum,
          header,
          bytes,
        )
        evict()
      })
    },
  }
}

/** The first that fit, in the order in which discovery prefers them. */
function withinLimit(discovery: Discovery): Discovery {
  let left = DISCOVERY_BYTES_MAX
  const candidates = discovery.candidates.filter((candidate) => {
    const size = sizeOf(candidate)
    if (size > left) return false
    left -= size
    return true
  })
  return { ...discovery, candidates }
}

function sizeOf(candidate: Candidate): number {
  if (candidate.form === 'bundle') return candidate.bytes.length
  return Object.values(candidate.annotations).reduce((sum, text) => sum + text.length, candidate.bytes.length)
}

function createUseNotes(
  database: Database,
  options: { now: () => Date; onError: (error: StoreError) => void },
): (id: number, usedAtMs: number) => void {
  const update = database.prepare('UPDATE evidence SET used_at = ? WHERE id = ?')
  return (id, usedAtMs) => {
    const nowMs = options.now().getTime()
    if (nowMs - usedAtMs <= USE_WRITTEN_EVERY_MS) return
    try {
      update.run(nowMs, id)
    } catch (error) {
      // The evidence was read; that its use cannot be written is no reason to be without it.
      options.onError(storeError('cannot note the use of evidence', error))
    }
  }
}

function createEviction(database: Database, bytesMax: number): () => void {
  const total = database.prepare('SELECT coalesce(sum(size), 0) AS size FROM evidence')
  const oldest = database.prepare('SELECT id, size FROM evidence ORDER BY used_at, id LIMIT ?')
  const remove = database.prepare('DELETE FROM evidence WHERE id = ?')

  return () => {
    const row = total.get()
    let size = row === undefined ? 0 : integerOf(row, 'size')
    while (size > bytesMax) {
      const victims = oldest.all(EVICTED_AT_ONCE)
      if (victims.length === 0) return
      for (const victim of victims) {
        if (size <= bytesMax) return
        remove.run(integerOf(victim, 'id'))
        size -= integerOf(victim, 'size')
      }
    }
  }
}
