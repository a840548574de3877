import type { PolicyLoad } from '../policy/load.ts'
import type { IndexedPolicySet } from '../policy/policy-index.ts'
import { problemText, type Problem } from '../policy/problem.ts'
import { HELD } from './held.ts'
import {
  failure,
  placeIn,
  type PolicyFiles,
  type PolicyOrigin,
  type PolicySource,
  type Reading,
} from './source.ts'

/** The policies that count now. */
export type PoliciesInForce = {
  readonly set: IndexedPolicySet
  /** Undefined: nothing was ever had, and the set is HELD. */
  readonly origin: PolicyOrigin | undefined
  readonly since: Date
}

/** Why what the source has now is not in force. */
export type PolicyTrouble = {
  readonly problems: readonly string[]
  readonly isOutage: boolean
  /** When it was first seen. */
  readonly since: Date
}

export type PolicyEvent =
  | { readonly kind: 'loaded'; readonly inForce: PoliciesInForce }
  /** The same as before, at the wish of somebody, or after trouble. */
  | { readonly kind: 'unchanged'; readonly inForce: PoliciesInForce }
  /** What was in force stays so. Told once for each trouble, and whenever somebody asks. */
  | { readonly kind: 'refused'; readonly trouble: PolicyTrouble; readonly inForce: PoliciesInForce }

export type PolicyKeeperDeps = {
  readonly source: PolicySource
  compile(files: PolicyFiles): Promise<PolicyLoad>
  /**
   * Gets what the set refers to, as far as it is to be had. Rejects with an error whose message is for the operator where
   * a reference must not be followed: then the set is refused.
   */
  prepare(set: IndexedPolicySet): Promise<void>
  /** From now on every request begins with this. At once, and whole. */
  begin(inForce: PoliciesInForce): void
  now(): Date
  onEvent(event: PolicyEvent): void
}

type Opened =
  | { readonly ok: true; readonly keeper: PolicyKeeper }
  | { readonly ok: false; readonly problems: readonly Problem[] }
type Good = Extract<Reading, { ok: true }>
type Result = { readonly ok: true; readonly inForce: PoliciesInForce } | PolicyRefusal
type PolicyRefusal = { readonly ok: false; readonly problems: readonly Problem[]; readonly isOutage: boolean }

/** A set that was tried, and what came of it. */
type Tried = { readonly content: string; readonly load: PolicyLoad }

/**
 * Keeps the policies: looks whether their source has others, and puts those in force, all of them or none. Nothing of it
 * is on the way of a request.
 */
export class PolicyKeeper {
  readonly #deps: PolicyKeeperDeps
  #inForce: PoliciesInForce
  #content: string | undefined
  #tried: Tried | undefined
  #trouble: PolicyTrouble | undefined
  #readAt: Date | undefined
  #running: Promise<unknown> | undefined

  private constructor(deps: PolicyKeeperDeps, begun: PoliciesInForce) {
    this.#deps = deps
    this.#inForce = begun
  }

