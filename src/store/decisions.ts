import type { Digest } from '../oci/digest.ts'
import { repositoryName, type Repository } from '../oci/reference.ts'
import { rowChecksum } from './checksum.ts'
import { inDurableTransaction, integerOf, textOf, type Database } from './database.ts'
import { storeError } from './error.ts'
import type { StateStore } from './types.ts'

/** Rows that one call may read into memory. */
const DECISIONS_READ_MAX = 10_000

type Decisions = Pick<StateStore, 'recordDecision' | 'wasRefused' | 'countDecision' | 'decisions'>

/**
 * The record of outcomes. Never evicted. The first of a kind is on the medium when recordDecision returns; a repeat
 * is only counted, without an fsync, so that asking again and again costs neither time nor space.
 */
export function createDecisions(database: Database): Decisions {
  const count = database.prepare(
    'UPDATE decision SET count = count + ?, last_at = max(last_at, ?) WHERE key = ?',
  )
  const insert = database.prepare(
    `INSERT INTO decision (key, id, first_at, last_at, count, json, checksum, refused_image)
     VALUES (?, ?, ?, ?, 1, ?, ?, ?)
     ON CONFLICT (key) DO UPDATE SET count = count + 1, last_at = max(last_at, excluded.last_at)
     RETURNING count`,
  )
  const refusal = database.prepare('SELECT 1 FROM decision WHERE refused_image = ? LIMIT 1')
  const newest = database.prepare(
    'SELECT id, first_at, last_at, count, json FROM decision ORDER BY last_at DESC, rowid DESC LIMIT ?',
  )

  return {
    recordDecision({ key, id, at, json, refused }) {
      try {
        if (Number(count.run(1, at.getTime(), key).changes) > 0) return false
        // Another process may have been first meanwhile.
        const row = inDurableTransaction(database, () =>
          insert.get(
            key,
            id,
            at.getTime(),
            at.getTime(),
            json,
            decisionChecksum(key, json),
            refused === undefined ? null : imageKey(refused.repository, refused.digest),
          ),
        )
        return row === undefined || integerOf(row, 'count') === 1
      } catch (error) {
        throw storeError('cannot record a decision', error)
      }
    },
    wasRefused(repository, digest) {
      try {
        return refusal.get(imageKey(repository, digest)) !== undefined
      } catch (error) {
        throw storeError('cannot look up a decision', error)
      }
    },
    countDecision(key, repeats, at) {
      try {
        count.run(repeats, at.getTime(), key)
      } catch (error) {
        throw storeError('cannot count a decision', error)
      }
    },
    decisions: (limit) =>
      newest.all(Math.min(Math.max(0, Math.trunc(limit)), DECISIONS_READ_MAX)).map((row) => ({
        id: textOf(row, 'id'),
        firstAt: new Date(integerOf(row, 'first_at')),
        lastAt: new Date(integerOf(row, 'last_at')),
        count: integerOf(row, 'count'),
        json: textOf(row, 'json'),
      })),
  }
}

/** Null where the two are the same: the id, which is the beginning of the hash of the key, tells of a change in either. */
export function decisionChecksum(key: string, json: string): string | null {
  return json === key ? null : rowChecksum([key, json])
}

function imageKey(repository: Repository, digest: Digest): string {
  return `${repositoryName(repository)}@${digest}`
}
