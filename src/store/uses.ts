import { createLru } from '../lru.ts'
import type { Digest } from '../oci/digest.ts'
import { repositoryName, type Repository } from '../oci/reference.ts'
import { inTransaction, type Database } from './database.ts'
import type { StateStore } from './types.ts'

/** Which images are pulled, so that eviction passes by all that is known of them. */
export type Uses = {
  /** Costs a look into memory; an image is written down once an hour at most, some of them at a time. */
  note(repository: Repository, digest: Digest): void
  /** Writes those noted so far: before anything is evicted. */
  flush(): void
}

type Use = { readonly repository: Repository; readonly digest: Digest }

const USE_WRITTEN_EVERY_MS = 3_600_000
/**
 * Images whose last note is remembered, about 300 bytes each; one that is forgotten is written once more. Few: who asks has
 * noted it with each judgement himself, and is here only once it was judged anew.
 */
const NOTED_MAX = 10_000
/** Notes a transaction: together they take less than a millisecond. A crash loses no more than these. */
const PENDING_MAX = 16
/** Indexes that may cover the image and are as much in use as it is. Usually there is one. */
const KIN_MAX = 8

export function createUses(
  database: Database,
  { now, parentsOf }: { now: () => Date; parentsOf: StateStore['parentsOfManifest'] },
): Uses {
  const write = createUseWriter(database)
  const noted = createLru<string, number>(NOTED_MAX)
  let pending: Use[] = []

  function flush(): void {
    if (pending.length === 0) return
    const uses = pending.flatMap((use) => withKin(use, parentsOf))
    pending = []
    const nowMs = now().getTime()
    inTransaction(database, () => {
      for (const use of uses) write(use, nowMs)
    })
  }

  return {
    note(repository, digest) {
      const key = `${repositoryName(repository)}@${digest}`
      const nowMs = now().getTime()
      if (nowMs - (noted.get(key) ?? -Infinity) < USE_WRITTEN_EVERY_MS) return
      noted.set(key, nowMs)
      pending.push({ repository, digest })
      if (pending.length >= PENDING_MAX) flush()
    },
    flush,
  }
}

/** The image and the indexes above it, nearest first. */
function withKin(use: Use, parentsOf: StateStore['parentsOfManifest']): readonly Use[] {
  const kin = [use]
  for (const { repository, digest } of kin) {
    if (kin.length > KIN_MAX) break
    for (const parent of parentsOf(repository, digest).slice(0, KIN_MAX - kin.length + 1))
      kin.push({ repository, digest: parent })
  }
  return kin
}

/** Everything that serving the image after a restart needs, but for its tag, which is confirmed again and again. */
function createUseWriter(database: Database): (use: Use, nowMs: number) => void {
  const byName = ['manifest', 'satisfied'].map((table) =>
    database.prepare(`UPDATE ${table} SET used_at = max(used_at, ?) WHERE repository = ? AND digest = ?`),
  )
  byName.push(
    database.prepare('UPDATE evidence SET used_at = max(used_at, ?) WHERE repository = ? AND subject = ?'),
    database.prepare('UPDATE finding SET used_at = max(used_at, ?) WHERE repository = ? AND subject = ?'),
    database.prepare(
      `UPDATE parent SET used_at = max(used_at, ?)
       WHERE repository = (SELECT id FROM repository WHERE name = ?) AND digest = ?`,
    ),
  )
  const content = database.prepare('UPDATE content SET used_at = max(used_at, ?) WHERE digest = ?')
  return ({ repository, digest }, nowMs) => {
    for (const statement of byName) statement.run(nowMs, repositoryName(repository), digest)
    content.run(nowMs, digest)
  }
}
