import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'

/** Far above any TUF metadata or trusted root. */
const FILE_BYTES_MAX = 16 * 1024 * 1024
/** Everything but the timestamp is named by its version or hash (TUF specification 6.2). */
const MUTABLE = 'timestamp.json'

/**
 * A file of a repository that `portcullis trust publish` wrote, or undefined. `path` is of plain segments: the caller
 * has checked that none of them is `..`.
 */
export async function readPublished(
  directory: string,
  path: string,
): Promise<{ bytes: Buffer; isImmutable: boolean } | undefined> {
  const file = join(directory, 'public', path)
  try {
    const found = await stat(file)
    if (!found.isFile() || found.size > FILE_BYTES_MAX) return undefined
    return { bytes: await readFile(file), isImmutable: path !== MUTABLE }
  } catch {
    // Not there, or not for us: either way a client is told that there is no such file.
    return undefined
  }
}
