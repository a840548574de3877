import { repositoryName } from '../oci/reference.ts'
import { rowChecksum } from './checksum.ts'
import { integerOf, textOf, type Database } from './database.ts'
import { StoreError } from './error.ts'
import { createTableBudget } from './table-budget.ts'
import type { SatisfiedFact, StateStore } from './types.ts'

type Satisfied = Pick<StateStore, 'noteSatisfied' | 'lastSatisfied'>

/**
 * When which image last satisfied which version of which policy: what stance `last-verified` rests on. At most `rowsMax`,
 * those of images that nobody pulls dropped first.
 */
export function createSatisfied(
  database: Database,
  options: { now: () => Date; rowsMax: number; onError: (error: StoreError) => void },
): Satisfied {
  const select = database.prepare(
    `SELECT id, at, checksum FROM satisfied
     WHERE repository = ? AND digest = ? AND policy = ? AND policy_version = ?`,
  )
  const insert = database.prepare(
    `INSERT INTO satisfied (repository, digest, policy, policy_version, at, used_at, checksum)
     VALUES (?, ?, ?, ?, ?, ?, ?)
     ON CONFLICT (repository, digest, policy, policy_version)
       DO UPDATE SET at = excluded.at, used_at = excluded.used_at, checksum = excluded.checksum WHERE excluded.at > at`,
  )
  const update = database.prepare(
    'UPDATE satisfied SET at = ?, used_at = ?, checksum = ? WHERE id = ? AND at < ?',
  )
  const removeImage = database.prepare('DELETE FROM satisfied WHERE repository = ? AND digest = ?')
  const table = { table: 'satisfied', key: ['id'], size: '1', order: 'used_at, at' }
  const budget = createTableBudget(database, table, options.rowsMax, options.onError)

  /** The row, if there is one and it is what was written. */
  function find(fact: Omit<SatisfiedFact, 'at'>): { id: number; atMs: number } | undefined {
    const row = select.get(...keyOf(fact))
    if (row === undefined) return undefined
    const [id, atMs] = [integerOf(row, 'id'), integerOf(row, 'at')]
    if (textOf(row, 'checksum') === checksumOf(fact, atMs)) return { id, atMs }
    const name = repositoryName(fact.repository)
    // All of the image: one of the others may be what the damaged one had ended.
    budget.settle(-Number(removeImage.run(name, fact.digest).changes))
    options.onError(
      new StoreError('damaged', `dropped what ${name}@${fact.digest} satisfied: it is not what was written`),
    )
    return undefined
  }

  return {
    noteSatisfied(fact) {
      const atMs = fact.at.getTime()
      const nowMs = options.now().getTime()
      const known = find(fact)
      if (known === undefined) {
        insert.run(...keyOf(fact), atMs, nowMs, checksumOf(fact, atMs))
        budget.settle(1)
      } else if (atMs > known.atMs) {
        update.run(atMs, nowMs, checksumOf(fact, atMs), known.id, atMs)
      }
    },
    lastSatisfied(fact) {
      const known = find(fact)
      return known === undefined ? undefined : new Date(known.atMs)
    },
  }
}

function keyOf({ repository, digest, policy, policyVersion }: Omit<SatisfiedFact, 'at'>): string[] {
  return [repositoryName(repository), digest, policy, policyVersion]
}

function checksumOf(fact: Omit<SatisfiedFact, 'at'>, atMs: number): string {
  return rowChecksum([...keyOf(fact), atMs])
}
