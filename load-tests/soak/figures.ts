import { readdir, readFile } from 'node:fs/promises'
import { metricTotal } from '../metrics.ts'
import type { PortcullisPeer } from '../peers.ts'

/** What a process holds at one moment. */
export type Figures = {
  readonly residentBytes: number
  readonly heapBytes: number
  /** Of libuv: sockets, timers, servers. */
  readonly handles: number
  /** Sockets and files, as the kernel counts them. */
  readonly openFiles: number
}

/** Names of prom-client's default metrics. */
const HEAP = 'nodejs_heap_size_used_bytes'
const HANDLES = 'nodejs_active_handles_total'

export async function figuresOf({ adminUrl, running: { pid } }: PortcullisPeer): Promise<Figures> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return {
    residentBytes: 1024 * Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]),
    heapBytes: await metricTotal(adminUrl, HEAP),
    handles: await metricTotal(adminUrl, HANDLES),
    openFiles: (await readdir(`/proc/${pid}/fd`)).length,
  }
}
