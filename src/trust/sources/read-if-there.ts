import { readFile } from 'node:fs/promises'
import { isMissing } from '../../store/error.ts'

/** Undefined where there is no such file; rejects with what the file system threw where it cannot be read. */
export async function readIfThere(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path)
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}
