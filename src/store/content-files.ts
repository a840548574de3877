import type { FileHandle } from 'node:fs/promises'
import { statSync, type Dirent, type Stats } from 'node:fs'
import { dirname, join } from 'node:path'
import { digestParts, parseDigest, type Digest } from '../oci/digest.ts'
import { isMissing } from './error.ts'

/** The part of node:fs/promises that the content store needs; tests give one whose disk is full or broken. */
export type Files = {
  open(path: string, flags: string, mode?: number): Promise<FileHandle>
  readFile(path: string): Promise<Buffer>
  mkdir(path: string, options: { recursive: true; mode: number }): Promise<unknown>
  rename(from: string, to: string): Promise<void>
  rm(path: string, options: { force: true; recursive?: true }): Promise<void>
  readdir(path: string, options: { withFileTypes: true }): Promise<Dirent[]>
  stat(path: string): Promise<Stats>
}

/** Only this process reads and writes content. */
export const DIRECTORY_MODE = 0o700
export const FILE_MODE = 0o600

/** `<directory>/<algorithm>/<first two hex digits>/<hex>`: 256 directories keep each one small. */
export function contentPath(directory: string, digest: Digest): { parent: string; path: string } {
  const { algorithm, hex } = digestParts(digest)
  const parent = join(directory, algorithm, hex.slice(0, 2))
  return { parent, path: join(parent, hex) }
}

/** Where what is on its way in lies: the part of a guest, or all of it. */
export function incomingPath({
  directory,
  guest,
}: {
  directory: string
  guest?: string | undefined
}): string {
  return join(directory, 'incoming', ...(guest === undefined ? [] : [guest]))
}

/** The directory of `to` is nearly always there: to make sure of it first would cost each file as much as its move. */
export async function moveInto(files: Files, from: string, to: string): Promise<void> {
  try {
    await files.rename(from, to)
  } catch (error) {
    if (!isMissing(error)) throw error
    await files.mkdir(dirname(to), { recursive: true, mode: DIRECTORY_MODE })
    await files.rename(from, to)
  }
}

/** In bytes; undefined where there is none. */
export function sizeOfFile(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.size
}

/** Every file in the directory whose name is a digest and lies where that digest belongs. */
export async function* listContent(files: Files, directory: string): AsyncGenerator<Digest> {
  for (const algorithm of ['sha256', 'sha384', 'sha512']) {
    for (const parent of await namesIn(files, join(directory, algorithm), 'directory')) {
      const names = await namesIn(files, join(directory, algorithm, parent), 'file')
      yield* names
        .filter((name) => name.startsWith(parent))
        .flatMap((name) => parseDigest(`${algorithm}:${name}`) ?? [])
    }
  }
}

async function namesIn(files: Files, path: string, kind: 'file' | 'directory'): Promise<string[]> {
  try {
    const entries = await files.readdir(path, { withFileTypes: true })
    return entries
      .filter((entry) => (kind === 'file' ? entry.isFile() : entry.isDirectory()))
      .map((entry) => entry.name)
  } catch {
    // Not there, or not readable: nothing to adopt from it. Reads that need it report what is wrong.
    return []
  }
}
