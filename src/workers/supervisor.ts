import type { AddressInfo } from 'node:net'
import type { News } from '../peers.ts'
import type { Answers, Ask, Rule, ToKeeper, ToWorker, WorkerStart } from './messages.ts'
import { answerBy, Questions } from './questions.ts'

/** A process as the system runs it. */
type WorkerProcess = {
  readonly pid: number
  /** Reaches it or not. */
  send(message: ToWorker): void
  /** At once: it may not listen to anybody any more. */
  kill(): void
}

export type Ending = { readonly code: number | null; readonly signal: string | null }

export type WorkerEvent =
  | { readonly kind: 'started' | 'listening'; readonly worker: number; readonly pid: number }
  | ({
      readonly kind: 'ended'
      readonly worker: number
      readonly pid: number
      /** Whether all are to end. */
      readonly isWanted: boolean
      /** Undefined: nobody takes its place. */
      readonly replacedInMs: number | undefined
    } & Ending)
  | {
      readonly kind: 'failed'
      readonly worker: number
      readonly pid: number
      readonly problems: readonly string[]
    }
  /** It did not take over what counts from now on, and is replaced. */
  | { readonly kind: 'behind'; readonly worker: number; readonly pid: number; readonly message: string }

export type SupervisorDeps = {
  readonly count: number
  launch(worker: number, on: { message(message: ToKeeper): void; exit(ending: Ending): void }): WorkerProcess
  /** What a worker that begins now begins with. */
  startOf(): WorkerStart
  /** What a worker asks. */
  answer(ask: Ask): Promise<unknown>
  onNews(news: News): void
  onEvent(event: WorkerEvent): void
  /** What a process had counted when it ended by itself. */
  onEnded(pid: number, last: Answers['metrics'] | undefined): void
  /** No worker stays alive: there is nothing to supervise. */
  onHopeless(problem: string): void
  /** Milliseconds, monotonic. */
  elapsed(): number
  schedule(work: () => void, delayMs: number): void
  /** Aborts after so many milliseconds. */
  limit(ms: number): AbortSignal
}

export type Listening = readonly (readonly [string, AddressInfo])[]
type Started =
  | { readonly ok: true; readonly at: Listening }
  | { readonly ok: false; readonly problems: readonly string[] }

type Live = {
  readonly process: WorkerProcess
  readonly questions: Questions
  readonly sinceMs: number
  isListening: boolean
  /** What it said last of its figures. */
  metrics: Answers['metrics'] | undefined
}

type Slot = { readonly worker: number; live: Live | undefined; failures: number }

/** A worker that hangs for so long holds what it should not any more: it is killed. */
const RULE_LIMIT_MS = 20_000
const BACKOFF_MS = 100
const BACKOFF_MAX_MS = 30_000
/** Who has lived for so long has not died of how it began. */
const STABLE_MS = 60_000
/** Short lives of each worker in a row, after which no further one is begun where none is alive. */
const SHORT_LIVES_MAX = 5

/** Starts the workers, brings them what counts, and replaces those that end. */
export class Supervisor {
  readonly #deps: SupervisorDeps
  readonly #slots: readonly Slot[]
  readonly #started = Promise.withResolvers<Started>()
  readonly #allEnded = Promise.withResolvers<void>()
  #shortLives = 0
  #isStopping = false

