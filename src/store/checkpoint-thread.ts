import { DatabaseSync } from 'node:sqlite'
import { parentPort, workerData } from 'node:worker_threads'

/** The thread of checkpoints.ts. It loads nothing of the project, and so takes little memory and time to start. */

const OPEN_TIMEOUT_MS = 5_000
/** RESTART keeps all writers out while it waits for readers: no longer than a pull may be held up. */
const RESTART_TIMEOUT_MS = 50

const port = parentPort
const path: unknown = workerData
if (port === null || typeof path !== 'string') throw new TypeError('not started by checkpoints.ts')

const database = new DatabaseSync(path, { timeout: OPEN_TIMEOUT_MS })
const statements = {
  passive: database.prepare('PRAGMA wal_checkpoint(PASSIVE)'),
  restart: database.prepare('PRAGMA wal_checkpoint(RESTART)'),
}
database.exec(`PRAGMA busy_timeout = ${RESTART_TIMEOUT_MS}`)

/** How many pages the log has now, and whether somebody kept it from beginning again. */
function checkpoint(isRestart: boolean): { pages: number; isBusy: boolean } {
  const { log } = statements.passive.get() ?? {}
  if (!isRestart) return { pages: Number(log), isBusy: false }
  // Writers stop only for what was written during the second of these two.
  statements.passive.get()
  const isBusy = statements.restart.get()?.['busy'] !== 0
  return { pages: isBusy ? Number(log) : 0, isBusy }
}

port.on('message', (asked: unknown) => {
  if (asked !== 'passive' && asked !== 'restart') {
    database.close()
    port.close()
    return
  }
  try {
    port.postMessage(checkpoint(asked === 'restart'))
  } catch (error) {
    // A disk that is full or fails is so for a while: the thread goes on, and is asked again.
    // An error that is sent loses what it has of its own.
    const errcode = error instanceof Error && 'errcode' in error ? error.errcode : undefined
    port.postMessage({ failure: error instanceof Error ? error.message : String(error), errcode })
  }
})
