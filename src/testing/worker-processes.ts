import assert from 'node:assert/strict'
import type { MetricsData, ToKeeper, ToWorker } from '../workers/messages.ts'
import { BEAT_MS } from '../workers/pulse.ts'
import { Supervisor, type Ending, type SupervisorDeps, type WorkerEvent } from '../workers/supervisor.ts'

const DIED: Ending = { code: null, signal: 'SIGKILL' }
export const RULE = { trust: undefined, policies: undefined, drill: null }

export type FakeProcess = {
  readonly worker: number
  readonly pid: number
  readonly sent: ToWorker[]
  isKilled: boolean
  say(message: ToKeeper): void
  die(ending?: Ending): void
}

/** A supervisor of processes that do what a test says, on clocks and timers that are the test's. */
export function startFakes(
  workers: number | SupervisorDeps['counts'] = 2,
  instead: Partial<SupervisorDeps> = {},
) {
  const processes: FakeProcess[] = []
  const events: WorkerEvent[] = []
  const delayed: { work: () => void; delayMs: number }[] = []
  const limits: AbortController[] = []
  const clock = { ms: 0 }
  const hopeless: string[] = []
  const beats: (() => void)[] = []
  const launching = { problem: undefined as string | undefined }
  const deps: SupervisorDeps = {
    counts: typeof workers === 'number' ? { serving: workers, cold: 0 } : workers,
    launch(worker, on) {
      if (launching.problem !== undefined) throw new Error(launching.problem)
      const process: FakeProcess = {
        worker,
        pid: 100 + processes.length,
        sent: [],
        isKilled: false,
        say: (message) => on.message(message),
        die: (ending = DIED) => on.exit(ending),
      }
      processes.push(process)
      return {
        pid: process.pid,
        send: (message) => void process.sent.push(message),
        kill: () => void (process.isKilled = true),
      }
    },
    startOf: (_, role) => ({ role, sockets: [], config: {} as never, places: [], rule: RULE }),
    answer: async () => await Promise.resolve('answered'),
    onNews: () => undefined,
    onEvent: (event) => void events.push(event),
    onEnded: () => undefined,
    onHopeless: (problem) => void hopeless.push(problem),
    elapsed: () => clock.ms,
    schedule: (work, delayMs) => void delayed.push({ work, delayMs }),
    every: (ms, work) => void (ms === BEAT_MS && beats.push(work)),
    limit() {
      const controller = new AbortController()
      limits.push(controller)
      return controller.signal
    },
    ...instead,
  }
  const supervisor = new Supervisor(deps)
  const listen = (process: FakeProcess): void => process.say({ kind: 'listening', at: [['data', address]] })
  return {
    supervisor,
    processes,
    events,
    delayed,
    limits,
    clock,
    hopeless,
    launching,
    listen,
    beat: () => beats.forEach((work) => work()),
    begun: async () => {
      const started = supervisor.start()
      for (const process of processes) listen(process)
      await started
    },
    replace: () => delayed.shift()?.work(),
    last: () => processes.at(-1)!,
  }
}

export const address = { address: '127.0.0.1', family: 'IPv4', port: 5000 }

/** Answers the last question that the process was asked. */
export function answer(process: FakeProcess, ok: boolean, value?: MetricsData): void {
  const asked = process.sent.findLast(({ kind }) => kind === 'ask')
  assert.ok(asked?.kind === 'ask')
  const answered = ok ? ({ ok, value } as const) : ({ ok, message: 'no' } as const)
  process.say({ kind: 'answer', id: asked.id, answer: answered })
}