  /**
   * Puts in force what was kept, or what the source has. Where there is neither, and the source may be missing, it begins
   * with HELD and goes on looking.
   */
  static async open(deps: PolicyKeeperDeps, signal: AbortSignal): Promise<Opened> {
    const keeper = new PolicyKeeper(deps, { set: HELD, origin: undefined, since: deps.now() })
    const kept = await deps.source.kept?.(signal)
    if (kept !== undefined && (await keeper.#try(kept)).ok) return { ok: true, keeper }
    const result = await keeper.#attempt(signal)
    if (result.ok) return { ok: true, keeper }
    if (!deps.source.mayBeMissing) return { ok: false, problems: result.problems }
    deps.begin(keeper.#inForce)
    keeper.#refuse(result, true)
    return { ok: true, keeper }
  }

  get inForce(): PoliciesInForce {
    return this.#inForce
  }

  /** Undefined where what the source has is in force. */
  get trouble(): PolicyTrouble | undefined {
    return this.#trouble
  }

  /** When the source was last read and had something that could be judged at all. */
  get readAt(): Date | undefined {
    return this.#readAt
  }

  get lookEveryMs(): number | undefined {
    return this.#deps.source.lookEveryMs
  }

  /** Looks, and reads where there may be something new. To be called every `lookEveryMs`. Never rejects. */
  async tick(signal: AbortSignal): Promise<void> {
    if (this.#running !== undefined) return
    await this.#alone(async () => {
      if (await this.#deps.source.mayHaveChanged()) await this.#renew(signal, false)
    })
  }

  /** Reads now, after whatever runs already. Whether what the source has is in force. Never rejects. */
  async reload(signal: AbortSignal): Promise<boolean> {
    return await this.#alone(async () => await this.#renew(signal, true))
  }

  async #alone<T>(work: () => Promise<T>): Promise<T> {
    const before = this.#running
    const mine = (async () => {
      // What went wrong there is for whoever waits for that.
      await before?.catch(() => undefined)
      return await work()
    })()
    this.#running = mine
    try {
      return await mine
    } finally {
      if (this.#running === mine) this.#running = undefined
    }
  }

  async #renew(signal: AbortSignal, isAsked: boolean): Promise<boolean> {
    const before = this.#inForce
    const result = await this.#attempt(signal)
    if (!result.ok) {
      this.#refuse(result, isAsked)
      return false
    }
    const wasTrouble = this.#trouble !== undefined
    this.#trouble = undefined
    if (result.inForce === before && (isAsked || wasTrouble))
      this.#deps.onEvent({ kind: 'unchanged', inForce: before })
    return true
  }

  async #attempt(signal: AbortSignal): Promise<Result> {
    const reading = await this.#deps.source.read(signal)
    if (!reading.ok) return reading
    this.#readAt = this.#deps.now()
    return await this.#try(reading)
  }

  async #try(reading: Good): Promise<Result> {
    const { content, origin } = reading
    const load = await this.#compile(reading)
    if (!load.ok) {
      const problems = load.problems.map((one) => ({ ...one, file: placeIn(origin, one.file) }))
      return { ok: false, problems, isOutage: false }
    }
    // A new commit or bundle with the same files is in force under its own name.
    const isNew = content !== this.#content || !isSameOrigin(origin, this.#inForce.origin)
    if (isNew) {
      try {
        await this.#deps.prepare(load.set)
      } catch (error) {
        return failure(placeIn(origin, ''), error instanceof Error ? error.message : 'cannot be put in force')
      }
      const inForce = { set: load.set, origin, since: this.#deps.now() }
      this.#deps.begin(inForce)
      this.#content = content
      this.#inForce = inForce
      this.#deps.onEvent({ kind: 'loaded', inForce })
    }
    await reading.keep?.()
    return { ok: true, inForce: this.#inForce }
  }

  /** Once for each content: what is wrong with ten thousand policies is not worth finding out every few seconds. */
  async #compile({ content, files }: Good): Promise<PolicyLoad> {
    if (this.#tried?.content === content) return this.#tried.load
    const load = await this.#deps.compile(files)
    this.#tried = { content, load }
    return load
  }

  #refuse({ problems, isOutage }: PolicyRefusal, isAsked: boolean): void {
    const texts = problems.map(problemText)
    const isTold = this.#trouble?.problems.join('\n') === texts.join('\n')
    const since = isTold ? this.#trouble?.since : undefined
    this.#trouble = { problems: texts, isOutage, since: since ?? this.#deps.now() }
    if (isTold && !isAsked) return
    this.#deps.onEvent({ kind: 'refused', trouble: this.#trouble, inForce: this.#inForce })
  }
}

function isSameOrigin(a: PolicyOrigin, b: PolicyOrigin | undefined): boolean {
  return JSON.stringify(a) === JSON.stringify(b)
}
