import { mkdir, rm } from 'node:fs/promises'
import { coldDirectory } from '../config/cold-sockets.ts'
import type { Config } from '../config/schema.ts'
import { storeError } from '../store/error.ts'

type Opened =
  | { readonly ok: true; readonly close: () => Promise<void> }
  | { readonly ok: false; readonly problem: string }

/** The directory in which cold workers listen, for this run alone. */
export async function openColdDirectory(
  config: Pick<Config, 'dataDirectory' | 'coldWorkers'>,
): Promise<Opened> {
  // Then nothing there is ours.
  if (config.coldWorkers === 0) return { ok: true, close: async () => await Promise.resolve() }
  const directory = coldDirectory(config)
  const remove = async (): Promise<void> => await rm(directory, { recursive: true, force: true })
  try {
    // Of a run that was killed.
    await remove()
    await mkdir(directory, { mode: 0o700 })
  } catch (error) {
    const { message } = storeError('cannot make the directory in which cold workers listen', error)
    return { ok: false, problem: message }
  }
  return { ok: true, close: remove }
}
