import { createTrustSnapshot, type TrustSnapshot } from './snapshot.ts'
import type { HeldItem, SourceState, SourceStatus, TrustSource } from './source.ts'

/** What the keeper tells of. `changed`: verdicts depend on the new snapshot from now on. */
export type KeeperEvent =
  | { readonly kind: 'renewed'; readonly source: string }
  | { readonly kind: 'failed'; readonly source: string; readonly message: string }
  | { readonly kind: 'state'; readonly source: string; readonly state: SourceState; readonly message: string }
  | { readonly kind: 'ending'; readonly source: string; readonly item: HeldItem; readonly until: Date }
  | { readonly kind: 'changed'; readonly snapshot: TrustSnapshot }

export type KeeperDeps = {
  now(): Date
  /** Milliseconds on a clock that nobody sets: what is due goes by it, whatever the time of day jumps to. */
  elapsed(): number
  /** In [0, 1). */
  random(): number
  onEvent(event: KeeperEvent): void
}

/** Renewal is attempted within this of its time, earlier or later, so that a fleet does not ask in step. */
const JITTER = 0.2
/** After a failure: milliseconds, doubled each time, up to the usual interval. */
const RETRY_MS = 60_000
/** What ends within this is told once a day. */
const ENDING_MS = 14 * 86_400_000
const ENDING_TOLD_EVERY_MS = 86_400_000

type Slot = {
  readonly source: TrustSource
  /** On the clock of `elapsed`, as all times in here. */
  nextAt: number
  failures: number
  running: Promise<string | undefined> | undefined
  state: SourceState
}

/**
 * Keeps the trust snapshot: renews each source in the background, and makes a new snapshot when what is trusted has
 * changed, also by time alone. Nothing of it is on the way of a request.
 */
export class TrustKeeper {
  readonly #slots: Slot[]
  readonly #deps: KeeperDeps
  readonly #toldEnding = new Map<string, number>()
  #snapshot: TrustSnapshot

  constructor(sources: readonly TrustSource[], deps: KeeperDeps) {
    this.#deps = deps
    this.#slots = sources.map((source) => this.#slotOf(source))
    this.#snapshot = this.#build()
  }

  /** One more source, from now on. */
  add(source: TrustSource): void {
    this.#slots.push(this.#slotOf(source))
    this.#rebuild()
  }

  #slotOf(source: TrustSource): Slot {
    return { source, nextAt: this.#soon(source), failures: 0, running: undefined, state: 'fresh' }
  }

  get snapshot(): TrustSnapshot {
    return this.#snapshot
  }

  /** Starts the renewals that are due and tells what time alone has changed. To be called every few seconds. */
  tick(signal: AbortSignal): void {
    const elapsed = this.#deps.elapsed()
    for (const slot of this.#slots) {
      if (slot.nextAt <= elapsed && slot.running === undefined) void this.#renew(slot, signal)
    }
    this.#rebuild()
  }

  /** Only tells what time alone has changed. */
  look(): void {
    this.#rebuild()
  }

  /**
   * Renews now: all sources, those of the names given, or with `missing` those that have nothing usable. Resolves to
   * what went wrong, by source.
   */
  async refresh(
    which: 'all' | 'missing' | readonly string[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<string, string>> {
    const now = this.#deps.now()
    const wanted = this.#slots.filter(({ source }) => {
      if (which === 'all') return true
      return which === 'missing' ? source.status(now).state === 'unusable' : which.includes(source.name)
    })
    const results = await Promise.all(wanted.map((slot) => this.#renew(slot, signal)))
    return new Map(
      results.flatMap((problem, index) => {
        const name = wanted[index]?.source.name
        return problem === undefined || name === undefined ? [] : [[name, problem] as const]
      }),
    )
  }

  status(): readonly SourceStatus[] {
    const now = this.#deps.now()
    return this.#slots.map(({ source }) => source.status(now))
  }

  async #renew(slot: Slot, signal: AbortSignal): Promise<string | undefined> {
    slot.running ??= this.#attempt(slot, signal).finally(() => {
      slot.running = undefined
    })
    return await slot.running
  }

  async #attempt(slot: Slot, signal: AbortSignal): Promise<string | undefined> {
    const { source } = slot
    let problem: string | undefined
    try {
      await source.refresh(signal)
      this.#deps.onEvent({ kind: 'renewed', source: source.name })
    } catch (error) {
      // Whatever it is, what was trusted before still is, and the next attempt comes.
      problem = error instanceof Error ? error.message : 'cannot be renewed'
      this.#deps.onEvent({ kind: 'failed', source: source.name, message: problem })
    }
    slot.failures = problem === undefined ? 0 : slot.failures + 1
    slot.nextAt = this.#deps.elapsed() + this.#delayMs(slot)
    this.#rebuild()
    return problem
  }

  /** Not at once, since a whole fleet may have the same reason. */
  #soon({ refreshEveryMs }: TrustSource): number {
    return this.#deps.elapsed() + this.#deps.random() * Math.min(RETRY_MS, refreshEveryMs)
  }

  #delayMs({ source, failures }: Slot): number {
    const retryMs = RETRY_MS * 2 ** Math.min(20, failures - 1)
    const delayMs = failures === 0 ? source.refreshEveryMs : Math.min(retryMs, source.refreshEveryMs)
    return delayMs * (1 - JITTER + 2 * JITTER * this.#deps.random())
  }

  #rebuild(): void {
    const next = this.#build()
    this.#tell()
    if (next.version === this.#snapshot.version) return
    this.#snapshot = next
    this.#deps.onEvent({ kind: 'changed', snapshot: next })
  }

  #build(): TrustSnapshot {
    const now = this.#deps.now()
    const parts = this.#slots.map(({ source }) => ({ name: source.name, ...source.parts(now) }))
    return createTrustSnapshot({
      roots: parts.flatMap(({ roots }) => roots),
      unusable: new Map(
        parts.flatMap(({ name, unusable }) => (unusable === undefined ? [] : [[name, unusable] as const])),
      ),
      keys: new Map(parts.flatMap(({ keys }) => [...keys])),
    })
  }

  /** Each change of state once, and what ends soon once a day. */
  #tell(): void {
    const now = this.#deps.now()
    for (const slot of this.#slots) {
      const { name, state, problem, held } = slot.source.status(now)
      if (state !== slot.state) {
        slot.state = state
        // A clock that was set can make what was confirmed a minute ago look too old: nobody waits hours for that.
        if (state === 'unusable' && slot.failures === 0)
          slot.nextAt = Math.min(slot.nextAt, this.#soon(slot.source))
        this.#deps.onEvent({ kind: 'state', source: name, state, message: problem ?? 'renewed' })
      }
      for (const item of held) this.#tellEnding(name, item, now)
    }
  }

  #tellEnding(source: string, item: HeldItem, now: Date): void {
    const { until } = item
    if (!item.isRetiring || until === undefined) return
    const leftMs = until.getTime() - now.getTime()
    if (leftMs <= 0 || leftMs > ENDING_MS) return
    const key = `${source} ${item.what} ${item.name}`
    const elapsed = this.#deps.elapsed()
    if (elapsed - (this.#toldEnding.get(key) ?? -Infinity) < ENDING_TOLD_EVERY_MS) return
    this.#toldEnding.set(key, elapsed)
    this.#deps.onEvent({ kind: 'ending', source, item, until })
  }
}
