import { DatabaseSync } from 'node:sqlite'
import { parentPort, workerData } from 'node:worker_threads'

/** The thread of checkpoints.ts. It loads nothing of the project, and so takes little memory and time to start. */

const BUSY_TIMEOUT_MS = 5_000

const port = parentPort
const path: unknown = workerData
if (port === null || typeof path !== 'string') throw new TypeError('not started by checkpoints.ts')

const database = new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS })
const statements = {
  passive: database.prepare('PRAGMA wal_checkpoint(PASSIVE)'),
  restart: database.prepare('PRAGMA wal_checkpoint(RESTART)'),
}

port.on('message', (asked: unknown) => {
  if (asked !== 'passive' && asked !== 'restart') {
    database.close()
    port.close()
    return
  }
  const { log } = statements.passive.get() ?? {}
  if (asked === 'restart') {
    // Writers stop only for what was written during the second of these two.
    statements.passive.get()
    statements.restart.get()
  }
  port.postMessage(asked === 'restart' ? 0 : Number(log))
})
