import { AggregatorRegistry, Counter, Gauge, type Registry } from 'prom-client'
import type { MetricsData } from './messages.ts'

/** The figures of all processes as one. */
export class MetricsSum {
  /** What each process that runs said last. */
  readonly #last = new Map<number, MetricsData>()
  /** Of those that have ended: the sum of many, and what has come since. */
  readonly #ended: MetricsData[] = []
  #folding: Promise<void> | undefined

  /** What a process says of itself. */
  note(pid: number, metrics: MetricsData): void {
    this.#last.set(pid, metrics)
  }

  /** What it had counted goes on counting: a counter that falls looks like a restart of everything. */
  async end(pid: number): Promise<void> {
    const last = this.#last.get(pid)
    this.#last.delete(pid)
    if (last === undefined) return
    // In the same turn, or a reader in between would miss it.
    this.#ended.push(cumulative(last))
    await (this.#folding ??= this.#fold())
  }

  /** Workers may go on dying for days. One at a time: what ends meanwhile is behind what is replaced. */
  async #fold(): Promise<void> {
    try {
      const count = this.#ended.length
      const sum = await sumOf(this.#ended.slice(0, count)).getMetricsAsJSON()
      this.#ended.splice(0, count, sum)
    } finally {
      this.#folding = undefined
    }
  }

  /**
   * In the form that Prometheus reads. `own` first: of a gauge that only one process can know it is the one. Of a process
   * that is not among `answered` only what counts up is in it, as it was.
   */
  async text(own: MetricsData, answered: ReadonlySet<number>): Promise<string> {
    const others = [...this.#last].map(([pid, metrics]) =>
      answered.has(pid) ? metrics : cumulative(metrics),
    )
    return await sumOf([own, ...others, ...this.#ended]).metrics()
  }
}

/** Each by its own aggregator: sum, unless a metric says otherwise. */
function sumOf(parts: readonly MetricsData[]): ReturnType<typeof AggregatorRegistry.aggregate> {
  return AggregatorRegistry.aggregate(parts.map((metrics) => [...metrics]))
}

const CUMULATIVE = new Set(['counter', 'histogram'])

/** Gauges of a process that is not there say nothing. */
function cumulative(metrics: MetricsData): MetricsData {
  return metrics.filter(({ type }) => CUMULATIVE.has(String(type)))
}

/** How a worker ends that nobody had told to. */
const EXITS = ['exit', 'signal', 'behind'] as const
export type Exit = (typeof EXITS)[number]

/** What became of a pull that a worker wanted to hand over. */
const HAND_OVER_RESULTS = ['answered', 'unanswered', 'full'] as const
export type HandOverResult = (typeof HAND_OVER_RESULTS)[number]

/** Of one worker that has cold workers. */
export function createHandOverMetrics(registry: Registry): Counter<'result'> {
  const handedOver = new Counter({
    name: 'portcullis_pulls_handed_over_total',
    help: 'Pulls that a worker handed over to a cold one: answered by it, or pulled by the worker itself, since the cold one did not answer or too many were under way.',
    labelNames: ['result'] as const,
    registers: [registry],
  })
  for (const result of HAND_OVER_RESULTS) handedOver.inc({ result }, 0)
  return handedOver
}

export type WorkerMetrics = ReturnType<typeof createWorkerMetrics>

/** What the keeper knows of its workers. */
export function createWorkerMetrics(registry: Registry): {
  readonly listening: Gauge<'role'>
  readonly exits: Counter<'how'>
  readonly unanswered: Counter
} {
  const registers = [registry]
  const exits = new Counter({
    name: 'portcullis_worker_exits_total',
    help: 'Workers that ended though nobody had told them to: by themselves, by a signal, or killed because they did not go by a new rule or did not answer at all.',
    labelNames: ['how'] as const,
    registers,
  })
  // From the first scrape on: the increase from nothing to one counts for no alert.
  for (const how of EXITS) exits.inc({ how }, 0)
  return {
    exits,
    listening: new Gauge({
      name: 'portcullis_workers',
      help: 'Worker processes that serve clients, or that pull for those what nobody has judged yet.',
      labelNames: ['role'] as const,
      registers,
    }),
    unanswered: new Counter({
      name: 'portcullis_worker_metrics_unanswered_total',
      help: 'Workers that did not tell their figures in time for a scrape; what they counted before is in it.',
      registers,
    }),
  }
}
