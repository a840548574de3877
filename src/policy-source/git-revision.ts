import { readFile, realpath, stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'

/** The part of node:fs/promises that is read with. */
export type GitFileSystem = {
  realpath(path: string): Promise<string>
  /** Bytes; rejects where it is not there. */
  size(path: string): Promise<number>
  readFile(path: string): Promise<string>
}

const DISK: GitFileSystem = {
  realpath: async (path) => await realpath(path),
  size: async (path) => (await stat(path)).size,
  readFile: async (path) => await readFile(path, 'utf8'),
}

const COMMIT = /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/
/** git-check-ref-format, as far as it keeps a name inside its directory. */
const REF = /^refs\/(?!.*\.\.)[^\s~^:?*[\\]{1,250}$/
/** `ref:` to `ref:`; git itself follows five. */
const SYMBOLIC_MAX = 5
/** HEAD, a ref, a `gitdir:` line. */
const SMALL_BYTES_MAX = 4096
/** A line of some 100 bytes for each ref. */
const PACKED_BYTES_MAX = 16 * 1024 * 1024
const PARENTS_MAX = 64

/**
 * The commit that HEAD of the checkout around `directory` is at, read as gitrepository-layout(5) has it and without
 * running git, whose configuration another user may have written. Undefined where there is none that can be read so.
 * Says nothing of files that were changed since.
 */
export async function gitRevision(
  directory: string,
  disk: GitFileSystem = DISK,
): Promise<string | undefined> {
  try {
    const place = await findGit(await disk.realpath(directory), disk)
    return place === undefined ? undefined : await commitOf('HEAD', place, disk)
  } catch {
    // It is for people to read; whatever is wrong with it changes no verdict.
    return undefined
  }
}

type GitPlace = {
  /** What is of this worktree alone: HEAD. */
  readonly own: string
  /** What all worktrees share: refs. */
  readonly common: string
}

async function findGit(directory: string, disk: GitFileSystem): Promise<GitPlace | undefined> {
  let at = directory
  for (let parents = 0; parents < PARENTS_MAX; parents++) {
    // oxlint-disable-next-line no-await-in-loop -- the nearest counts
    const place = await gitAt(resolve(at, '.git'), disk)
    if (place !== undefined) return place
    if (dirname(at) === at) return undefined
    at = dirname(at)
  }
  return undefined
}

/** `.git` is a directory, or in worktrees and submodules a file that names one. */
async function gitAt(dotGit: string, disk: GitFileSystem): Promise<GitPlace | undefined> {
  const link = await readSmall(dotGit, disk)
  const [, named] = /^gitdir: (.+)$/m.exec(link ?? '') ?? []
  const own = named === undefined ? dotGit : resolve(dirname(dotGit), named)
  if ((await readSmall(resolve(own, 'HEAD'), disk)) === undefined) return undefined
  const common = await readSmall(resolve(own, 'commondir'), disk)
  return { own, common: common === undefined ? own : resolve(own, common.trim()) }
}

async function commitOf(name: string, place: GitPlace, disk: GitFileSystem): Promise<string | undefined> {
  let ref = name
  for (let links = 0; links <= SYMBOLIC_MAX; links++) {
    // HEAD, and what only this worktree has, such as refs/bisect, is found in its own directory first.
    // oxlint-disable-next-line no-await-in-loop -- each names the next
    const text = (await readSmall(resolve(place.own, ref), disk)) ?? (await sharedRef(ref, place, disk))
    const value = text?.trim() ?? ''
    if (COMMIT.test(value)) return value
    const [, next] = /^ref: (.+)$/.exec(value) ?? []
    if (next === undefined || !REF.test(next)) return undefined
    ref = next
  }
  return undefined
}

async function sharedRef(
  ref: string,
  { common }: GitPlace,
  disk: GitFileSystem,
): Promise<string | undefined> {
  const loose = await readSmall(resolve(common, ref), disk)
  if (loose !== undefined) return loose
  const packed = (await readUpTo(PACKED_BYTES_MAX, resolve(common, 'packed-refs'), disk)) ?? ''
  const line = packed.split('\n').find((one) => one.endsWith(` ${ref}`))
  return line?.split(' ', 1)[0]
}

async function readSmall(path: string, disk: GitFileSystem): Promise<string | undefined> {
  return await readUpTo(SMALL_BYTES_MAX, path, disk)
}

/** Undefined where it is not there, no file, or too large. */
async function readUpTo(bytesMax: number, path: string, disk: GitFileSystem): Promise<string | undefined> {
  try {
    return (await disk.size(path)) > bytesMax ? undefined : await disk.readFile(path)
  } catch {
    return undefined
  }
}
