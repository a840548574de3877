import { randomUUID } from 'node:crypto'
import nodeFiles from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { Files } from './content-files.ts'

export type AtomicFiles = Pick<Files, 'open' | 'rename' | 'rm'>

export type AtomicOptions = {
  readonly files?: AtomicFiles
  /** Default: for this user only. */
  readonly mode?: number
  /** Whose it is to stay, with just this mode whatever the umask. Default: whoever writes it. */
  readonly owner?: { readonly uid: number; readonly gid: number }
  /** Where the temporary file is, on the same file system. Default: beside the file. */
  readonly incoming?: string
}

/**
 * The whole file or nothing of it, and on the medium when it resolves: a temporary file beside it, fsync, rename, fsync
 * of the directory. Rejects with what the file system says, and leaves nothing behind.
 */
export async function writeFileAtomically(
  path: string,
  bytes: Uint8Array | string,
  options: AtomicOptions = {},
): Promise<void> {
  const { files = nodeFiles, mode = 0o600, owner } = options
  const temporary = join(options.incoming ?? dirname(path), `${basename(path)}.${randomUUID()}.tmp`)
  try {
    {
      await using file = await files.open(temporary, 'wx', mode)
      if (owner !== undefined) {
        await file.chown(owner.uid, owner.gid)
        await file.chmod(mode)
      }
      await file.writeFile(bytes)
      await file.sync()
    }
    await files.rename(temporary, path)
    await using directory = await files.open(dirname(path), 'r')
    await directory.sync()
  } catch (error) {
    await files.rm(temporary, { force: true })
    throw error
  }
}
