import { randomBytes } from 'node:crypto'
import * as nodeFiles from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { digestOf, type Digest } from '../oci/digest.ts'
import type { Files } from '../store/content-files.ts'
import { openContentStore, type DirectoryContentStore } from '../store/content.ts'
import { openDatabase, type Database } from '../store/database.ts'
import type { StoreError } from '../store/error.ts'

type StoreSetup = { bytesMax?: number; files?: Files; directory?: string; database?: Database }

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
    directory,
    database,
    bytesMax: setup.bytesMax ?? 1024 ** 3,
    now: () => new Date((clock.ms += 1)),
    onError: (error) => errors.push(error),
    ...(setup.files === undefined ? {} : { files: setup.files }),
  })
  await store.reconciled
  return { store, directory, database, errors }
}

/** Random bytes and their digest. */
export function randomContent(size: number): { bytes: Buffer; digest: Digest } {
  const bytes = randomBytes(size)
  return { bytes, digest: digestOf(bytes) }
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
export function failingHandles(method: 'writeFile' | 'sync', code: string, bytesMax = 0): Files {
  return {
    ...nodeFiles,
    async open(path, flags, mode) {
      const handle = await nodeFiles.open(path, flags, mode)
      if (flags !== 'wx') return handle
      let written = 0
      const write = handle.writeFile.bind(handle)
      handle.writeFile = async (chunk) => {
        written += (chunk as Uint8Array).length
        if (method === 'writeFile' && written > bytesMax) throw diskError(code)
        await write(chunk)
      }
      if (method === 'sync') handle.sync = () => Promise.reject(diskError(code))
      return handle
    },
  }
}

function diskError(code: string): Error {
  return Object.assign(new Error(code), { code })
}
