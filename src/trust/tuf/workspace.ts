import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DIRECTORY_MODE } from '../../store/content-files.ts'

/** All that the client writes without looking for a delegated target. */
const CLIENT_FILES = ['root.json', 'timestamp.json', 'snapshot.json', 'targets.json'] as const

/** A directory for one run of the TUF client: it works on files, and not atomically, so on none that matter. */
export type Workspace = AsyncDisposable & {
  readonly directory: string
  /** What the client trusts now. */
  read(): Promise<Map<string, Buffer>>
}

export async function createWorkspace(
  path: string,
  contents: ReadonlyMap<string, Buffer>,
): Promise<Workspace> {
  await rm(path, { recursive: true, force: true })
  const directory = join(path, 'metadata')
  await mkdir(directory, { recursive: true, mode: DIRECTORY_MODE })
  for (const file of CLIENT_FILES) {
    const bytes = contents.get(file)
    if (bytes !== undefined) await writeFile(join(directory, file), bytes)
  }
  return {
    directory,
    async read() {
      const trusted = new Map<string, Buffer>()
      const present = new Set(await readdir(directory))
      for (const file of CLIENT_FILES) {
        if (present.has(file)) trusted.set(file, await readFile(join(directory, file)))
      }
      return trusted
    },
    async [Symbol.asyncDispose]() {
      await rm(path, { recursive: true, force: true })
    },
  }
}
