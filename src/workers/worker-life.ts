import { closeAll, listenProblem, listenToClients } from '../listeners.ts'
import type { News } from '../peers.ts'
import { StoreError } from '../store/error.ts'
import { listenToWorkers } from './cold.ts'
import type { Answers, Ask, ToKeeper, ToWorker, WorkerStart } from './messages.ts'
import { BEAT_MS, Pulse } from './pulse.ts'
import { answerBy, Questions } from './questions.ts'
import type { Listening } from './supervisor.ts'
import { createWorkerDeps, type Keeper, type WorkerDeps } from './worker-deps.ts'

export type WorkerLifeDeps = {
  /** Resolves when the message has left, or never can. */
  send(message: ToKeeper): Promise<void>
  /** Ends the process. */
  end(): void
  /** Nobody keeps this worker any more: ends the process at once. */
  abandoned(): void
  /** Lets other processes have the core first. */
  giveWay(): void
  /** Again and again, for as long as the process lives. */
  every(ms: number, work: () => void): void
}

type Running = {
  readonly deps: WorkerDeps
  /** Lets what runs end within so many milliseconds, and takes nothing new. */
  readonly close: (drainMs: number) => Promise<void>
  readonly drainMs: number
}

const TUF_LIMIT_MS = 10_000

/** A worker from its first message to its last: it listens once it has what counts, and does what its keeper tells it. */
export class WorkerLife {
  readonly #deps: WorkerLifeDeps
  readonly #questions: Questions
  readonly #pulse = new Pulse()
  readonly #listeners: ((news: News) => void)[] = []
  #running: Promise<Running | undefined> = Promise.resolve(undefined)
  /** The same once it is there, for what cannot wait. */
  #now: Running | undefined
  #isStopping = false

  constructor(deps: WorkerLifeDeps) {
    this.#deps = deps
    this.#questions = new Questions((id, ask) => void deps.send({ kind: 'ask', id, ask }))
    // A keeper that has been stopped renews nothing that is trusted, and takes nothing back.
    deps.every(BEAT_MS, () => {
      if (this.#pulse.beat()) deps.abandoned()
    })
  }

  hear(message: ToWorker): void {
    switch (message.kind) {
      case 'start':
        this.#running = this.#start(message.start)
        return
      case 'ask':
        void this.#answer(message.id, message.ask)
        return
      case 'answer':
        this.#questions.answer(message.id, message.answer)
        return
      case 'news':
        for (const listener of this.#listeners) listener(message.news)
        return
      case 'ping':
        this.#pulse.heard()
        void this.#deps.send({ kind: 'pong' })
        return
      case 'stop':
        this.stop()
    }
  }

  /** Drains, tells what was counted, and ends. */
  stop(): void {
    if (this.#isStopping) return
    this.#isStopping = true
    void this.#stop()
  }

  /** Writes at once what is only in memory. */
  flush(): void {
    this.#now?.deps.flush()
  }

  async #start(start: WorkerStart): Promise<Running | undefined> {
    try {
      // Before there are threads: they inherit it.
      if (start.role === 'cold') this.#deps.giveWay()
      const deps = await createWorkerDeps(start, this.#keeper())
      const { at, close } = await listenAs(start, deps)
      this.#now = { deps, close, drainMs: start.config.shutdown.drainMs }
      await this.#deps.send({ kind: 'listening', at })
      return this.#now
    } catch (error) {
      const problem = error instanceof StoreError ? error.message : listenProblem(error)
      await this.#deps.send({ kind: 'failed', problems: [problem] })
      this.#deps.end()
      return undefined
    }
  }

  #keeper(): Keeper {
    return {
      tell: (news) => void this.#deps.send({ kind: 'news', news }),
      onNews: (listener) => void this.#listeners.push(listener),
      tufFile: async (name, path) =>
        await this.#questions.ask({ kind: 'tuf', name, path }, AbortSignal.timeout(TUF_LIMIT_MS)),
    }
  }

  async #answer(id: number, ask: Ask): Promise<void> {
    const answer = await answerBy(async () => await this.#answerTo(ask))
    await this.#deps.send({ kind: 'answer', id, answer })
  }

  async #answerTo(ask: Ask): Promise<Answers[Ask['kind']]> {
    const running = await this.#running
    if (running === undefined) throw new TypeError('it has not begun')
    const { core, recent, rule, watch } = running.deps
    switch (ask.kind) {
      case 'rule':
        await rule.follow(ask.rule)
        return undefined
      case 'metrics':
        return await watch.metrics.registry.getMetricsAsJSON()
      case 'recent':
        return recent.seen()
      case 'settle':
        await core.sightings.write()
        return undefined
      case 'tuf':
      case 'pull':
        throw new TypeError(`a keeper does not ask for ${ask.kind}`)
    }
  }

  async #stop(): Promise<void> {
    const running = await this.#running
    if (running !== undefined) {
      const { deps, close, drainMs } = running
      await close(drainMs)
      await deps.close()
      await this.#deps.send({ kind: 'ended', metrics: await deps.watch.metrics.registry.getMetricsAsJSON() })
    }
    this.#deps.end()
  }
}

type Opened = { readonly at: Listening; readonly close: Running['close'] }

/** Where clients pull, or where other workers ask for what those do not do. */
async function listenAs({ role, sockets }: WorkerStart, deps: WorkerDeps): Promise<Opened> {
  if (role === 'serving') {
    const listeners = await listenToClients(deps.app, deps.listeners)
    const at = [...listeners].map(([name, { address }]) => [name, address] as const)
    return { at, close: async (drainMs) => await closeAll(listeners, drainMs) }
  }
  const [socket] = sockets
  if (socket === undefined) throw new TypeError('a cold worker has a socket')
  const { close } = await listenToWorkers(socket, deps.answerPull)
  return { at: [], close }
}
