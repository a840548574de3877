import type { Files } from './content-files.ts'
import type { ReadingOptions } from './content-reader.ts'
import type { Database } from './database.ts'
import type { StoreError } from './error.ts'

export type ContentStoreOptions = ReadingOptions & {
  /** What lies in its `incoming/` at start is removed, unless this process is a guest. */
  directory: string
  /**
   * Of a process that uses the directory beside the one that opened it first: the name of its own part of `incoming/`. It
   * looks for files that the index does not know one by one, as it is asked for them.
   */
  guest?: string | undefined
  /** Whether other processes use the directory, too, and evict from it. */
  isShared?: boolean
  /** Budget for everything stored and on its way in, in bytes. */
  bytesMax: number
  /** Default 500,000: a file takes a block and an inode, however small it is. */
  filesMax?: number
  /** Holds the index. */
  database: Database
  now: () => Date
  /** Told of every failure of the disk; requests go on without the cache. */
  onError: (error: StoreError) => void
  files?: Files
  /** Default: node:fs. Size in bytes of a file, undefined where there is none. */
  sizeOfFile?: (path: string) => number | undefined
}
