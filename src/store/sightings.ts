import { repositoryName } from '../oci/reference.ts'
import { rowChecksum } from './checksum.ts'
import { inTransaction, integerOf, type Database, type Row } from './database.ts'
import { attempt, StoreError, storeError } from './error.ts'
import { SIGHTING_COLUMNS, sightingIn, valuesOf } from './sighting-row.ts'
import { createTableBudget } from './table-budget.ts'
import type { Sighting, StateStore, StoredResult, StoredSighting } from './types.ts'

type Sightings = Pick<StateStore, 'noteSightings' | 'sightings'>

/** Tags of one image in one ring; one that every build moves has many images, not many tags. */
const TAGS_MAX = 8
/** Rows read at once: no statement stays open while others write, and never all rows are in memory. */
const PAGE_ROWS = 500

/** What each ring pulls, and what the policies said of it; beyond `rowsMax` what was pulled longest ago goes first. */
export function createSightings(
  database: Database,
  { rowsMax, onError }: { rowsMax: number; onError: (error: StoreError) => void },
): Sightings {
  const { select, insert, update, remove, page } = prepareAll(database)
  const table = { table: 'sighting', key: ['id'], size: '1', order: 'last_at' }
  const budget = createTableBudget(database, table, rowsMax, onError)

  /** How many rows it adds. */
  function add(sighting: Sighting): number {
    const { repository, digest, ring } = sighting
    const row = select.get(digest, repository.name, repository.registry, ring)
    const before = row === undefined ? undefined : sightingIn(row)
    if (row !== undefined && before === undefined) onError(dropped(row))
    const values = valuesOf(merged(before, sighting))
    const checksum = rowChecksum(values)
    if (row === undefined) insert.run(...values, checksum)
    else update.run(...values, checksum, integerOf(row, 'id'))
    return row === undefined ? 1 : 0
  }

  function drop(row: Row): void {
    onError(dropped(row))
    try {
      budget.settle(-Number(remove.run(integerOf(row, 'id')).changes))
    } catch (error) {
      // It is left out all the same.
      onError(storeError('cannot drop a damaged sighting', error))
    }
  }

  function* readPage(rows: readonly Row[]): Generator<StoredSighting> {
    for (const row of rows) {
      const sighting = sightingIn(row)
      if (sighting === undefined) drop(row)
      else yield sighting
    }
  }

  return {
    noteSightings: (sightings) =>
      attempt('cannot count what was pulled', () => {
        if (sightings.length === 0) return
        const added = inTransaction(database, () => sightings.reduce((sum, one) => sum + add(one), 0))
        budget.settle(added)
      }),
    *sightings(since) {
      let after = 0
      for (;;) {
        const rows = attempt('cannot read what was pulled', () => page.all(after, since.getTime()))
        yield* readPage(rows)
        const last = rows.at(-1)
        if (last === undefined || rows.length < PAGE_ROWS) return
        after = integerOf(last, 'id')
      }
    },
  }
}

function prepareAll(database: Database) {
  const columns = SIGHTING_COLUMNS.join(', ')
  return {
    select: database.prepare(
      `SELECT id, ${columns}, checksum FROM sighting
       WHERE digest = ? AND name = ? AND registry = ? AND ring = ?`,
    ),
    insert: database.prepare(
      `INSERT INTO sighting (${columns}, checksum) VALUES (${SIGHTING_COLUMNS.map(() => '?').join(', ')}, ?)`,
    ),
    update: database.prepare(
      `UPDATE sighting SET ${SIGHTING_COLUMNS.map((column) => `${column} = ?`).join(', ')}, checksum = ?
       WHERE id = ?`,
    ),
    remove: database.prepare('DELETE FROM sighting WHERE id = ?'),
    // The plus keeps to the order of ids: by the index on time a page would sort all that is left.
    page: database.prepare(
      `SELECT id, ${columns}, checksum FROM sighting
       WHERE id > ? AND +last_at >= ? ORDER BY id LIMIT ${PAGE_ROWS}`,
    ),
  }
}

/** A clock that was set back makes nothing newer. */
function merged(before: StoredSighting | undefined, { at, ...now }: Sighting): StoredSighting {
  const results = now.results.map((result): StoredResult => {
    const same = before?.results.find(
      ({ policy, version, mode }) =>
        policy === result.policy && version === result.version && mode === result.mode,
    )
    return { ...result, pulls: (same?.pulls ?? 0) + now.pulls, from: same?.from ?? at }
  })
  return {
    ...now,
    results,
    tags: [...new Set([...now.tags, ...(before?.tags ?? [])])].slice(0, TAGS_MAX),
    pulls: (before?.pulls ?? 0) + now.pulls,
    firstAt: before?.firstAt ?? at,
    lastAt: before === undefined || at > before.lastAt ? at : before.lastAt,
  }
}

function dropped(row: Row): StoreError {
  const [registry, name] = [String(row['registry']), String(row['name'])]
  const image = `${repositoryName({ registry, name })}@${String(row['digest'])}`
  return new StoreError(
    'damaged',
    `dropped what ring ${String(row['ring'])} pulled of ${image}: it is damaged`,
  )
}
