import type { Discovery } from '../discover/types.ts'
import { repositoryName } from '../oci/reference.ts'
import type { Candidate } from '../verify/types.ts'
import { bytesOf, inTransaction, integerOf, textOf, type Database } from './database.ts'
import { decodeDiscovery, encodeDiscovery } from './discovery-codec.ts'
import { StoreError } from './error.ts'
import { createTableBudget } from './table-budget.ts'
import type { StateStore } from './types.ts'
import { createUseNotes } from './use-notes.ts'

type Evidence = Pick<StateStore, 'getEvidence' | 'setEvidence'>

/** What a row takes beside its evidence: its key, once more in the index, and its checksum. */
const ROW_BYTES = 512

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
    'SELECT id, gathered_at, used_at, size, checksum, header, bytes FROM evidence WHERE repository = ? AND subject = ?',
  )
  const insert = database.prepare(
    `INSERT INTO evidence (repository, subject, gathered_at, used_at, size, checksum, header, bytes)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (repository, subject) DO NOTHING`,
  )
  const remove = database.prepare('DELETE FROM evidence WHERE id = ?')
  const removeKey = database.prepare(
    `DELETE FROM evidence WHERE repository = ? AND subject = ? AND (gathered_at <= ? OR gathered_at > ?)
     RETURNING size`,
  )
  const table = { table: 'evidence', key: ['id'], size: 'size', order: 'used_at' }
  const budget = createTableBudget(database, table, options.bytesMax, options.onError)
  const noteUse = createUseNotes(database, 'evidence', options)

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
        budget.settle(-integerOf(row, 'size'))
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
      const size = header.length + bytes.length + ROW_BYTES
      const name = repositoryName(repository)
      const usedAtMs = options.now().getTime()
      const change = inTransaction(database, () => {
        // What another process has gathered later stays, unless its clock was wrong: that lies ahead.
        const replaced = removeKey.get(name, subject, gatheredAt.getTime(), usedAtMs)
        const freed = replaced === undefined ? 0 : integerOf(replaced, 'size')
        // Too large to keep: the older answer must not stay in its place.
        if (size > options.bytesMax) return -freed
        const values = [name, subject, gatheredAt.getTime(), usedAtMs, size, checksum, header, bytes]
        return Number(insert.run(...values).changes) * size - freed
      })
      budget.settle(change)
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
  const annotations = candidate.form === 'bundle' ? [] : Object.values(candidate.annotations)
  const texts = [...annotations, ...(candidate.logEntries ?? [])]
  return texts.reduce((sum, text) => sum + text.length, candidate.bytes.length)
}
