import { parseDigest, type Digest } from '../oci/digest.ts'
import { repositoryName, type Repository } from '../oci/reference.ts'
import { inTransaction, integerOf, textOf, type Database, type Row } from './database.ts'
import { StoreError } from './error.ts'
import type { StateStore } from './types.ts'

/** Parents of one digest that are worth judging; a base layer of a large repository has thousands. */
const PARENTS_MAX = 64

type ClosureFacts = Pick<
  StateStore,
  'addClosure' | 'parentsOfManifest' | 'parentsOfBlob' | 'evidenceParentsOfBlob' | 'addBlob' | 'hasBlob'
>
type ManifestFacts = Pick<StateStore, 'manifestType' | 'addManifest' | 'isManifest'>
type TagFacts = Pick<StateStore, 'getTag' | 'setTag' | 'dropTag'>

/** Evidence apart, because anyone who may push can name any blob in it: it must not push out the image that does. */
type ClosureKind = 'child' | 'blob' | 'evidence'

/** Which manifest let which digest in. */
export function createClosureFacts(database: Database): ClosureFacts {
  const idOf = createNames(database)
  // REPLACE gives the row a new id: a parent that is let through again is the newest again.
  const insert = database.prepare(
    'INSERT OR REPLACE INTO closure (repository, kind, digest, parent) VALUES (?, ?, ?, ?)',
  )
  const select = database.prepare(
    `SELECT parent.text AS parent
     FROM closure INDEXED BY closure_by_digest JOIN name AS parent ON parent.id = closure.parent
     WHERE closure.digest = (SELECT id FROM name WHERE text = ?)
       AND closure.repository = (SELECT id FROM name WHERE text = ?)
       AND closure.kind = ?
     ORDER BY closure.id DESC LIMIT ?`,
  )
  const insertBlob = database.prepare('INSERT OR IGNORE INTO blob (repository, digest) VALUES (?, ?)')
  const selectBlob = database.prepare(
    `SELECT 1 FROM blob WHERE repository = (SELECT id FROM name WHERE text = ?)
       AND digest = (SELECT id FROM name WHERE text = ?)`,
  )
  const parents = (repository: Repository, kind: ClosureKind, digest: Digest): readonly Digest[] =>
    select
      .all(digest, repositoryName(repository), kind, PARENTS_MAX)
      .flatMap((row) => digestOrNone(row, 'parent') ?? [])

  return {
    addClosure(repository, parent, { children, blobs, isEvidence }) {
      const blobKind: ClosureKind = isEvidence ? 'evidence' : 'blob'
      inTransaction(database, () => {
        const [repositoryId, parentId] = [idOf(repositoryName(repository)), idOf(parent)]
        for (const digest of children) insert.run(repositoryId, 'child', idOf(digest), parentId)
        for (const digest of blobs) insert.run(repositoryId, blobKind, idOf(digest), parentId)
      })
    },
    parentsOfManifest: (repository, digest) => parents(repository, 'child', digest),
    parentsOfBlob: (repository, digest) => parents(repository, 'blob', digest),
    evidenceParentsOfBlob: (repository, digest) => parents(repository, 'evidence', digest),
    addBlob: (repository, digest) => void insertBlob.run(idOf(repositoryName(repository)), idOf(digest)),
    hasBlob: (repository, digest) => selectBlob.get(repositoryName(repository), digest) !== undefined,
  }
}

/** The number of a text, given to it the first time it is seen. */
function createNames(database: Database): (text: string) => number {
  const insert = database.prepare('INSERT OR IGNORE INTO name (text) VALUES (?)')
  const select = database.prepare('SELECT id FROM name WHERE text = ?')
  return (text) => {
    insert.run(text)
    const row = select.get(text)
    if (row === undefined) throw new StoreError('damaged', `the name ${text} was written and is not there`)
    return integerOf(row, 'id')
  }
}

/** Which repository holds which manifest. */
export function createManifestFacts(database: Database): ManifestFacts {
  const insert = database.prepare(
    'INSERT OR REPLACE INTO manifest (repository, digest, content_type) VALUES (?, ?, ?)',
  )
  const select = database.prepare('SELECT content_type FROM manifest WHERE repository = ? AND digest = ?')
  const selectAny = database.prepare('SELECT 1 FROM manifest WHERE digest = ? LIMIT 1')

  return {
    addManifest: (repository, digest, contentType) =>
      void insert.run(repositoryName(repository), digest, contentType),
    manifestType(repository, digest) {
      const row = select.get(repositoryName(repository), digest)
      return row === undefined ? undefined : textOf(row, 'content_type')
    },
    isManifest: (digest) => selectAny.get(digest) !== undefined,
  }
}

/** What each tag pointed to when upstream was last asked. */
export function createTagFacts(database: Database): TagFacts {
  const insert = database.prepare(
    'INSERT OR REPLACE INTO tag (repository, tag, digest, checked_at) VALUES (?, ?, ?, ?)',
  )
  const select = database.prepare('SELECT digest, checked_at FROM tag WHERE repository = ? AND tag = ?')
  const remove = database.prepare('DELETE FROM tag WHERE repository = ? AND tag = ?')

  return {
    getTag(repository, tag) {
      const row = select.get(repositoryName(repository), tag)
      const digest = row === undefined ? undefined : digestOrNone(row, 'digest')
      if (row === undefined || digest === undefined) return undefined
      return { digest, checkedAt: new Date(integerOf(row, 'checked_at')) }
    },
    setTag: (repository, tag, digest, checkedAt) =>
      void insert.run(repositoryName(repository), tag, digest, checkedAt.getTime()),
    dropTag: (repository, tag) => void remove.run(repositoryName(repository), tag),
  }
}

function digestOrNone(row: Row, column: string): Digest | undefined {
  return parseDigest(textOf(row, column))
}