  constructor(deps: SupervisorDeps) {
    this.#deps = deps
    this.#slots = Array.from({ length: deps.count }, (_, index) => ({
      worker: index + 1,
      live: undefined,
      failures: 0,
    }))
  }

  /** Resolves when all of them listen, or when one of them cannot. */
  async start(): Promise<Started> {
    for (const slot of this.#slots) this.#launch(slot)
    return await this.#started.promise
  }

  /** Workers that listen now. */
  get listening(): number {
    return this.#slots.filter(({ live }) => live?.isListening === true).length
  }

  get count(): number {
    return this.#slots.length
  }

  /** Resolves when every worker that lives goes by the rule; one that does not in time is killed. Never rejects. */
  async spread(rule: Rule): Promise<void> {
    await Promise.all(
      this.#alive().map(async ([{ worker }, { process, questions }]) => {
        try {
          await questions.ask({ kind: 'rule', rule }, this.#deps.limit(RULE_LIMIT_MS))
        } catch (error) {
          const message = error instanceof Error ? error.message : String(error)
          this.#deps.onEvent({ kind: 'behind', worker, pid: process.pid, message })
          process.kill()
        }
      }),
    )
  }

  /** What each worker that listens answers within the limit, by its process; the others are left out. */
  async askAll<Kind extends 'metrics' | 'recent' | 'settle'>(
    kind: Kind,
    limitMs: number,
  ): Promise<ReadonlyMap<number, Answers[Kind]>> {
    const limit = this.#deps.limit(limitMs)
    const listening = this.#alive().filter(([, { isListening }]) => isListening)
    const answers = await Promise.all(
      listening.map(async ([, { process, questions }]) => {
        try {
          return [[process.pid, await questions.ask({ kind }, limit)] as const]
        } catch {
          // Busy, or ending.
          return []
        }
      }),
    )
    return new Map(answers.flat())
  }

  /** To all but the process that tells it. */
  tell(news: News, from?: number): void {
    for (const [, { process }] of this.#alive()) {
      if (process.pid !== from) process.send({ kind: 'news', news })
    }
  }

  /** Lets all of them end, and ends those that have not after `limitMs`. */
  async stop(limitMs: number): Promise<void> {
    this.#isStopping = true
    const alive = this.#alive()
    if (alive.length === 0) return
    for (const [, { process }] of alive) process.send({ kind: 'stop' })
    this.#deps.schedule(() => {
      for (const [, { process }] of this.#alive()) process.kill()
    }, limitMs)
    await this.#allEnded.promise
  }

  #alive(): readonly (readonly [Slot, Live])[] {
    return this.#slots.flatMap((slot) => (slot.live === undefined ? [] : [[slot, slot.live] as const]))
  }

  #launch(slot: Slot): void {
    if (this.#isStopping) return
    const { worker } = slot
    const process = this.#deps.launch(worker, {
      message: (message) => this.#hear(slot, live, message),
      exit: (ending) => this.#ended(slot, live, ending),
    })
    const live: Live = {
      process,
      questions: new Questions((id, ask) => process.send({ kind: 'ask', id, ask })),
      sinceMs: this.#deps.elapsed(),
      isListening: false,
      metrics: undefined,
    }
    slot.live = live
    process.send({ kind: 'start', start: this.#deps.startOf() })
    this.#deps.onEvent({ kind: 'started', worker, pid: process.pid })
  }

  #hear({ worker }: Slot, live: Live, message: ToKeeper): void {
    const { process, questions } = live
    switch (message.kind) {
      case 'listening':
        live.isListening = true
        this.#deps.onEvent({ kind: 'listening', worker, pid: process.pid })
        if (this.listening === this.count) this.#started.resolve({ ok: true, at: message.at })
        return
      case 'failed':
        this.#deps.onEvent({ kind: 'failed', worker, pid: process.pid, problems: message.problems })
        this.#started.resolve({ ok: false, problems: message.problems })
        return
      case 'ask':
        void answerBy(async () => await this.#deps.answer(message.ask)).then((answer) =>
          process.send({ kind: 'answer', id: message.id, answer }),
        )
        return
      case 'answer':
        questions.answer(message.id, message.answer)
        return
      case 'news':
        this.#deps.onNews(message.news)
        this.tell(message.news, process.pid)
        return
      case 'ended':
        live.metrics = message.metrics
    }
  }

  #ended(slot: Slot, { process, questions, sinceMs, metrics }: Live, ending: Ending): void {
    const { worker } = slot
    slot.live = undefined
    questions.end()
    const hasLasted = this.#deps.elapsed() - sinceMs >= STABLE_MS
    slot.failures = hasLasted ? 0 : slot.failures + 1
    this.#shortLives = hasLasted ? 0 : this.#shortLives + 1
    const isHopeless = this.listening === 0 && this.#shortLives > SHORT_LIVES_MAX * this.count
    const replacedInMs = this.#isStopping || isHopeless ? undefined : backoffMs(slot.failures)
    this.#deps.onEnded(process.pid, metrics)
    this.#deps.onEvent({
      kind: 'ended',
      worker,
      pid: process.pid,
      isWanted: this.#isStopping,
      replacedInMs,
      ...ending,
    })
    if (replacedInMs !== undefined) return this.#deps.schedule(() => this.#launch(slot), replacedInMs)
    if (this.#isStopping && this.#alive().length === 0) return this.#allEnded.resolve()
    if (isHopeless) this.#giveUp(ending)
  }

  #giveUp({ code, signal }: Ending): void {
    const how = signal === null ? `with code ${code}` : `by ${signal}`
    const problem = `every worker ends soon after it begins, the last one ${how}; its log says why`
    this.#isStopping = true
    this.#started.resolve({ ok: false, problems: [problem] })
    this.#deps.onHopeless(problem)
  }
}

/** The first is replaced at once: most likely it was killed, and the others have its share to bear. */
function backoffMs(failures: number): number {
  return failures <= 1 ? 0 : Math.min(BACKOFF_MAX_MS, BACKOFF_MS * 2 ** (failures - 2))
}
