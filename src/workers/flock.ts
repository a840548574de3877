import type { Registry } from 'prom-client'
import type { News, Peers } from '../peers.ts'
import type { SeenPull } from '../replay.ts'
import { KeeperRule } from './keeper-rule.ts'
import { WORKER_ROLES, type MetricsData, type WorkerRole } from './messages.ts'
import { createWorkerMetrics, MetricsSum, type Exit, type WorkerMetrics } from './metrics.ts'
import type { Standing, Supervisor } from './supervisor.ts'

/** A scrape does not wait for a worker that is busy: what it has counted is known from the last one. */
const METRICS_LIMIT_MS = 1_000
const ANSWER_LIMIT_MS = 5_000

/** What the keeper's own parts know of the workers. There are none until `follow`. */
export class Flock {
  /** What workers go by. */
  readonly rule = new KeeperRule()
  readonly peers: Peers
  readonly #sum = new MetricsSum()
  readonly #listeners: ((news: News) => void)[] = []
  #workers: Supervisor | undefined
  #figures: WorkerMetrics | undefined

  constructor() {
    this.peers = {
      tell: (news) => this.#workers?.tell(news),
      onNews: (listener) => void this.#listeners.push(listener),
    }
  }

  follow(workers: Supervisor): void {
    this.#workers = workers
    this.rule.follow(async (rule) => await workers.spread(rule))
  }

  /** How many there are of the role, and how many of them listen now. */
  standing(role: WorkerRole): Standing {
    return this.#workers?.standing(role) ?? { listening: 0, count: 0 }
  }

  /** A worker ended that nobody had told to. */
  count(how: Exit): void {
    this.#figures?.exits.inc({ how })
  }

  /** What a worker tells everybody. */
  hear(news: News): void {
    for (const listener of this.#listeners) listener(news)
  }

  /** A process has ended, and these are its last figures, where it had time to say them. */
  async ended(pid: number, last: MetricsData | undefined): Promise<void> {
    if (last !== undefined) this.#sum.note(pid, last)
    await this.#sum.end(pid)
  }

  /** The figures of all processes as if one had them; `before` is called before the keeper's own are read. */
  metricsOf(
    { registry }: { readonly registry: Registry },
    before: () => void,
  ): { readonly registry: Pick<Registry, 'metrics' | 'contentType'> } {
    const figures = createWorkerMetrics(registry)
    this.#figures = figures
    const metrics = async (): Promise<string> => {
      const standings = WORKER_ROLES.map((role) => ({ role, ...this.standing(role) }))
      // As each comes: who has answered may end before the last one does.
      const note = (pid: number, answer: MetricsData): void => this.#sum.note(pid, answer)
      const answers =
        (await this.#workers?.askAll('metrics', METRICS_LIMIT_MS, note)) ?? new Map<number, MetricsData>()
      for (const { role, listening, count } of standings) {
        if (count > 0) figures.listening.set({ role }, listening)
      }
      figures.unanswered.inc(standings.reduce((sum, { listening }) => sum + listening, -answers.size))
      before()
      return await this.#sum.text(await registry.getMetricsAsJSON(), new Set(answers.keys()))
    }
    return { registry: { metrics, contentType: registry.contentType } }
  }

  /** What was pulled from them lately. */
  async recent(): Promise<readonly SeenPull[]> {
    const answers = await this.#workers?.askAll('recent', ANSWER_LIMIT_MS)
    return [...(answers?.values() ?? [])].flat()
  }

  /** Has them write what they counted of pulls. */
  async settle(): Promise<void> {
    await this.#workers?.askAll('settle', ANSWER_LIMIT_MS)
  }
}
