import { randomBytes } from 'node:crypto'
import * as nodeFiles from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import type { TestContext } from 'node:test'
import type { ByteReader } from '../byte-reader.ts'
import { digestOf, type Digest } from '../oci/digest.ts'
import type { Files } from '../store/content-files.ts'
import type { ContentStoreOptions } from '../store/content-options.ts'
import { openContentStore, type DirectoryContentStore } from '../store/content.ts'
import { openDatabase, type Database } from '../store/database.ts'
import type { StoreError } from '../store/error.ts'

type StoreSetup = Partial<
  Pick<ContentStoreOptions, 'bytesMax' | 'files' | 'directory' | 'database' | 'nextTurn'>
>

type OpenedStore = {
  store: DirectoryContentStore
  directory: string
  database: Database
  errors: StoreError[]
}

/** A directory that is removed after the test. */
export async function newDirectory(t: TestContext): Promise<string> {
  const directory = await nodeFiles.mkdtemp(join(tmpdir(), 'content-'))
  t.after(() => nodeFiles.rm(directory, { recursive: true, force: true }))
  return directory
}

/** A content store whose clock moves on by a millisecond whenever it is read. */
export async function openStore(t: TestContext, setup: StoreSetup = {}): Promise<OpenedStore> {
  const directory = setup.directory ?? (await newDirectory(t))
  const database = setup.database ?? openDatabase(':memory:')
  const errors: StoreError[] = []
  const clock = { ms: 1_000 }
  const store = await openContentStore({
    ...setup,
    directory,
    database,
    bytesMax: setup.bytesMax ?? 1024 ** 3,
    now: () => new Date((clock.ms += 1)),
    onError: (error) => errors.push(error),
  })
  await store.reconciled
  return { store, directory, database, errors }
}

/** Random bytes and their digest. */
export function randomContent(size: number): { bytes: Buffer; digest: Digest } {
  const bytes = randomBytes(size)
  return { bytes, digest: digestOf(bytes) }
}

/** What a client would get of it: a copy of each piece. */
export function streamOf(reader: ByteReader): Readable {
  return new Readable({
    read() {
      reader.next().then(
        (piece) => this.push(piece === undefined ? null : Buffer.from(piece)),
        (error: unknown) => this.destroy(error instanceof Error ? error : new Error(String(error))),
      )
    },
    destroy(error, callback) {
      reader.close()
      callback(error)
    },
  })
}

/** What the store's temporary directory holds. */
export function incomingFiles(directory: string): Promise<string[]> {
  return nodeFiles.readdir(join(directory, 'incoming'))
}

/** node:fs/promises with one operation that fails for some paths. */
export function failingFiles(
  operation: 'open' | 'mkdir' | 'rename' | 'rm',
  code: string,
  isFor: (path: string) => boolean,
): Files {
  return {
    ...nodeFiles,
    [operation]: async (path: string, ...rest: unknown[]) => {
      if (isFor(path)) throw diskError(code)
      return await (nodeFiles[operation] as (...args: unknown[]) => Promise<unknown>)(path, ...rest)
    },
  }
}

/** Temporary files that cannot be written beyond `bytesMax`, or cannot be synced. */
export function failingHandles(method: 'writev' | 'sync', code: string, bytesMax = 0): Files {
  return {
    ...nodeFiles,
    async open(path, flags, mode) {
      const handle = await nodeFiles.open(path, flags, mode)
      if (flags !== 'wx') return handle
      let written = 0
      const write = handle.writev.bind(handle)
      handle.writev = async (chunks, position) => {
        written += chunks.reduce((sum, { byteLength }) => sum + byteLength, 0)
        if (method === 'writev' && written > bytesMax) throw diskError(code)
        return await write(chunks, position)
      }
      if (method === 'sync') handle.sync = () => Promise.reject(diskError(code))
      return handle
    },
  }
}

function diskError(code: string): Error {
  return Object.assign(new Error(code), { code })
}

type WatchedFiles = {
  readonly files: Files
  readonly isOpen: () => number
  /** How many reads have begun. */
  readonly reads: () => number
  /** Before each read: to throw, or to take its time. */
  onRead: () => Promise<void> | undefined
}

/** node:fs/promises whose open files and reads are counted, and whose reads and writes give and take at most `bytesMax` at once. */
export function watchedFiles(bytesMax = Infinity): WatchedFiles {
  let [isOpen, reads] = [0, 0]
  const files: Files = {
    ...nodeFiles,
    async open(path, flags, mode) {
      const handle = await nodeFiles.open(path, flags, mode)
      isOpen += 1
      const [read, writev, close] = [
        handle.read.bind(handle),
        handle.writev.bind(handle),
        handle.close.bind(handle),
      ] as const
      return Object.assign(handle, {
        read: async (block: Buffer, offset: number, length: number, position: number) => {
          reads += 1
          const waits = watched.onRead()
          // Otherwise as node:fs: a file that is closed right after waits for the read.
          if (waits !== undefined) await waits
          return await read(block, offset, Math.min(length, bytesMax), position)
        },
        writev: ([first = Buffer.alloc(0)]: readonly Uint8Array[]) => writev([first.subarray(0, bytesMax)]),
        close: async () => {
          isOpen -= 1
          await close()
        },
      })
    },
  }
  const watched: WatchedFiles = {
    files,
    isOpen: () => isOpen,
    reads: () => reads,
    onRead: () => undefined,
  }
  return watched
}
