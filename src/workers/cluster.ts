import cluster from 'node:cluster'
import { fileURLToPath } from 'node:url'
import { LogLines } from './log-lines.ts'
import { isToKeeper } from './messages.ts'
import type { SupervisorDeps } from './supervisor.ts'

const PROGRAM = fileURLToPath(new URL('./worker.ts', import.meta.url))

/**
 * Workers as processes of node:cluster: this one has the ports and hands each new connection to the next worker, so that
 * connections spread evenly, and a port outlives whoever listened on it (adr/0011). `writeLog` gets whole lines.
 */
export function clusterLaunch(writeLog: (lines: string) => void): SupervisorDeps['launch'] {
  cluster.schedulingPolicy = cluster.SCHED_RR
  cluster.setupPrimary({
    exec: PROGRAM,
    args: [],
    // Map, Date and bytes arrive as they are.
    serialization: 'advanced',
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  })
  return (worker, on) => {
    const forked = cluster.fork()
    const { process: child } = forked
    const lines = new LogLines(worker, writeLog)
    child.stdout?.on('data', (chunk: Buffer) => lines.push(chunk))
    child.stdout?.once('end', () => lines.end())
    const { promise: ended, resolve } = Promise.withResolvers<{
      code: number | null
      signal: string | null
    }>()
    void ended.then((ending) => on.exit(ending))
    forked.on('message', (message: unknown) => {
      if (isToKeeper(message)) on.message(message)
    })
    forked.once('exit', (code: number | null, signal: string | null) => resolve({ code, signal }))
    // No process could be made, or a message did not reach one that is ending.
    forked.on('error', () => {
      if (child.pid === undefined) resolve({ code: null, signal: null })
    })
    return {
      pid: child.pid ?? 0,
      send: (message) => void forked.send(message, undefined, () => undefined),
      kill: () => void child.kill('SIGKILL'),
    }
  }
}
