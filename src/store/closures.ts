import { parseDigest, type Digest } from '../oci/digest.ts'
import { repositoryName, type Repository } from '../oci/reference.ts'
import { bytesOf, inTransaction, integerOf, textOf, type Database, type Row } from './database.ts'
import { digestBytes } from './digest-column.ts'
import { StoreError } from './error.ts'
import { createRepositoryIds } from './repository-ids.ts'
import { createTableBudget } from './table-budget.ts'
import type { StateStore } from './types.ts'

/** Parents of one digest that are worth judging; a base layer of a large repository has thousands. */
const PARENTS_MAX = 64

type Closures = Pick<
  StateStore,
  'addClosure' | 'parentsOfManifest' | 'parentsOfBlob' | 'evidenceParentsOfBlob'
>

/** Evidence apart, because anyone who may push can name any blob in it: it must not push out the image that does. */
type ClosureKind = 'child' | 'blob' | 'evidence'

/**
 * Which manifest let which digest in. At most `rowsMax` rows; the closure of the manifest that was pulled longest ago
 * goes first, and as a whole.
 */
export function createClosures(
  database: Database,
  options: { now: () => Date; rowsMax: number; onError: (error: StoreError) => void },
): Closures {
  const repositoryId = createRepositoryIds(database)
  const removeParent = database.prepare(
    'DELETE FROM parent WHERE repository = (SELECT id FROM repository WHERE name = ?) AND digest = ? RETURNING size',
  )
  const insertParent = database.prepare(
    'INSERT INTO parent (repository, digest, used_at, size) VALUES (?, ?, ?, ?)',
  )
  const insert = database.prepare(
    'INSERT OR IGNORE INTO closure (digest, repository, kind, parent) VALUES (?, ?, ?, ?)',
  )
  const select = database.prepare(
    `SELECT parent.id, parent.digest, parent.size, closure.digest AS named, repository.name, closure.kind
     FROM closure JOIN parent ON parent.id = closure.parent JOIN repository ON repository.id = parent.repository
     WHERE closure.digest = ? AND closure.repository = (SELECT id FROM repository WHERE name = ?)
       AND closure.kind = ?
     ORDER BY closure.parent DESC LIMIT ${PARENTS_MAX}`,
  )
  const removeById = database.prepare('DELETE FROM parent WHERE id = ?')
  const table = { table: 'parent', key: ['id'], size: 'size', order: 'used_at' }
  const budget = createTableBudget(database, table, options.rowsMax, options.onError)

  function parents(repository: Repository, kind: ClosureKind, digest: Digest): readonly Digest[] {
    const [named, name] = [digestBytes(digest), repositoryName(repository)]
    // In an index whose order is damaged a search finds rows that nobody asked for.
    const isAsked = (row: Row): boolean =>
      bytesOf(row, 'named').equals(named) && textOf(row, 'name') === name && textOf(row, 'kind') === kind
    const rows = select.all(named, name, kind).filter(isAsked)
    return rows.flatMap((row) => parseDigest(textOf(row, 'digest')) ?? dropDamaged(row))
  }

  function dropDamaged(row: Row): [] {
    removeById.run(integerOf(row, 'id'))
    budget.settle(-integerOf(row, 'size'))
    options.onError(new StoreError('damaged', 'dropped the closure of a manifest whose digest is none'))
    return []
  }

  return {
    addClosure(repository, parent, { children, blobs, isEvidence }) {
      const blobKind: ClosureKind = isEvidence ? 'evidence' : 'blob'
      const name = repositoryName(repository)
      const change = inTransaction(database, () => {
        const replaced = removeParent.get(name, parent)
        const id = repositoryId(name)
        const size = children.length + blobs.length + 1
        // A new id: a parent that is let through again is the newest again.
        const parentId = insertParent.run(id, parent, options.now().getTime(), size).lastInsertRowid
        for (const digest of children) insert.run(digestBytes(digest), id, 'child', parentId)
        for (const digest of blobs) insert.run(digestBytes(digest), id, blobKind, parentId)
        return size - (replaced === undefined ? 0 : integerOf(replaced, 'size'))
      })
      budget.settle(change)
    },
    parentsOfManifest: (repository, digest) => parents(repository, 'child', digest),
    parentsOfBlob: (repository, digest) => parents(repository, 'blob', digest),
    evidenceParentsOfBlob: (repository, digest) => parents(repository, 'evidence', digest),
  }
}
