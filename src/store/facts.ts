import { parseDigest } from '../oci/digest.ts'
import { repositoryName } from '../oci/reference.ts'
import { inTransaction, integerOf, textOf, type Database } from './database.ts'
import { digestBytes } from './digest-column.ts'
import { StoreError } from './error.ts'
import { createRepositoryIds } from './repository-ids.ts'
import { createTableBudget } from './table-budget.ts'
import type { StateStore } from './types.ts'

type MemberFacts = Pick<StateStore, 'addBlob' | 'hasBlob'>
type ManifestFacts = Pick<StateStore, 'manifestType' | 'addManifest' | 'isManifest'>
type TagFacts = Pick<StateStore, 'getTag' | 'setTag' | 'dropTag'>

/** `rowsMax`: beyond it, the rows that were used longest ago go first. */
type FactOptions = { now: () => Date; rowsMax: number; onError: (error: StoreError) => void }

/** Which blob upstream served from which repository: bytes that are cached through another one are not enough. */
export function createMemberFacts(database: Database, { now, rowsMax, onError }: FactOptions): MemberFacts {
  const repositoryId = createRepositoryIds(database)
  const insert = database.prepare(
    'INSERT OR IGNORE INTO member (repository, digest, used_at) VALUES (?, ?, ?)',
  )
  const select = database.prepare(
    'SELECT 1 FROM member WHERE repository = (SELECT id FROM repository WHERE name = ?) AND digest = ?',
  )
  const table = { table: 'member', key: ['repository', 'digest'], size: '1', order: 'used_at' }
  const budget = createTableBudget(database, table, rowsMax, onError)

  return {
    addBlob(repository, digest) {
      const added = inTransaction(
        database,
        () =>
          insert.run(repositoryId(repositoryName(repository)), digestBytes(digest), now().getTime()).changes,
      )
      budget.settle(Number(added))
    },
    hasBlob: (repository, digest) =>
      select.get(repositoryName(repository), digestBytes(digest)) !== undefined,
  }
}

/** Which repository holds which manifest. */
export function createManifestFacts(
  database: Database,
  { now, rowsMax, onError }: FactOptions,
): ManifestFacts {
  const update = database.prepare(
    'UPDATE manifest SET content_type = ?, used_at = ? WHERE repository = ? AND digest = ?',
  )
  const insert = database.prepare(
    `INSERT INTO manifest (content_type, used_at, repository, digest) VALUES (?, ?, ?, ?)
     ON CONFLICT (repository, digest) DO UPDATE SET content_type = excluded.content_type, used_at = excluded.used_at`,
  )
  const select = database.prepare('SELECT content_type FROM manifest WHERE repository = ? AND digest = ?')
  const selectAny = database.prepare('SELECT 1 FROM manifest WHERE digest = ? LIMIT 1')
  const table = { table: 'manifest', key: ['repository', 'digest'], size: '1', order: 'used_at' }
  const budget = createTableBudget(database, table, rowsMax, onError)

  return {
    addManifest(repository, digest, contentType) {
      const values = [contentType, now().getTime(), repositoryName(repository), digest]
      if (Number(update.run(...values).changes) > 0) return
      insert.run(...values)
      budget.settle(1)
    },
    manifestType(repository, digest) {
      const row = select.get(repositoryName(repository), digest)
      return row === undefined ? undefined : textOf(row, 'content_type')
    },
    isManifest: (digest) => selectAny.get(digest) !== undefined,
  }
}

/**
 * What each tag pointed to when upstream was last asked. A tag in use is asked for again and again; who was told earlier
 * overwrites nothing, except what was told by a clock that was wrong: that lies ahead.
 */
export function createTagFacts(database: Database, { now, rowsMax, onError }: FactOptions): TagFacts {
  const update = database.prepare(
    `UPDATE tag SET digest = :digest, checked_at = :checkedAt
     WHERE repository = :repository AND tag = :tag AND (checked_at <= :checkedAt OR checked_at > :now)`,
  )
  const insert = database.prepare(
    `INSERT INTO tag (digest, checked_at, repository, tag) VALUES (:digest, :checkedAt, :repository, :tag)
     ON CONFLICT (repository, tag) DO UPDATE SET digest = excluded.digest, checked_at = excluded.checked_at
       WHERE checked_at <= :checkedAt OR checked_at > :now`,
  )
  const select = database.prepare('SELECT digest, checked_at FROM tag WHERE repository = ? AND tag = ?')
  const remove = database.prepare('DELETE FROM tag WHERE repository = ? AND tag = ?')
  const table = { table: 'tag', key: ['repository', 'tag'], size: '1', order: 'checked_at' }
  const budget = createTableBudget(database, table, rowsMax, onError)
  const drop = (name: string, tag: string): void => budget.settle(-Number(remove.run(name, tag).changes))

  return {
    getTag(repository, tag) {
      const name = repositoryName(repository)
      const row = select.get(name, tag)
      if (row === undefined) return undefined
      const digest = parseDigest(textOf(row, 'digest'))
      if (digest !== undefined) return { digest, checkedAt: new Date(integerOf(row, 'checked_at')) }
      drop(name, tag)
      onError(new StoreError('damaged', `dropped damaged tag ${name}:${tag}`))
      return undefined
    },
    setTag(repository, tag, digest, checkedAt) {
      const name = repositoryName(repository)
      const values = { digest, checkedAt: checkedAt.getTime(), repository: name, tag, now: now().getTime() }
      if (Number(update.run(values).changes) === 0) budget.settle(Number(insert.run(values).changes))
    },
    dropTag: (repository, tag) => drop(repositoryName(repository), tag),
  }
}
