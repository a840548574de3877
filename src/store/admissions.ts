import { z } from 'zod'
import { parseDigest } from '../oci/digest.ts'
import { rowChecksum } from './checksum.ts'
import { inDurableTransaction, inTransaction, integerOf, type Database, type Row } from './database.ts'
import { attempt, StoreError } from './error.ts'
import type { OpenAdmission, StateStore, StoredAdmission } from './types.ts'

type Admissions = Pick<StateStore, 'admitOpen' | 'openAdmissions' | 'closeAdmission' | 'admissions'>

/** Rows that one call may read into memory. */
const ADMISSIONS_READ_MAX = 10_000
/** Clients that are named; an image that half the fleet has pulled needs another answer than a list. */
const CLIENTS_MAX = 32

const NAMES = [
  'id',
  'registry',
  'name',
  'digest',
  'decision',
  'policies',
  'first_at',
  'last_at',
  'count',
  'clients',
  'found_at',
  'verdict',
  'reason',
] as const
const COLUMNS = NAMES.join(', ')

/**
 * What stance `open` let pass, and what it turned out to be. Never evicted. Who pulled what is on the medium when
 * admitOpen returns; a repeat by the same client is only counted, without an fsync.
 */
export function createAdmissions(database: Database): Admissions {
  const { find, byId, open, newest, nextId, write } = prepareAll(database)

  function store(admission: StoredAdmission): void {
    const values = valuesOf(admission)
    write.run(...values, rowChecksum(values))
  }

  function known({
    repository: { registry, name },
    digest,
    decision,
  }: OpenAdmission): StoredAdmission | undefined {
    const row = find.get(registry, name, digest, decision)
    return row === undefined ? undefined : admissionIn(row)
  }

  /** Whether it only counted a client that is on record. What is known is read in the transaction: others write too. */
  function countRepeat(admission: OpenAdmission): boolean {
    return inTransaction(database, () => {
      const before = known(admission)
      if (before === undefined) return false
      const after = repeated(before, admission)
      if (after.clients.length > before.clients.length) return false
      store(after)
      return true
    })
  }

  return {
    admitOpen: (admission) =>
      attempt('cannot record an image that was admitted open', () => {
        if (known(admission) !== undefined && countRepeat(admission)) return
        inDurableTransaction(database, () => {
          const before = known(admission)
          store(
            before === undefined
              ? firstOf(admission, Number(nextId.get()?.['id']))
              : repeated(before, admission),
          )
        })
      }),
    openAdmissions: () => attempt('cannot read admissions', () => open.all().map(admissionIn)),
    closeAdmission: (id, finding) =>
      attempt('cannot record what an admitted image turned out to be', () => {
        inDurableTransaction(database, () => {
          const row = byId.get(id)
          const admission = row === undefined ? undefined : admissionIn(row)
          if (admission !== undefined && admission.finding === undefined) store({ ...admission, finding })
        })
      }),
    admissions: (limit) =>
      attempt('cannot read admissions', () =>
        newest.all(Math.min(Math.max(0, Math.trunc(limit)), ADMISSIONS_READ_MAX)).map(admissionIn),
      ),
  }
}

function prepareAll(database: Database) {
  return {
    find: database.prepare(
      `SELECT ${COLUMNS}, checksum FROM admission
       WHERE registry = ? AND name = ? AND digest = ? AND decision = ? AND verdict IS NULL`,
    ),
    byId: database.prepare(`SELECT ${COLUMNS}, checksum FROM admission WHERE id = ?`),
    open: database.prepare(
      `SELECT ${COLUMNS}, checksum FROM admission WHERE verdict IS NULL ORDER BY id LIMIT ${ADMISSIONS_READ_MAX}`,
    ),
    newest: database.prepare(
      `SELECT ${COLUMNS}, checksum FROM admission ORDER BY last_at DESC, id DESC LIMIT ?`,
    ),
    nextId: database.prepare('SELECT coalesce(max(id), 0) + 1 AS id FROM admission'),
    write: database.prepare(
      `INSERT OR REPLACE INTO admission (${COLUMNS}, checksum) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    ),
  }
}

/** Those that cannot be read: a person must look at them, because nobody can gather them again. */
export function* checkAdmissions(database: Database): Generator<{ id: number; finding: string }> {
  for (const row of database.prepare(`SELECT ${COLUMNS}, checksum FROM admission`).iterate()) {
    try {
      admissionIn(row)
    } catch {
      yield { id: integerOf(row, 'id'), finding: 'it is not what was written' }
    }
  }
}

function firstOf({ client, at, ...admission }: OpenAdmission, id: number): StoredAdmission {
  return { ...admission, id, firstAt: at, lastAt: at, count: 1, clients: [client], finding: undefined }
}

function repeated(before: StoredAdmission, { client, at }: OpenAdmission): StoredAdmission {
  const isNew = !before.clients.includes(client) && before.clients.length < CLIENTS_MAX
  return {
    ...before,
    lastAt: new Date(Math.max(before.lastAt.getTime(), at.getTime())),
    count: before.count + 1,
    clients: isNew ? [...before.clients, client] : before.clients,
  }
}

/** In the order of NAMES. */
function valuesOf(admission: StoredAdmission): (string | number | null)[] {
  const { id, repository, digest, decision, policies, firstAt, lastAt, count, clients, finding } = admission
  return [
    id,
    repository.registry,
    repository.name,
    digest,
    decision,
    JSON.stringify(policies),
    firstAt.getTime(),
    lastAt.getTime(),
    count,
    JSON.stringify(clients),
    finding?.at.getTime() ?? null,
    finding?.verdict ?? null,
    finding?.reason ?? null,
  ]
}

const texts = z.array(z.string())

const rowSchema = z.object({
  id: z.number(),
  registry: z.string(),
  name: z.string(),
  digest: z.string(),
  decision: z.string(),
  policies: z.string(),
  first_at: z.number(),
  last_at: z.number(),
  count: z.number(),
  clients: z.string(),
  found_at: z.number().nullable(),
  verdict: z.enum(['satisfied', 'violated']).nullable(),
  reason: z.string().nullable(),
  checksum: z.string(),
})

function admissionIn(row: Row): StoredAdmission {
  const parsed = rowSchema.safeParse(row)
  if (!parsed.success) throw damaged(row, parsed.error)
  const { id, registry, name, decision, count, checksum, ...rest } = parsed.data
  if (checksum !== rowChecksum(NAMES.map((column) => parsed.data[column]))) throw damaged(row)
  const digest = parseDigest(rest.digest)
  if (digest === undefined) throw damaged(row)
  return {
    id,
    repository: { registry, name },
    digest,
    decision,
    policies: textsIn(row, rest.policies),
    firstAt: new Date(rest.first_at),
    lastAt: new Date(rest.last_at),
    count,
    clients: textsIn(row, rest.clients),
    finding: findingIn(rest),
  }
}

function findingIn({
  found_at: at,
  verdict,
  reason,
}: Pick<z.infer<typeof rowSchema>, 'found_at' | 'verdict' | 'reason'>): StoredAdmission['finding'] {
  return at === null || verdict === null || reason === null
    ? undefined
    : { at: new Date(at), verdict, reason }
}

function textsIn(row: Row, json: string): readonly string[] {
  try {
    return texts.parse(JSON.parse(json))
  } catch (error) {
    throw damaged(row, error)
  }
}

function damaged(row: Row, cause?: unknown): StoreError {
  return new StoreError('damaged', `admission ${String(row['id'])} cannot be read`, cause)
}
