/** What a drill can take away. `sigstore` is every TUF mirror and log together, `rekor` the logs alone. */
export const DRILL_DEPENDENCIES = ['registry', 'sigstore', 'rekor', 'kms'] as const

export type DrillDependency = (typeof DRILL_DEPENDENCIES)[number]

/** A drill that nobody ends ends by itself. */
export const DRILL_MS_MAX = 3_600_000

export type Drill = {
  readonly dependencies: readonly DrillDependency[]
  /** Whoever started it, as told: for the record, no proof. */
  readonly by: string
  readonly startedAt: Date
  readonly endsAt: Date
}

export type DrillEvent = { readonly kind: 'started' | 'stopped' | 'expired'; readonly drill: Drill }

export type DrillRequest = {
  /** At least one. */
  readonly dependencies: readonly DrillDependency[]
  /** Milliseconds, at most DRILL_MS_MAX. */
  readonly forMs: number
  readonly by: string
}

export function isTakenAway(dependency: DrillDependency, { dependencies }: Drill): boolean {
  return dependencies.includes(dependency) || (dependency === 'rekor' && dependencies.includes('sigstore'))
}

/** Every call to a dependency that a drill has taken away, in place of the call. */
export class DrillError extends Error {
  override readonly name = 'DrillError'
  readonly code = 'taken-away'
}

/**
 * Which dependencies count as down although they are not, one drill at a time. It lives in memory alone, so a restart
 * ends it. Nobody has to end it: it is over as soon as the clock says so.
 */
export class Drills {
  readonly #now: () => Date
  readonly #onEvent: (event: DrillEvent) => void
  #drill: Drill | undefined

  constructor(deps: { now: () => Date; onEvent?: (event: DrillEvent) => void }) {
    this.#now = deps.now
    this.#onEvent = deps.onEvent ?? (() => undefined)
  }

  /** The drill that began, or the one that is running already. Throws RangeError where it would take nothing or last too long. */
  start({ dependencies, forMs, by }: DrillRequest): { readonly ok: boolean; readonly drill: Drill } {
    if (dependencies.length === 0 || !(forMs > 0 && forMs <= DRILL_MS_MAX)) {
      throw new RangeError(`a drill takes something away, for at most ${DRILL_MS_MAX} ms`)
    }
    const running = this.status()
    if (running !== undefined) return { ok: false, drill: running }
    const startedAt = this.#now()
    const endsAt = new Date(startedAt.getTime() + forMs)
    this.#drill = { dependencies: [...new Set(dependencies)], by, startedAt, endsAt }
    this.#onEvent({ kind: 'started', drill: this.#drill })
    return { ok: true, drill: this.#drill }
  }

  /** In a process that another one leads: the drill of that one, or none. Nobody is told of it once more. */
  follow(drill: Drill | undefined): void {
    this.#drill = drill
  }

  /** The drill that it ended; undefined where none was running. */
  stop(): Drill | undefined {
    const drill = this.status()
    this.#drill = undefined
    if (drill !== undefined) this.#onEvent({ kind: 'stopped', drill })
    return drill
  }

  /** The drill that is running. */
  status(): Drill | undefined {
    const drill = this.#drill
    if (drill === undefined) return undefined
    const now = this.#now()
    // A clock that was set back must not make it last longer than anybody wanted.
    if (now >= drill.startedAt && now < drill.endsAt) return drill
    this.#drill = undefined
    this.#onEvent({ kind: 'expired', drill })
    return undefined
  }

  isDown(dependency: DrillDependency): boolean {
    return this.reason(dependency) !== undefined
  }

  /** Why the dependency is not to be asked, the same words for as long as the drill runs; undefined where it may be. */
  reason(dependency: DrillDependency): string | undefined {
    const drill = this.status()
    if (drill === undefined) return undefined
    return isTakenAway(dependency, drill)
      ? `taken away by a drill until ${drill.endsAt.toISOString()}`
      : undefined
  }

  /** Throws DrillError in place of a call to a dependency that is taken away. */
  guard(dependency: DrillDependency): void {
    const reason = this.reason(dependency)
    if (reason !== undefined) throw new DrillError(`${dependency} is ${reason}`)
  }
}
