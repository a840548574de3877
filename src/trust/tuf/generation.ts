import { hash } from 'node:crypto'
import { join } from 'node:path'
import { z } from 'zod'
import { DIRECTORY_MODE, FILE_MODE, type Files } from '../../store/content-files.ts'
import { ROOT_FILE } from './names.ts'

/** All that a mirror keeps. On disk it is replaced as a whole or not at all. */
export type Generation = {
  /** When the repository was last found to be the newest; undefined before the first time. */
  readonly refreshedAt: Date | undefined
  /** The verified repository by path below its URL. Empty before the first refresh that succeeded. */
  readonly repository: ReadonlyMap<string, Buffer>
  /** What the TUF client trusts, as it names its files: what a rollback is told by, also after a refresh that failed. */
  readonly client: ReadonlyMap<string, Buffer>
}

export const EMPTY_GENERATION: Generation = {
  refreshedAt: undefined,
  repository: new Map(),
  client: new Map(),
}

/**
 * What outlives a repository that cannot be used: each of these files is verified by itself before it counts again, and
 * without them an older state would look like the newest.
 */
export function memoryOf({ repository, client }: Generation): Generation {
  const roots = [...repository].filter(([file]) => ROOT_FILE.test(file))
  return { ...EMPTY_GENERATION, client: new Map([...roots, ...client]) }
}

export type ReadGeneration = {
  readonly generation: Generation
  /** What is not as it was written, in one line. */
  readonly damage: readonly string[]
}

const INDEX = 'index'
const BLOBS = 'files'
const SHA256 = /^[0-9a-f]{64}$/

const entries = z.array(z.tuple([z.string(), z.string().regex(SHA256)]))

const indexSchema = z.strictObject({
  format: z.literal(1),
  refreshedAt: z.iso
    .datetime()
    .transform((text) => new Date(text))
    .optional(),
  repository: entries,
  client: entries,
})

type Index = z.infer<typeof indexSchema>

/**
 * Writes the files, each under its hash, and then the index that makes them a generation. A crash at any instruction
 * leaves the former index or this one, with all of its files. Rejects with what the file system says.
 */
export async function writeGeneration(
  directory: string,
  generation: Generation,
  files: Files,
): Promise<void> {
  const blobs = join(directory, BLOBS)
  await files.mkdir(blobs, { recursive: true, mode: DIRECTORY_MODE })
  const present = new Set((await files.readdir(blobs, { withFileTypes: true })).map(({ name }) => name))
  const named = new Map<string, Buffer>()
  const entriesOf = (contents: ReadonlyMap<string, Buffer>): [string, string][] =>
    [...contents].map(([file, bytes]) => {
      const name = hash('sha256', bytes, 'hex')
      named.set(name, bytes)
      return [file, name]
    })
  const index = {
    format: 1,
    refreshedAt: generation.refreshedAt?.toISOString(),
    repository: entriesOf(generation.repository),
    client: entriesOf(generation.client),
  }
  for (const [name, bytes] of named) {
    if (!present.has(name)) await writeWhole(join(blobs, name), bytes, files)
  }
  await syncDirectory(blobs, files)
  const body = JSON.stringify(index)
  await writeWhole(join(directory, INDEX), Buffer.from(`${hash('sha256', body, 'hex')}\n${body}`), files)
  await syncDirectory(directory, files)
  await removeOthers(blobs, new Set(named.keys()), files)
}

/** Reads what was written last. What is damaged is left out, told, and removed, so that it is written anew. */
export async function readGeneration(directory: string, files: Files): Promise<ReadGeneration> {
  const blobs = join(directory, BLOBS)
  await files.mkdir(blobs, { recursive: true, mode: DIRECTORY_MODE })
  // What a crash left behind: an index that never counted, the client's workspace.
  await removeOthers(directory, new Set([INDEX, BLOBS]), files)
  const index = await readIndex(directory, files)
  if (index === undefined) return { generation: EMPTY_GENERATION, damage: [] }
  if (typeof index === 'string') {
    await files.rm(join(directory, INDEX), { force: true })
    return { generation: EMPTY_GENERATION, damage: [index] }
  }
  await removeOthers(blobs, new Set([...index.repository, ...index.client].map(([, name]) => name)), files)
  const damage: string[] = []
  const load = async (listed: Index['client']): Promise<Map<string, Buffer>> => {
    const contents = new Map<string, Buffer>()
    for (const [file, name] of listed) {
      const bytes = await readBlob(join(blobs, name), name, files)
      if (typeof bytes === 'string') damage.push(`${file} ${bytes}`)
      else contents.set(file, bytes)
    }
    return contents
  }
  const repository = await load(index.repository)
  const client = await load(index.client)
  return { generation: { refreshedAt: index.refreshedAt, repository, client }, damage }
}

async function readIndex(directory: string, files: Files): Promise<Index | string | undefined> {
  const bytes = await readIfThere(join(directory, INDEX), files)
  if (bytes === undefined) return undefined
  const text = bytes.toString('utf8')
  const end = text.indexOf('\n')
  const body = text.slice(end + 1)
  if (text.slice(0, Math.max(end, 0)) !== hash('sha256', body, 'hex')) return 'its index is damaged'
  const index = indexSchema.safeParse(JSON.parse(body))
  return index.success ? index.data : 'its index is of another release'
}

/** The bytes, or what is wrong with them. */
async function readBlob(path: string, name: string, files: Files): Promise<Buffer | string> {
  const bytes = await readIfThere(path, files)
  if (bytes === undefined) return 'is gone'
  if (hash('sha256', bytes, 'hex') === name) return bytes
  await files.rm(path, { force: true })
  return 'is damaged'
}

async function readIfThere(path: string, files: Files): Promise<Buffer | undefined> {
  try {
    return await files.readFile(path)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
}

async function writeWhole(path: string, bytes: Buffer, files: Files): Promise<void> {
  const incoming = `${path}.new`
  await using file = await files.open(incoming, 'w', FILE_MODE)
  await file.writeFile(bytes)
  // Before the rename: otherwise a power cut can leave the name with none of the bytes.
  await file.sync()
  await files.rename(incoming, path)
}

async function syncDirectory(path: string, files: Files): Promise<void> {
  await using directory = await files.open(path, 'r')
  await directory.sync()
}

async function removeOthers(directory: string, wanted: ReadonlySet<string>, files: Files): Promise<void> {
  for (const { name } of await files.readdir(directory, { withFileTypes: true })) {
    if (!wanted.has(name)) await files.rm(join(directory, name), { force: true, recursive: true })
  }
}
