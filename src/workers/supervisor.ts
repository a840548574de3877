import type { AddressInfo } from 'node:net'
import type { News } from '../peers.ts'
import {
  WORKER_ROLES,
  type Answers,
  type Ask,
  type Rule,
  type ToKeeper,
  type ToWorker,
  type WorkerRole,
  type WorkerStart,
} from './messages.ts'
import { BEAT_MS, Pulse } from './pulse.ts'
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

/** `worker`: its number, which its replacement keeps. */
type Which = { readonly worker: number; readonly role: WorkerRole; readonly pid: number }

export type WorkerEvent =
  | (Which & { readonly kind: 'started' | 'listening' })
  | (Which & {
      readonly kind: 'ended'
      /** Whether all are to end. */
      readonly isWanted: boolean
      /** It was killed, and was told of as such. */
      readonly isBehind: boolean
      /** Undefined: nobody takes its place. */
      readonly replacedInMs: number | undefined
    } & Ending)
  | (Which & { readonly kind: 'failed'; readonly problems: readonly string[] })
  /** It did not take over what counts from now on, or does not answer at all, and is killed. */
  | (Which & { readonly kind: 'behind'; readonly message: string })

export type SupervisorDeps = {
  readonly counts: Readonly<Record<WorkerRole, number>>
  /** May throw: the system has no process to give. */
  launch(worker: number, on: { message(message: ToKeeper): void; exit(ending: Ending): void }): WorkerProcess
  /** What a worker that begins now begins with. */
  startOf(worker: number, role: WorkerRole): WorkerStart
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
  /** Again and again, for as long as the process lives. */
  every(ms: number, work: () => void): void
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
  readonly pulse: Pulse
  readonly sinceMs: number
  isBehind: boolean
  /** Undefined: it does not listen yet, or does not do what counts. */
  at: Listening | undefined
  /** What it said last of its figures. */
  metrics: Answers['metrics'] | undefined
}

type Slot = {
  readonly worker: number
  readonly role: WorkerRole
  live: Live | undefined
  failures: number
}

/** Workers of one role. */
export type Standing = { readonly listening: number; readonly count: number }

/** A worker that hangs for so long holds what it should not any more: it is killed. */
const RULE_LIMIT_MS = 20_000
/** Most of what clients get by one worker, they get by all: nobody waits longer for the last of them. */
const START_LIMIT_MS = 30_000
const BACKOFF_MS = 100
const BACKOFF_MAX_MS = 30_000
/** Who has lived for so long has not died of how it began. */
const STABLE_MS = 60_000
/** Short lives of each worker in a row, after which no further one is begun where none is alive. */
const SHORT_LIVES_MAX = 5

const NO_PROCESS: WorkerProcess = { pid: 0, send: () => undefined, kill: () => undefined }

/** Starts the workers, brings them what counts, and replaces those that end. */
export class Supervisor {
  readonly #deps: SupervisorDeps
  readonly #slots: readonly Slot[]
  readonly #started = Promise.withResolvers<Started>()
  readonly #allEnded = Promise.withResolvers<void>()
  #shortLives = 0
  /** Whether one worker is enough to begin with. */
  #isLate = false
  #isStopping = false

  constructor(deps: SupervisorDeps) {
    this.#deps = deps
    const roles = WORKER_ROLES.flatMap((role) => Array<WorkerRole>(deps.counts[role]).fill(role))
    this.#slots = roles.map((role, index) => ({ worker: index + 1, role, live: undefined, failures: 0 }))
  }

