import type { TrustRoot } from '../../verify/types.ts'
import { inventoryOf } from '../inventory.ts'
import {
  NO_PARTS,
  type SourceParts,
  type SourceState,
  type SourceStatus,
  type TrustSource,
} from '../source.ts'
import { TrustError } from '../trust-error.ts'
import { parseTrustRoot } from '../trust-root.ts'
import type { TufMirror } from '../tuf/mirror.ts'

export type TufSourceOptions = {
  readonly name: string
  readonly kind: 'public-good' | 'tuf'
  readonly url: string
  /** The target that is the trust root. */
  readonly target: string
  /** What to believe until the first synchronisation, and since when this installation has had it. */
  readonly seed: { readonly root: TrustRoot; readonly since: Date } | undefined
  readonly refreshEveryMs: number
  /** Milliseconds since the last renewal. */
  readonly staleAfterMs: number
  readonly unusableAfterMs: number
}

export type TufSourceDeps = {
  now(): Date
  /** The mirror, or undefined as long as its first root has not been had; `signal` bounds fetching that. */
  openMirror(signal: AbortSignal | undefined): Promise<TufMirror | undefined>
}

type Standing = {
  readonly root: TrustRoot | undefined
  readonly renewedAt: Date | undefined
  readonly state: SourceState
  readonly problem: string | undefined
}

/** A root that comes by TUF: believed as long as it was renewed lately enough, whatever has become of its mirror. */
export class TufSource implements TrustSource {
  readonly name: string
  readonly refreshEveryMs: number
  readonly #options: TufSourceOptions
  readonly #deps: TufSourceDeps
  #mirror: TufMirror | undefined
  /** The target as it was last read, and what came of that. */
  #read: { readonly bytes: Buffer; readonly root: TrustRoot } | undefined
  #lastError: string | undefined

  private constructor(options: TufSourceOptions, deps: TufSourceDeps, mirror: TufMirror | undefined) {
    this.name = options.name
    this.refreshEveryMs = options.refreshEveryMs
    this.#options = options
    this.#deps = deps
    this.#mirror = mirror
    this.#readTarget()
  }

  /** From disk: needs no network. */
  static async open(options: TufSourceOptions, deps: TufSourceDeps): Promise<TufSource> {
    return new TufSource(options, deps, await deps.openMirror(undefined))
  }

  /** What is served again under `/tuf/<name>/`. */
  get mirror(): TufMirror | undefined {
    return this.#mirror
  }

  async refresh(signal: AbortSignal): Promise<void> {
    try {
      this.#mirror ??= await this.#deps.openMirror(signal)
      await this.#mirror?.refresh(signal)
      this.#lastError = undefined
      this.#readTarget()
    } catch (error) {
      this.#lastError = error instanceof Error ? error.message : 'cannot be renewed'
      throw error
    }
  }

  parts(now: Date): SourceParts {
    const { root, state, problem } = this.#standing(now)
    if (root === undefined || state === 'unusable') return { ...NO_PARTS, unusable: problem }
    return { ...NO_PARTS, roots: [root] }
  }

  status(now: Date): SourceStatus {
    const { name, kind, url, staleAfterMs, unusableAfterMs } = this.#options
    const { root, state, problem, renewedAt } = this.#standing(now)
    const after = (ms: number): Date | undefined =>
      renewedAt === undefined ? undefined : new Date(renewedAt.getTime() + ms)
    const tuf = this.#mirror?.state()
    return {
      name,
      kind,
      origin: url,
      state,
      problem,
      renewedAt: tuf?.refreshedAt,
      warnsAt: after(staleAfterMs),
      stopsAt: after(unusableAfterMs),
      documents: root === undefined ? [] : [{ version: root.version, isRetiring: false }],
      roles: tuf?.roles ?? [],
      servableUntil: tuf?.expiresAt,
      held: root === undefined ? [] : inventoryOf(root),
    }
  }

  #standing(now: Date): Standing {
    const { name, url, seed } = this.#options
    const synchronised = this.#read === undefined ? undefined : this.#mirror?.state()
    const root = this.#read?.root ?? seed?.root
    const renewedAt = synchronised?.refreshedAt ?? seed?.since
    if (root !== undefined && renewedAt !== undefined) {
      return { root, renewedAt, ...this.#age(Math.abs(now.getTime() - renewedAt.getTime())) }
    }
    const problem = `trust root ${name} was never had from ${url}${this.#failure()}`
    return { root, renewedAt, state: 'unusable', problem }
  }

  /** Either way: a clock that was wrong for a while must not keep a root fresh for ever. */
  #age(ms: number): Pick<Standing, 'state' | 'problem'> {
    const { name, staleAfterMs, unusableAfterMs } = this.#options
    if (ms <= staleAfterMs) return { state: 'fresh', problem: this.#lastError }
    const since = `trust root ${name} was last renewed ${daysOf(ms)} ago`
    if (ms <= unusableAfterMs) return { state: 'stale', problem: `${since}${this.#failure()}` }
    return { state: 'unusable', problem: `${since} and is too old to be believed${this.#failure()}` }
  }

  #failure(): string {
    return this.#lastError === undefined ? '' : `: ${this.#lastError}`
  }

  /** A document that cannot be read replaces none that could be. */
  #readTarget(): void {
    const bytes = this.#mirror?.target(this.#options.target)
    if (bytes === undefined || bytes === this.#read?.bytes) return
    try {
      const root = parseTrustRoot(this.name, bytes.toString('utf8'))
      this.#read = { bytes, root: root.version === this.#read?.root.version ? this.#read.root : root }
    } catch (error) {
      if (!(error instanceof TrustError)) throw error
      this.#lastError = error.message
    }
  }
}

function daysOf(ms: number): string {
  const hours = Math.floor(ms / 3_600_000)
  return hours < 48 ? `${hours} h` : `${Math.floor(hours / 24)} d`
}
