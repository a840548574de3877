import type { BigIntStats } from 'node:fs'
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { PolicyFiles } from './source.ts'

/** Enough for any organisation; what holds more is not a policies directory. */
const ENTRIES_MAX = 4096
/** With what is neither policy nor key. Links to directories lead to the same files again and again. */
const LOOKED_AT_MAX = 16_384
const DEPTH_MAX = 4
const FILE_BYTES_MAX = 1024 * 1024
/** All files together. Ten thousand policies have some 8 MiB. */
const BYTES_MAX = 64 * 1024 * 1024

/** In any case: a policy is not left out for how its name is written. */
const POLICY_FILE = /\.ya?ml$/i
const KEY_FILE = /\.(?:pem|pub)$/i

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
 * the file system throws, with RangeError where there is too much, and with TypeError where a name stands for no file.
 */
export async function readPolicyFiles(directory: string, disk: DirectoryFileSystem): Promise<PolicyFiles> {
  const found = await findPolicyFiles(directory, disk)
  const large = found.find(({ stats }) => stats.size > FILE_BYTES_MAX)
  if (large !== undefined) throw new RangeError(`${large.path} has more than ${FILE_BYTES_MAX} bytes`)
  const bytes = found.reduce((sum, { stats }) => sum + stats.size, 0n)
  if (bytes > BYTES_MAX) throw new RangeError(`more than ${BYTES_MAX} bytes together`)
  const files = await Promise.all(
    found.map(async ({ path }) => ({ path, text: await disk.readFile(join(directory, path)) })),
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
  const found = await findBelow({ directory, disk, budget: { left: LOOKED_AT_MAX } }, '', DEPTH_MAX)
  const wanted = found.filter(({ path }) => isWanted(path))
  if (wanted.length > ENTRIES_MAX) throw new RangeError(`more than ${ENTRIES_MAX} files`)
  return wanted.toSorted((a, b) => (a.path < b.path ? -1 : 1))
}

function isWanted(path: string): boolean {
  return POLICY_FILE.test(path) || KEY_FILE.test(path)
}

type Search = {
  readonly directory: string
  readonly disk: DirectoryFileSystem
  /** Entries that may still be looked at, of all directories. */
  readonly budget: { left: number }
}

async function findBelow(search: Search, below: string, depth: number): Promise<readonly Found[]> {
  const { directory, disk, budget } = search
  const names = await disk.readdir(join(directory, below))
  // A mounted ConfigMap keeps its real files under `..data` and links to them; those names would be found twice.
  const visible = names.filter((name) => !name.startsWith('.'))
  budget.left -= visible.length
  if (budget.left < 0) throw new RangeError(`more than ${LOOKED_AT_MAX} entries`)
  const nested = await Promise.all(
    visible.map(async (name) => {
      const path = below === '' ? name : `${below}/${name}`
      const stats = await disk.stat(join(directory, path))
      if (stats.isFile()) return [{ path, stats }]
      // A policy that is masked by a link to /dev/null is not silently none.
      if (!stats.isDirectory() && isWanted(path)) throw new TypeError(`${path} is no file`)
      if (!stats.isDirectory()) return []
      if (depth === 0) throw new RangeError(`${path} is nested more than ${DEPTH_MAX} deep`)
      return await findBelow(search, path, depth - 1)
    }),
  )
  return nested.flat()
}
