import * as z from 'zod'
import { rowChecksum } from './checksum.ts'
import { inDurableTransaction, inTransaction, integerOf, type Database, type Row } from './database.ts'
import { attempt, StoreError } from './error.ts'
import type { Promotion, RolloutStage, StateStore, StoredPromotion } from './types.ts'

type Stages = Pick<StateStore, 'rolloutStages' | 'changeRolloutStages'>
type Promotions = Pick<StateStore, 'recordPromotion' | 'promotions'>

/** Rows that one call may read into memory. */
const PROMOTIONS_READ_MAX = 10_000

const mode = z.enum(['off', 'observe', 'enforce'])

const stageRow = z.object({
  policy: z.string(),
  ring: z.string(),
  version: z.string(),
  mode,
  since: z.int(),
  checksum: z.string(),
})

/** When which stage began. A stage that is damaged begins again: it is never taken for longer than it was. */
export function createStages(
  database: Database,
  { onError }: { onError: (error: StoreError) => void },
): Stages {
  const all = database.prepare('SELECT policy, ring, version, mode, since, checksum FROM rollout_stage')
  const write = database.prepare(
    `INSERT OR REPLACE INTO rollout_stage (policy, ring, version, mode, since, checksum)
     VALUES (?, ?, ?, ?, ?, ?)`,
  )
  const remove = database.prepare('DELETE FROM rollout_stage WHERE policy = ? AND ring = ?')

  return {
    rolloutStages: () =>
      attempt('cannot read the stages of the rollout', () =>
        all.all().flatMap((row) => {
          const stage = stageIn(row)
          if (stage !== undefined) return [stage]
          const which = `${String(row['policy'])} in ring ${String(row['ring'])}`
          onError(new StoreError('damaged', `the stage of policy ${which} is damaged and begins again`))
          return []
        }),
      ),
    changeRolloutStages: ({ begun, ended }) =>
      attempt('cannot write the stages of the rollout', () =>
        inTransaction(database, () => {
          for (const { policy, ring } of ended) remove.run(policy, ring)
          for (const stage of begun) write.run(...stageValues(stage), rowChecksum(stageValues(stage)))
        }),
      ),
  }
}

function stageValues({ policy, ring, version, mode: inMode, since }: RolloutStage): (string | number)[] {
  return [policy, ring, version, inMode, since.getTime()]
}

function stageIn(row: Row): RolloutStage | undefined {
  const parsed = stageRow.safeParse(row)
  if (!parsed.success) return undefined
  const { checksum, since, ...rest } = parsed.data
  const stage = { ...rest, since: new Date(since) }
  return rowChecksum(stageValues(stage)) === checksum ? stage : undefined
}

const NAMES = [
  'id',
  'at',
  'policy',
  'ring',
  'from_mode',
  'to_mode',
  'policy_version',
  'by_whom',
  'is_met',
  'criteria',
  'override',
] as const
const COLUMNS = NAMES.join(', ')

const promotionRow = z.object({
  id: z.int(),
  at: z.int(),
  policy: z.string(),
  ring: z.string(),
  from_mode: mode,
  to_mode: mode,
  policy_version: z.string(),
  by_whom: z.string(),
  is_met: z.int(),
  criteria: z.string(),
  override: z.string().nullable(),
  checksum: z.string(),
})

/** Who decided when that a stage ends, and on what grounds. Never evicted, on the medium when recordPromotion returns. */
export function createPromotions(database: Database): Promotions {
  const nextId = database.prepare('SELECT coalesce(max(id), 0) + 1 AS id FROM promotion')
  const insert = database.prepare(
    `INSERT INTO promotion (${COLUMNS}, checksum) VALUES (${NAMES.map(() => '?').join(', ')}, ?)`,
  )
  const newest = database.prepare(`SELECT ${COLUMNS}, checksum FROM promotion ORDER BY id DESC LIMIT ?`)

  return {
    recordPromotion: (promotion) =>
      attempt('cannot record a promotion', () =>
        inDurableTransaction(database, () => {
          const id = Number(nextId.get()?.['id'])
          const values = promotionValues(promotion, id)
          insert.run(...values, rowChecksum(values))
          return id
        }),
      ),
    promotions: (limit) =>
      attempt('cannot read promotions', () =>
        newest.all(Math.min(Math.max(0, Math.trunc(limit)), PROMOTIONS_READ_MAX)).map((row) => {
          const promotion = promotionIn(row)
          if (promotion !== undefined) return promotion
          throw new StoreError('damaged', `promotion ${String(row['id'])} cannot be read`)
        }),
      ),
  }
}

/** Those that cannot be read: a person must look at them, because nobody can gather them again. */
export function* checkPromotions(database: Database): Generator<{ id: number; finding: string }> {
  for (const row of database.prepare(`SELECT ${COLUMNS}, checksum FROM promotion`).iterate()) {
    if (promotionIn(row) === undefined)
      yield { id: integerOf(row, 'id'), finding: 'it is not what was written' }
  }
}

/** In the order of NAMES. */
function promotionValues(promotion: Promotion, id: number): (string | number | null)[] {
  const { at, policy, ring, from, to, policyVersion, by, isMet, criteria, override } = promotion
  return [
    id,
    at.getTime(),
    policy,
    ring,
    from,
    to,
    policyVersion,
    by,
    Number(isMet),
    criteria,
    override ?? null,
  ]
}

/** Undefined where it is not what was written. */
function promotionIn(row: Row): StoredPromotion | undefined {
  const parsed = promotionRow.safeParse(row)
  if (!parsed.success) return undefined
  const { id, at, policy, ring, criteria, override, checksum, ...rest } = parsed.data
  if (checksum !== rowChecksum(NAMES.map((column) => parsed.data[column]))) return undefined
  return {
    id,
    at: new Date(at),
    policy,
    ring,
    from: rest.from_mode,
    to: rest.to_mode,
    policyVersion: rest.policy_version,
    by: rest.by_whom,
    isMet: rest.is_met === 1,
    criteria,
    override: override ?? undefined,
  }
}
