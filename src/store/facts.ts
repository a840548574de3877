import { parseDigest, type Digest } from '../oci/digest.ts'
import { repositoryName } from '../oci/reference.ts'
import { inTransaction, integerOf, textOf, type Database, type Row } from './database.ts'
import type { StateStore } from './types.ts'

/** Parents of one digest that are worth judging; a base layer of a large repository has thousands. */
const PARENTS_MAX = 64

type ClosureFacts = Pick<StateStore, 'addClosure' | 'parentsOfManifest' | 'parentsOfBlob'>
type ManifestFacts = Pick<StateStore, 'hasManifest' | 'manifestType' | 'addManifest' | 'isManifest'>
type TagFacts = Pick<StateStore, 'getTag' | 'setTag'>

/** Which manifest let which digest in. */
export function createClosureFacts(database: Database): ClosureFacts {
  // REPLACE gives the row a new id: a parent that is let through again is the newest again.
  const insert = database.prepare(
    'INSERT OR REPLACE INTO closure (repository, kind, digest, parent) VALUES (?, ?, ?, ?)',
  )
  const select = database.prepare(
    'SELECT parent FROM closure WHERE repository = ? AND kind = ? AND digest = ? ORDER BY id DESC LIMIT ?',
  )
  const parents = (name: string, kind: 'child' | 'blob', digest: Digest): readonly Digest[] =>
    select.all(name, kind, digest, PARENTS_MAX).flatMap((row) => digestOrNone(row, 'parent') ?? [])

  return {
    addClosure(repository, parent, { children, blobs }) {
      const name = repositoryName(repository)
      inTransaction(database, () => {
        for (const digest of children) insert.run(name, 'child', digest, parent)
        for (const digest of blobs) insert.run(name, 'blob', digest, parent)
      })
    },
    parentsOfManifest: (repository, digest) => parents(repositoryName(repository), 'child', digest),
    parentsOfBlob: (repository, digest) => parents(repositoryName(repository), 'blob', digest),
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
    hasManifest: (repository, digest) => select.get(repositoryName(repository), digest) !== undefined,
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

  return {
    getTag(repository, tag) {
      const row = select.get(repositoryName(repository), tag)
      const digest = row === undefined ? undefined : digestOrNone(row, 'digest')
      if (row === undefined || digest === undefined) return undefined
      return { digest, checkedAt: new Date(integerOf(row, 'checked_at')) }
    },
    setTag: (repository, tag, digest, checkedAt) =>
      void insert.run(repositoryName(repository), tag, digest, checkedAt.getTime()),
  }
}

function digestOrNone(row: Row, column: string): Digest | undefined {
  return parseDigest(textOf(row, column))
}
