import { cp, mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { backup, DatabaseSync } from 'node:sqlite'
import { digestOf, type Digest } from '../oci/digest.ts'
import { contentPath } from '../store/content-files.ts'
import { openDatabase } from '../store/database.ts'
import { StoreError } from '../store/error.ts'
import { createStateStore } from '../store/state.ts'
import type { StateStore } from '../store/types.ts'

/** The state of a proxy at one moment, in files of our own: nothing that is done with it reaches the proxy. */
export type StateCopy = {
  readonly state: StateStore
  /** Has `trust/` like a data directory. */
  readonly dataDirectory: string
  /** From the proxy's own cache, where it is; its hash is checked. */
  readManifest(digest: Digest): Promise<Buffer | undefined>
  close(): Promise<void>
}

/** While a proxy runs on the directory, too: SQLite makes a copy of one moment. Throws StoreError. */
export async function copyState(dataDirectory: string, now: () => Date): Promise<StateCopy> {
  const source = join(dataDirectory, 'portcullis.db')
  await assertThere(source, dataDirectory)
  const directory = await mkdtemp(join(tmpdir(), 'portcullis-replay-'))
  const remove = (): Promise<void> => rm(directory, { recursive: true, force: true })
  try {
    await copyDatabase(source, join(directory, 'portcullis.db'))
    await cp(join(dataDirectory, 'trust'), join(directory, 'trust'), { recursive: true, force: true }).catch(
      ignoreMissing,
    )
    const database = openDatabase(join(directory, 'portcullis.db'))
    const state = createStateStore(database, { now, onError: () => undefined })
    return {
      state,
      dataDirectory: directory,
      readManifest: async (digest) => await readContent(join(dataDirectory, 'content'), digest),
      async close() {
        state.close()
        await remove()
      },
    }
  } catch (error) {
    await remove()
    throw error
  }
}

async function assertThere(source: string, dataDirectory: string): Promise<void> {
  try {
    await stat(source)
  } catch (error) {
    const message = `found no state in ${dataDirectory}, expected the dataDirectory of a proxy that has served pulls`
    throw new StoreError('unavailable', message, error)
  }
}

async function copyDatabase(source: string, target: string): Promise<void> {
  const database = new DatabaseSync(source, { readOnly: true })
  try {
    await backup(database, target)
  } finally {
    database.close()
  }
}

async function readContent(directory: string, digest: Digest): Promise<Buffer | undefined> {
  try {
    const bytes = await readFile(contentPath(directory, digest).path)
    return digestOf(bytes) === digest ? bytes : undefined
  } catch (error) {
    ignoreMissing(error)
    return undefined
  }
}

function ignoreMissing(error: unknown): void {
  if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return
  throw error
}