  /** Resolves when all of them listen, or after a limit any of them; when one of them cannot; and when all are to end. */
  async start(): Promise<Started> {
    const late = this.#deps.limit(START_LIMIT_MS)
    late.addEventListener('abort', () => this.#late(), { once: true })
    for (const slot of this.#slots) this.#launch(slot)
    this.#deps.every(BEAT_MS, () => this.#beat())
    return await this.#started.promise
  }

  standing(role: WorkerRole): Standing {
    const slots = this.#slots.filter((slot) => slot.role === role)
    return { listening: slots.filter(({ live }) => live?.at !== undefined).length, count: slots.length }
  }

  /** Resolves when every worker that lives goes by the rule; one that does not in time is killed. Never rejects. */
  async spread(rule: Rule): Promise<void> {
    await Promise.all(
      this.#alive().map(async ([slot, live]) => {
        try {
          await live.questions.ask({ kind: 'rule', rule }, this.#deps.limit(RULE_LIMIT_MS))
        } catch (error) {
          this.#behind(slot, live, error instanceof Error ? error.message : String(error))
        }
      }),
    )
  }

  /**
   * What each worker that listens answers within the limit, by its process; the others are left out. `onAnswer` is called
   * with each while the process lives.
   */
  async askAll<Kind extends 'metrics' | 'recent' | 'settle'>(
    kind: Kind,
    limitMs: number,
    onAnswer?: (pid: number, answer: Answers[Kind]) => void,
  ): Promise<ReadonlyMap<number, Answers[Kind]>> {
    const limit = this.#deps.limit(limitMs)
    const listening = this.#alive().filter(([, { at }]) => at !== undefined)
    const answers = await Promise.all(
      listening.map(async ([slot, live]) => {
        const { pid } = live.process
        try {
          const answer = await live.questions.ask({ kind }, limit)
          if (slot.live === live) onAnswer?.(pid, answer)
          return [[pid, answer] as const]
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
    this.#started.resolve({ ok: false, problems: [] })
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
    const { worker, role } = slot
    let process = NO_PROCESS
    let problem: string | undefined
    try {
      process = this.#deps.launch(worker, {
        message: (message) => this.#hear(slot, live, message),
        exit: (ending) => this.#ended(slot, live, ending),
      })
    } catch (error) {
      problem = error instanceof Error ? error.message : String(error)
    }
    const live: Live = {
      process,
      questions: new Questions((id, ask) => process.send({ kind: 'ask', id, ask })),
      pulse: new Pulse(),
      sinceMs: this.#deps.elapsed(),
      isBehind: false,
      at: undefined,
      metrics: undefined,
    }
    slot.live = live
    if (problem !== undefined) {
      this.#deps.onEvent({ kind: 'failed', ...which(slot, live), problems: [problem] })
      return this.#ended(slot, live, { code: null, signal: null })
    }
    process.send({ kind: 'start', start: this.#deps.startOf(worker, role) })
    this.#deps.onEvent({ kind: 'started', ...which(slot, live) })
  }

  #late(): void {
    this.#isLate = true
    this.#begin()
  }

  /** What one worker that serves listens at, all do. */
  #begin(): void {
    const serving = this.#slots.filter(({ role }) => role === 'serving')
    const at = serving.find(({ live }) => live?.at !== undefined)?.live?.at
    const isWhole = this.#slots.every(({ live }) => live?.at !== undefined)
    if (at !== undefined && (this.#isLate || isWhole)) this.#started.resolve({ ok: true, at })
  }

  /** Asks who is there, and ends who has not been for long: it may hold connections, and what it goes by is old. */
  #beat(): void {
    for (const [slot, live] of this.#alive()) {
      if (live.pulse.beat()) this.#behind(slot, live, 'it does not answer')
      else live.process.send({ kind: 'ping' })
    }
  }

  #behind(slot: Slot, live: Live, message: string): void {
    if (slot.live !== live || live.isBehind) return
    live.isBehind = true
    live.at = undefined
    this.#deps.onEvent({ kind: 'behind', ...which(slot, live), message })
    live.process.kill()
  }

  #hear(slot: Slot, live: Live, message: ToKeeper): void {
    const { process, questions, pulse } = live
    switch (message.kind) {
      case 'listening':
        live.at = message.at
        this.#deps.onEvent({ kind: 'listening', ...which(slot, live) })
        return this.#begin()
      case 'failed':
        this.#deps.onEvent({ kind: 'failed', ...which(slot, live), problems: message.problems })
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
      case 'pong':
        return pulse.heard()
      case 'ended':
        live.metrics = message.metrics
    }
  }

  #ended(slot: Slot, live: Live, ending: Ending): void {
    const { process, questions, sinceMs, metrics, isBehind } = live
    slot.live = undefined
    questions.end()
    const hasLasted = this.#deps.elapsed() - sinceMs >= STABLE_MS
    slot.failures = hasLasted ? 0 : slot.failures + 1
    const serving = this.standing('serving')
    // Without cold workers the others do it all.
    if (slot.role === 'serving') this.#shortLives = hasLasted ? 0 : this.#shortLives + 1
    const isHopeless = serving.listening === 0 && this.#shortLives > SHORT_LIVES_MAX * serving.count
    const replacedInMs = this.#isStopping || isHopeless ? undefined : backoffMs(slot.failures)
    this.#deps.onEnded(process.pid, metrics)
    this.#deps.onEvent({
      kind: 'ended',
      ...which(slot, live),
      isWanted: this.#isStopping,
      isBehind,
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

function which({ worker, role }: Slot, { process: { pid } }: Live): Which {
  return { worker, role, pid }
}

/** The first is replaced at once: most likely it was killed, and the others have its share to bear. */
function backoffMs(failures: number): number {
  return failures <= 1 ? 0 : Math.min(BACKOFF_MAX_MS, BACKOFF_MS * 2 ** (failures - 2))
}
