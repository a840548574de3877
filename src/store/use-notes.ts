import type { Database } from './database.ts'
import { storeError, type StoreError } from './error.ts'

/** A use is written down once an hour at most: reading should not write. */
const USE_WRITTEN_EVERY_MS = 3_600_000

/** Notes that a row of `table` was used, so that eviction passes it by; the row has `id` and `used_at` (milliseconds). */
export function createUseNotes(
  database: Database,
  table: string,
  options: { now: () => Date; onError: (error: StoreError) => void },
): (id: number, usedAtMs: number) => void {
  const update = database.prepare(`UPDATE ${table} SET used_at = ? WHERE id = ?`)
  return (id, usedAtMs) => {
    const nowMs = options.now().getTime()
    if (nowMs - usedAtMs <= USE_WRITTEN_EVERY_MS) return
    try {
      update.run(nowMs, id)
    } catch (error) {
      // The row was read; that its use cannot be written is no reason to be without it.
      options.onError(storeError(`cannot note a use in ${table}`, error))
    }
  }
}
