import { parseDigest, type Digest } from '../oci/digest.ts'
import { inTransaction, integerOf, textOf, type Database, type Row } from './database.ts'
import { createTotal } from './total.ts'

/** What the content directory holds and when each entry was last used, so that nothing scans it on the way. */
export type ContentIndex = {
  size(digest: Digest): number | undefined
  /** Notes a use in memory; it is written with the next change, so that a hit writes nothing. */
  use(digest: Digest): void
  add(digest: Digest, size: number): void
  /** As add, for a file that was found without an entry; does nothing where there is one. */
  adopt(digest: Digest, size: number, usedAt: Date): void
  /** For a file that was removed: does nothing where another process has put it again meanwhile. */
  remove(digest: Digest, isGone: () => boolean): void
  totalBytes(): number
  files(): number
  /** By the uses that were flushed. */
  leastRecentlyUsed(limit: number): readonly Digest[]
  /** Writes the uses noted so far. */
  flush(): void
}

/** Beyond this many the oldest notes are written; a use that is lost in a crash only makes eviction less exact. */
const USES_IN_MEMORY_MAX = 4_096

/** Throws what node:sqlite throws. */
export function createContentIndex(database: Database, now: () => Date): ContentIndex {
  const select = database.prepare('SELECT size FROM content WHERE digest = ?')
  const insert = database.prepare('INSERT OR IGNORE INTO content (digest, size, used_at) VALUES (?, ?, ?)')
  const remove = database.prepare('DELETE FROM content WHERE digest = ?')
  const use = database.prepare('UPDATE content SET used_at = ? WHERE digest = ?')
  const oldest = database.prepare('SELECT digest FROM content ORDER BY used_at LIMIT ?')
  const uses = new Map<string, number>()
  const bytes = createTotal(database, { name: 'content bytes', table: 'content', size: 'size' })
  const files = createTotal(database, { name: 'content files', table: 'content', size: '1' })

  function sizeOf(digest: string): number | undefined {
    const row = select.get(digest)
    return row === undefined ? undefined : integerOf(row, 'size')
  }

  /** Nobody adds an entry while this looks: who puts the file in its place adds it afterwards. */
  function drop(digest: string, isGone: () => boolean = () => true): void {
    const size = inTransaction(database, () => {
      const known = isGone() ? sizeOf(digest) : undefined
      if (known !== undefined) remove.run(digest)
      return known
    })
    if (size === undefined) return
    uses.delete(digest)
    bytes.add(-size)
    files.add(-1)
  }

  function insertNew(digest: Digest, size: number, usedAtMs: number): void {
    if (Number(insert.run(digest, size, usedAtMs).changes) === 0) return
    bytes.add(size)
    files.add(1)
  }

  function flush(): void {
    if (uses.size === 0) return
    inTransaction(database, () => {
      for (const [digest, usedAtMs] of uses) use.run(usedAtMs, digest)
    })
    uses.clear()
  }

  /** A name that is no digest belongs to no file: its entry goes, else it would be the next to go for ever. */
  function digestIn(row: Row): Digest | undefined {
    const name = textOf(row, 'digest')
    const digest = parseDigest(name)
    if (digest === undefined) drop(name)
    return digest
  }

  return {
    size: sizeOf,
    use(digest) {
      uses.set(digest, now().getTime())
      if (uses.size >= USES_IN_MEMORY_MAX) flush()
    },
    add(digest, size) {
      if (sizeOf(digest) !== undefined) drop(digest)
      insertNew(digest, size, now().getTime())
    },
    adopt: (digest, size, usedAt) => insertNew(digest, size, usedAt.getTime()),
    remove: drop,
    totalBytes: bytes.value,
    files: files.value,
    leastRecentlyUsed: (limit) => oldest.all(limit).flatMap((row) => digestIn(row) ?? []),
    flush,
  }
}
