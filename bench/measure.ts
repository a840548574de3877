import { performance } from 'node:perf_hooks'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { GCProfiler, getHeapStatistics } from 'node:v8'

/**
 * What is measured: called with 1, 2, 3 and so on, for what has to do something new each time. tinybench and mitata time one call
 * or a batch as well; neither says what a call allocates to the byte, compares with a former run, or profiles.
 */
export type Work =
  | { readonly kind: 'sync'; readonly run: (turn: number) => unknown }
  | { readonly kind: 'async'; readonly run: (turn: number) => Promise<unknown> }

export type Times = {
  readonly medianUs: number
  /** Of samples: where several calls make one, of their means. */
  readonly p99Us: number
  readonly callsPerSample: number
}

export type Allocation = {
  /** Bytes a call on the heap of V8. */
  readonly heapBytes: number
  /** Bytes a call outside of it, which Buffers hold. */
  readonly bufferBytes: number
}

export type Durations = { readonly warmUpMs: number; readonly measureMs: number }

/** Long against the resolution of the clock (40 ns), short against the time that a loaded machine leaves to a thread. */
const SAMPLE_MS_MIN = 0.05
/** Where nobody looks at the samples: long against a turn of the event loop. */
const REPEAT_MS_MIN = 2
const CALLS_MAX = 1 << 16
const SAMPLES_MAX = 100_000

export function timeUs(run: () => void): number {
  const start = performance.now()
  run()
  return (performance.now() - start) * 1000
}

/** The smallest value that this share of all does not exceed (nearest rank); 0 of none. */
export function quantile(values: Iterable<number>, share: number): number {
  const sorted = Float64Array.from(values).sort()
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? 0
}

/** Lines of a table: a label, and cells of one width. */
export function tableOf(labelWidth: number, cellWidth: number): (...cells: readonly string[]) => string {
  return (label = '', ...cells) =>
    [label.padEnd(labelWidth), ...cells.map((cell) => cell.padStart(cellWidth))].join('')
}

/** Calls the work, each time with the next number. Results are kept, so that nobody optimises the work away. */
class Caller {
  readonly #work: Work
  #turn = 1
  result: unknown

  constructor(work: Work) {
    this.#work = work
  }

  /** Milliseconds that so many calls took. What they leave for the next turn of the event loop is done before, and not counted. */
  async time(calls: number): Promise<number> {
    await nextTurn()
    const { kind, run } = this.#work
    const from = this.#turn
    this.#turn += calls
    const start = performance.now()
    if (kind === 'sync') for (let turn = from; turn < from + calls; turn++) this.result = run(turn)
    // oxlint-disable-next-line no-await-in-loop -- one after the other is what is measured
    else for (let turn = from; turn < from + calls; turn++) this.result = await run(turn)
    return performance.now() - start
  }

  async repeat(durationMs: number): Promise<void> {
    const end = performance.now() + durationMs
    const calls = await this.callsIn(REPEAT_MS_MIN)
    // oxlint-disable-next-line no-await-in-loop -- one after the other is what is measured
    while (performance.now() < end) await this.time(calls)
  }

  /** As many calls as take so long together, or somewhat more. */
  async callsIn(ms: number): Promise<number> {
    let calls = 1
    // oxlint-disable-next-line no-await-in-loop -- each tells how long the next may be
    while (calls < CALLS_MAX && (await this.time(calls)) < ms) calls *= 2
    return calls
  }
}

export async function repeat(work: Work, durationMs: number): Promise<void> {
  await new Caller(work).repeat(durationMs)
}

export async function measureTimes(work: Work, { warmUpMs, measureMs }: Durations): Promise<Times> {
  const caller = new Caller(work)
  await caller.repeat(warmUpMs)
  const calls = await caller.callsIn(SAMPLE_MS_MIN)
  const samplesUs: number[] = []
  const end = performance.now() + measureMs
  while (samplesUs.length === 0 || (performance.now() < end && samplesUs.length < SAMPLES_MAX)) {
    // oxlint-disable-next-line no-await-in-loop -- one after the other is what is measured
    samplesUs.push(((await caller.time(calls)) * 1000) / calls)
  }
  return {
    medianUs: quantile(samplesUs, 0.5),
    p99Us: quantile(samplesUs, 0.99),
    callsPerSample: calls,
  }
}

/** What node must be started with for `measureAllocation`: a young generation that holds a whole sample, so that nothing is collected in it. */
export const ALLOCATION_FLAGS = [
  '--expose-gc',
  '--min-semi-space-size=64',
  '--max-semi-space-size=64',
] as const

const ALLOCATION_SAMPLES = 5
/** Enough that a page more or less does not count. */
const SAMPLE_BYTES_MIN = 4 * 1024 * 1024
const ALLOCATION_CALLS_MAX = 20_000
/** What is slow and allocates little would take minutes. */
const ALLOCATION_MS_MAX = 100

/** By how much the heap grows with each call while nothing is collected: the median of a few samples, to the byte. */
export async function measureAllocation(
  work: Work,
  { warmUpMs }: Pick<Durations, 'warmUpMs'>,
): Promise<Allocation> {
  const caller = new Caller(work)
  await caller.repeat(warmUpMs)
  const empty = await growth(caller, 0)
  const calls = await callsToAllocate(caller, empty.heapBytes)
  const samples: Growth[] = []
  for (let sample = 0; sample < ALLOCATION_SAMPLES; sample++) {
    // oxlint-disable-next-line no-await-in-loop -- one after the other is what is measured
    const one = await growth(caller, calls)
    if (!one.isCollected) samples.push(one)
  }
  if (samples.length === 0) throw new Error('memory was collected in every sample')
  const perCall = (of: (one: Growth) => number): number =>
    Math.max(0, Math.round((quantile(samples.map(of), 0.5) - of(empty)) / calls))
  return {
    heapBytes: perCall(({ heapBytes }) => heapBytes),
    bufferBytes: perCall(({ bufferBytes }) => bufferBytes),
  }
}

type Growth = Allocation & { readonly isCollected: boolean; readonly tookMs: number }

async function growth(caller: Caller, calls: number): Promise<Growth> {
  if (globalThis.gc === undefined) throw new Error(`start node with ${ALLOCATION_FLAGS.join(' ')}`)
  globalThis.gc()
  // The second waits until Buffers that the first has found are freed, which goes on in another thread.
  globalThis.gc()
  const collections = new GCProfiler()
  collections.start()
  const before = { heap: getHeapStatistics().used_heap_size, buffers: process.memoryUsage().arrayBuffers }
  const tookMs = await caller.time(calls)
  const heapBytes = getHeapStatistics().used_heap_size - before.heap
  const bufferBytes = process.memoryUsage().arrayBuffers - before.buffers
  return { heapBytes, bufferBytes, tookMs, isCollected: collections.stop().statistics.length > 0 }
}

/** The fewest that make a sample, and at most half of what is collected. */
async function callsToAllocate(caller: Caller, emptyBytes: number): Promise<number> {
  for (let calls = 1; ; calls *= 2) {
    // oxlint-disable-next-line no-await-in-loop -- each tells how long the next may be
    const { heapBytes, tookMs, isCollected } = await growth(caller, calls)
    if (isCollected) return Math.max(1, calls / 4)
    const isEnough = heapBytes - emptyBytes >= SAMPLE_BYTES_MIN || tookMs >= ALLOCATION_MS_MAX
    if (isEnough || calls >= ALLOCATION_CALLS_MAX) return calls
  }
}
