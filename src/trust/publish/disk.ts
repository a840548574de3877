import type { Dirent, Stats } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { writeFileAtomically, type AtomicFiles } from '../../store/atomic-file.ts'
import { PublishError, reasonOf } from './error.ts'

/** The part of node:fs/promises that publishing needs; tests give one that stops between two writes. */
export type Disk = {
  open(path: string, flags: string, mode?: number): Promise<FileHandle>
  readFile(path: string): Promise<Buffer>
  /** The first folder that it made, as node:fs says. */
  mkdir(path: string, options: { recursive: true; mode: number }): Promise<string | undefined>
  chmod(path: string, mode: number): Promise<void>
  rename(from: string, to: string): Promise<void>
  rm(path: string, options: { force: true; recursive?: true }): Promise<void>
  readdir(path: string, options: { withFileTypes: true; recursive?: true }): Promise<Dirent[]>
  stat(path: string): Promise<Stats>
}

/** Whoever serves the directory may be another user. Nothing in it is secret. */
const DIRECTORY_MODE = 0o755
const FILE_MODE = 0o644

/** No file of a trust repository comes near this; a larger one is a mistake. */
export const FILE_BYTES_MAX = 10 * 1024 * 1024

/**
 * Makes the folder and those above it that are missing, readable by all: people make keys under a umask of 077 and go
 * on with it. Folders that are there stay as their owner has them. Rejects with what the file system says.
 */
export async function makeFolder(disk: Disk, path: string): Promise<void> {
  const first = await disk.mkdir(path, { recursive: true, mode: DIRECTORY_MODE })
  if (first === undefined) return
  const end = resolve(first).length
  for (let made = resolve(path); made.length >= end; made = dirname(made)) {
    await disk.chmod(made, DIRECTORY_MODE)
  }
}

/**
 * Writes the whole file or nothing: a temporary one in `incoming` (same file system), fsync, rename, fsync of the folder.
 * Throws PublishError `unavailable`.
 */
export async function writeWhole(disk: Disk, path: string, bytes: Buffer, incoming: string): Promise<void> {
  try {
    await makeFolder(disk, incoming)
    await makeFolder(disk, dirname(path))
    await writeFileAtomically(path, bytes, { files: readable(disk), mode: FILE_MODE, incoming })
  } catch (error) {
    throw new PublishError('unavailable', `cannot write ${path}: ${reasonOf(error)}`, error)
  }
}

/** A new file has its mode before it has its name, whatever the umask. */
function readable(disk: Disk): AtomicFiles {
  return {
    ...disk,
    open: async (path, flags, mode) => {
      const file = await disk.open(path, flags, mode)
      if (mode === undefined) return file
      try {
        await file.chmod(mode)
        return file
      } catch (error) {
        await file.close()
        throw error
      }
    },
  }
}

/** The file's bytes, or undefined where there is none. Throws PublishError `unavailable`. */
export async function readIfThere(disk: Disk, path: string): Promise<Buffer | undefined> {
  try {
    const { size } = await disk.stat(path)
    if (size > FILE_BYTES_MAX) throw new Error(`it has ${size} bytes; at most ${FILE_BYTES_MAX} are read`)
    return await disk.readFile(path)
  } catch (error) {
    if (isMissing(error)) return undefined
    throw new PublishError('unavailable', `cannot read ${path}: ${reasonOf(error)}`, error)
  }
}

/** Like `readIfThere`, for a file that somebody named. Throws PublishError `usage` where there is none. */
export async function readNamed(disk: Disk, path: string): Promise<Buffer> {
  const bytes = await readIfThere(disk, path)
  if (bytes === undefined) throw new PublishError('usage', `there is no file ${path}`)
  return bytes
}

/** Every file below a folder by its path from there, with forward slashes. Nothing where the folder is missing. */
export async function listFiles(disk: Disk, directory: string): Promise<string[]> {
  try {
    const entries = await disk.readdir(directory, { withFileTypes: true, recursive: true })
    return entries
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(directory.length + 1))
      .toSorted()
  } catch (error) {
    if (isMissing(error)) return []
    throw new PublishError('unavailable', `cannot read ${directory}: ${reasonOf(error)}`, error)
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT'
}
