import type { Registry } from 'prom-client'
import { Gauge, Histogram } from './prometheus.ts'

export type PullLatency = {
  /** On the way of every pull: two comparisons and four additions, and no garbage. */
  observe(cache: 'warm' | 'cold', ms: number): void
}

const QUANTILES = [0.5, 0.99, 0.999]
/** A window is this old when the next begins, so what is told is of the last one to two. */
const WINDOW_MS = 60_000

const NAME = 'portcullis_pull_duration_seconds'

/**
 * How long pulls take, counted here and told to prom-client when it is scraped: by the buckets of a histogram since the
 * start, and by quantiles of the last minute or two. `bounds` in seconds, from the smallest up.
 */
export function createPullLatency(
  registry: Registry,
  { bounds, now }: { readonly bounds: readonly number[]; readonly now: () => Date },
): PullLatency {
  const warm = new Durations(bounds)
  const cold = new Durations(bounds)
  const byCache = { warm, cold }
  registry.registerMetric(new DurationsHistogram(byCache, bounds))
  let sinceMs = now().getTime()
  const gauge = new Gauge({
    name: 'portcullis_pull_duration_quantile_seconds',
    help: 'Time from a parsed manifest request to its answer, in the last one to two minutes.',
    labelNames: ['cache', 'quantile'],
    // Of several workers, the slowest: quantiles cannot be added up.
    aggregator: 'max',
    registers: [registry],
    collect() {
      gauge.reset()
      const isDue = Math.abs(now().getTime() - sinceMs) >= WINDOW_MS
      for (const [cache, durations] of Object.entries(byCache)) {
        for (const quantile of QUANTILES) {
          const seconds = durations.quantile(quantile)
          if (seconds !== undefined) gauge.set({ cache, quantile: String(quantile) }, seconds)
        }
        if (isDue) durations.turn()
      }
      if (isDue) sinceMs = now().getTime()
    },
  })
  return {
    observe(cache, ms) {
      if (cache === 'warm') warm.observe(ms)
      else cold.observe(ms)
    },
  }
}

/** Eighths of a microsecond, up to four minutes, fit into 31 bits. */
const TICKS_PER_MS = 8_000
const TICKS_MAX = 2 ** 31 - 1
/** In each power of two, so a quantile is at most 1/32 above what was measured. */
const SLOTS_PER_OCTAVE = 32
const OCTAVE_BITS = 5
const SLOTS = slotOf(TICKS_MAX) + 1

/** Logarithmic with linear steps in between, as HdrHistogram has it: no search, only the position of the highest bit. */
function slotOf(ticks: number): number {
  if (ticks < SLOTS_PER_OCTAVE) return ticks
  const shift = 31 - OCTAVE_BITS - Math.clz32(ticks)
  return shift * SLOTS_PER_OCTAVE + (ticks >>> shift)
}

/** The largest number of ticks in a slot. */
function endOf(slot: number): number {
  if (slot < SLOTS_PER_OCTAVE) return slot
  const shift = Math.floor(slot / SLOTS_PER_OCTAVE) - 1
  return (slot - shift * SLOTS_PER_OCTAVE + 1) * 2 ** shift - 1
}

class Durations {
  readonly #bounds: readonly number[]
  /** Not cumulative; the last is for what is above every bound. Floats, because they never overflow. */
  readonly #buckets: Float64Array
  #sum = 0
  #window = new Uint32Array(SLOTS)
  #before = new Uint32Array(SLOTS)

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds
    this.#buckets = new Float64Array(bounds.length + 1)
  }

  get buckets(): Float64Array {
    return this.#buckets
  }

  get sum(): number {
    return this.#sum
  }

  observe(ms: number): void {
    const seconds = ms / 1000
    let bucket = 0
    // Nearly every warm pull is in the first.
    while (seconds > (this.#bounds[bucket] ?? Infinity)) bucket += 1
    this.#buckets[bucket] = (this.#buckets[bucket] ?? 0) + 1
    this.#sum += seconds
    const slot = slotOf(Math.max(0, Math.min(TICKS_MAX, ms * TICKS_PER_MS)) | 0)
    this.#window[slot] = (this.#window[slot] ?? 0) + 1
  }

  /** Seconds that so large a part of the pulls took at most; undefined where there were none. */
  quantile(part: number): number | undefined {
    const count = total(this.#window) + total(this.#before)
    if (count === 0) return undefined
    let left = Math.ceil(part * count)
    for (let slot = 0; slot < SLOTS; slot++) {
      left -= (this.#window[slot] ?? 0) + (this.#before[slot] ?? 0)
      if (left <= 0) return endOf(slot) / TICKS_PER_MS / 1000
    }
    return undefined
  }

  /** Begins another window. */
  turn(): void {
    const oldest = this.#before
    this.#before = this.#window
    this.#window = oldest.fill(0)
  }
}

function total(counts: Uint32Array): number {
  return counts.reduce((sum, count) => sum + count, 0)
}

type ByCache = Readonly<Record<string, Durations>>
type Label = 'cache' | 'le'
type Told = ReturnType<Histogram<Label>['get']>

/** A histogram that is counted elsewhere: prom-client takes one value at a time, and each with labels of its own. */
class DurationsHistogram extends Histogram<Label> {
  readonly #byCache: ByCache
  readonly #bounds: readonly number[]
  /** Where nothing is observed: what the same histogram says of itself. */
  readonly #empty: Histogram<Label>

  constructor(byCache: ByCache, bounds: readonly number[]) {
    const config = {
      name: NAME,
      help: 'Time from a parsed manifest request to its answer.',
      labelNames: ['cache'] as const,
      buckets: [...bounds],
      registers: [],
    }
    super(config)
    this.#byCache = byCache
    this.#bounds = bounds
    this.#empty = new Histogram(config)
  }

  override async get(): Told {
    const values = Object.entries(this.#byCache).flatMap(([cache, durations]) =>
      this.#valuesOf(cache, durations),
    )
    return { ...(await this.#empty.get()), values }
  }

  /** What the text form is made of. */
  async getForPromString(): Told {
    return await this.get()
  }

  #valuesOf(cache: string, { buckets, sum }: Durations): Awaited<Told>['values'] {
    let count = 0
    const cumulative = [...buckets].map((inBucket, index) => {
      count += inBucket
      const labels = { cache, le: this.#bounds[index] ?? '+Inf' }
      return { metricName: `${NAME}_bucket`, labels, value: count }
    })
    if (count === 0) return []
    return [
      ...cumulative,
      { metricName: `${NAME}_sum`, labels: { cache }, value: sum },
      { metricName: `${NAME}_count`, labels: { cache }, value: count },
    ]
  }
}
