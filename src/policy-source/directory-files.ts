import type { BigIntStats } from 'node:fs'
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { PolicyFiles } from './source.ts'

/** Enough for any organisation; what holds more is not a policies directory. */
const ENTRIES_MAX = 4096
const DEPTH_MAX = 4
const FILE_BYTES_MAX = 1024 * 1024

const POLICY_FILE = /\.ya?ml$/
const KEY_FILE = /\.(?:pem|pub)$/

/** The part of node:fs/promises that is read with; tests give one that fails. */
export type DirectoryFileSystem = {
  readdir(path: string): Promise<string[]>
  stat(path: string): Promise<BigIntStats>
  readFile(path: string): Promise<string>
}

export const DISK: DirectoryFileSystem = {
  readdir: async (path) => await readdir(path),
  stat: async (path) => await stat(path, { bigint: true }),
  readFile: async (path) => await readFile(path, 'utf8'),
}

type Found = { readonly path: string; readonly stats: BigIntStats }

/**
 * Every policy and key file below `directory`, by its path relative to it, with forward slashes, sorted. Rejects with what
 * the file system throws, and with RangeError where there is too much.
 */
export async function readPolicyFiles(directory: string, disk: DirectoryFileSystem): Promise<PolicyFiles> {
  const found = await findPolicyFiles(directory, disk)
  const files = await Promise.all(
    found.map(async ({ path, stats }) => {
      if (stats.size > FILE_BYTES_MAX) throw new RangeError(`${path} has more than ${FILE_BYTES_MAX} bytes`)
      return { path, text: await disk.readFile(join(directory, path)) }
    }),
  )
  const keys = files.filter(({ path }) => KEY_FILE.test(path))
  return {
    policies: files.filter(({ path }) => POLICY_FILE.test(path)),
    keys: new Map(keys.map(({ path, text }) => [path, text])),
  }
}

/**
 * What the file system says of the same files, without their content. Not only the time of the content: tools that keep
 * it (`cp -p`, `rsync -a`) still change the inode or its own time. Through links, so that a swapped one is seen.
 */
export async function statePolicyFiles(directory: string, disk: DirectoryFileSystem): Promise<string> {
  const found = await findPolicyFiles(directory, disk)
  return found
    .map(
      ({ path, stats: { ino, size, mtimeNs, ctimeNs } }) => `${path}\0${ino} ${size} ${mtimeNs} ${ctimeNs}`,
    )
    .join('\n')
}

async function findPolicyFiles(directory: string, disk: DirectoryFileSystem): Promise<readonly Found[]> {
  const found = await findBelow({ directory, disk }, '', DEPTH_MAX)
  const wanted = found.filter(({ path }) => POLICY_FILE.test(path) || KEY_FILE.test(path))
  if (wanted.length > ENTRIES_MAX) throw new RangeError(`more than ${ENTRIES_MAX} files`)
  return wanted.toSorted((a, b) => (a.path < b.path ? -1 : 1))
}

async function findBelow(
  where: { readonly directory: string; readonly disk: DirectoryFileSystem },
  below: string,
  depth: number,
): Promise<readonly Found[]> {
  const { directory, disk } = where
  const names = await disk.readdir(join(directory, below))
  // A mounted ConfigMap keeps its real files under `..data` and links to them; those names would be found twice.
  const visible = names.filter((name) => !name.startsWith('.'))
  const nested = await Promise.all(
    visible.map(async (name) => {
      const path = below === '' ? name : `${below}/${name}`
      const stats = await disk.stat(join(directory, path))
      if (stats.isFile()) return [{ path, stats }]
      if (!stats.isDirectory()) return []
      if (depth === 0) throw new RangeError(`${path} is nested more than ${DEPTH_MAX} deep`)
      return await findBelow(where, path, depth - 1)
    }),
  )
  return nested.flat()
}
