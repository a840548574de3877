import { fileURLToPath } from 'node:url'
import type { Piscina } from 'piscina'
import type { Jobs } from './task.ts'
import { WorkError } from './work-error.ts'

export type PoolOptions = {
  /** Default 1: heavy evidence is rare, and a second thread competes with the event loop on a small machine. */
  readonly threadsMax: number
  /** Tasks that wait. Default 256. */
  readonly queueMax: number
  /** How long one task may take, waiting included, in milliseconds. Default 10 s; the worst accepted input takes 2 s. */
  readonly taskTimeoutMs: number
  /** Heap of one thread in MiB. Default 512: JSON of 16 MiB may take 20 times its size. */
  readonly threadMemoryMib: number
}

export type Pool = {
  /** Rejects with WorkError. */
  run<Name extends keyof Jobs>(
    name: Name,
    task: Parameters<Jobs[Name]>[0],
    signal: AbortSignal,
  ): Promise<ReturnType<Jobs[Name]>>
  /** Whether a thread is at hand, so that nobody would wait for one to start. */
  isReady(): boolean
  /** Starts a thread, for those who ask later. */
  wake(): void
  close(): Promise<void>
}

const WORKER = fileURLToPath(new URL('./worker.ts', import.meta.url))
/** A burst of images shares a warm thread; after that its memory is given back. */
const IDLE_TIMEOUT_MS = 60_000

type Threads = Piscina<unknown, unknown>

/** Threads for work that would hold the event loop. None is started, and nothing of it loaded, before it is needed. */
export function createPool(options: PoolOptions): Pool {
  let starting: Promise<Threads> | undefined
  let waking: Promise<void> | undefined
  let ready = 0
  const start = async (): Promise<Threads> => {
    try {
      const threads = await startThreads(options)
      threads.on('workerCreate', () => ready++)
      threads.on('workerDestroy', () => ready--)
      return threads
    } catch (cause) {
      // It may have been the moment: too many open files, say. Whoever comes next tries again.
      starting = undefined
      throw new WorkError('crashed', 'the verification threads cannot be started', cause)
    }
  }
  const wake = async (): Promise<void> => {
    try {
      await (await (starting ??= start())).run(undefined, { name: 'wake' satisfies keyof Jobs })
    } catch {
      // Without a thread there is still this one, and whoever needs it next tries again.
    } finally {
      waking = undefined
    }
  }
  return {
    isReady: () => ready > 0,
    wake: () => void (waking ??= wake()),
    async run<Name extends keyof Jobs>(name: Name, task: Parameters<Jobs[Name]>[0], signal: AbortSignal) {
      const timeout = AbortSignal.timeout(options.taskTimeoutMs)
      const threads = await (starting ??= start())
      if (threads.queueSize >= options.queueMax)
        throw new WorkError('overloaded', 'too much evidence waits to be verified')
      try {
        const result = await threads.run(task, { name, signal: AbortSignal.any([signal, timeout]) })
        // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the worker's function of this name has this type
        return result as ReturnType<Jobs[Name]>
      } catch (cause) {
        throw workError(cause, signal, timeout)
      }
    },
    close: async () => await (await starting?.catch(() => undefined))?.destroy(),
  }
}

async function startThreads(options: PoolOptions): Promise<Threads> {
  const { Piscina: Pooled } = await import('piscina')
  const threads: Threads = new Pooled({
    filename: WORKER,
    minThreads: 0,
    maxThreads: options.threadsMax,
    maxQueue: options.queueMax,
    idleTimeout: IDLE_TIMEOUT_MS,
    resourceLimits: { maxOldGenerationSizeMb: options.threadMemoryMib },
  })
  // A thread that dies before it has a task has nobody to tell; without a listener that would end the process. Tasks
  // that wait for it end by their own time limit.
  threads.on('error', () => undefined)
  return threads
}

function workError(cause: unknown, signal: AbortSignal, timeout: AbortSignal): WorkError {
  if (signal.aborted) return new WorkError('aborted', 'verification was given up', cause)
  if (timeout.aborted) return new WorkError('timeout', 'verification took too long', cause)
  const message = cause instanceof Error ? cause.message : String(cause)
  if (/queue/i.test(message))
    return new WorkError('overloaded', 'too much evidence waits to be verified', cause)
  return new WorkError('crashed', `the verification thread failed: ${message}`, cause)
}
