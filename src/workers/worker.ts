import cluster from 'node:cluster'
import { EXIT } from '../cli/io.ts'
import { isToWorker, type ToKeeper } from './messages.ts'
import { giveWay } from './priority.ts'
import { WorkerLife } from './worker-life.ts'

/** The program of a worker process. */

/** Resolves when the message is on its way, or when nobody is there to get it. */
async function send(message: ToKeeper): Promise<void> {
  await new Promise<void>((resolve) => {
    if (process.send === undefined) resolve()
    else process.send(message, undefined, undefined, () => resolve())
  })
}

/**
 * Without its keeper nobody renews what is trusted. By a signal: nobody reads the log any more, and what flushes it on the
 * way out of a process would try for ever.
 */
function abandoned(): void {
  life.flush()
  process.kill(process.pid, 'SIGKILL')
}

const life = new WorkerLife({
  send,
  end: () => process.exit(EXIT.ok),
  abandoned,
  giveWay,
  every: (ms, work) => void setInterval(work, ms).unref(),
})

process.on('message', (message: unknown) => {
  if (isToWorker(message)) life.hear(message)
})
// A terminal and some supervisors signal every process of the group; the keeper reloads for all.
process.on('SIGHUP', () => undefined)
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => life.stop())
cluster.worker?.once('disconnect', abandoned)
process.on('uncaughtException', (error: unknown) => {
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
  process.stderr.write(`portcullis: unexpected error in a worker: ${text}\n`)
  process.exit(EXIT.undetermined)
})
