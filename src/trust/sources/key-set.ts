import { readPublicKey, type SchemeOptions } from '../../verify/public-key.ts'
import type { KeySet } from '../../verify/types.ts'
import { keyInventoryOf } from '../inventory.ts'
import { keySetOf, keySetProblem, keySetWarning, type KeyEntry } from '../key-sets.ts'
import { NO_PARTS, type SourceParts, type SourceStatus, type TrustSource } from '../source.ts'
import { TrustError } from '../trust-error.ts'
import type { PinnedDeps } from './pinned.ts'

export type KeySetOptions = {
  readonly name: string
  readonly keys: readonly (SchemeOptions & {
    readonly path: string
    readonly validFrom?: Date | undefined
    readonly validUntil?: Date | undefined
  })[]
  readonly refreshEveryMs: number
}

/** Public keys of the operator's, each with the time in which it counts. */
export class KeySetSource implements TrustSource {
  readonly name: string
  readonly refreshEveryMs: number
  readonly #options: KeySetOptions
  readonly #deps: PinnedDeps
  #entries: readonly KeyEntry[]
  #renewedAt: Date
  #problem: string | undefined

  private constructor(options: KeySetOptions, deps: PinnedDeps, entries: readonly KeyEntry[]) {
    this.name = options.name
    this.refreshEveryMs = options.refreshEveryMs
    this.#options = options
    this.#deps = deps
    this.#entries = entries
    this.#renewedAt = deps.now()
  }

  /** Rejects with TrustError `trust-root`. */
  static async open(options: KeySetOptions, deps: PinnedDeps): Promise<KeySetSource> {
    return new KeySetSource(options, deps, await readEntries(options, deps))
  }

  parts(now: Date): SourceParts {
    return { ...NO_PARTS, keys: new Map([[this.#reference, this.#set(now)]]) }
  }

  /** All files or none: half a rotation is none. */
  async refresh(): Promise<void> {
    try {
      this.#entries = await readEntries(this.#options, this.#deps)
      this.#renewedAt = this.#deps.now()
      this.#problem = undefined
    } catch (error) {
      this.#problem = error instanceof Error ? error.message : 'not readable'
      throw error
    }
  }

  status(now: Date): SourceStatus {
    const warning = keySetWarning(this.#entries, now)
    return {
      name: this.name,
      kind: 'keys',
      origin: this.#options.keys.map(({ path }) => path).join(', '),
      state: warning === undefined ? 'fresh' : 'stale',
      problem: this.#problem ?? warning,
      renewedAt: this.#renewedAt,
      warnsAt: undefined,
      stopsAt: undefined,
      documents: [],
      roles: [],
      servableUntil: undefined,
      held: keyInventoryOf(this.#reference, this.#set(now)),
    }
  }

  get #reference(): string {
    return `keys:${this.name}`
  }

  #set(now: Date): KeySet {
    return keySetOf(this.#entries, now)
  }
}

async function readEntries({ name, keys }: KeySetOptions, deps: PinnedDeps): Promise<readonly KeyEntry[]> {
  const entries = await Promise.all(
    keys.map(async ({ path, validFrom, validUntil, ...scheme }) => {
      const key = readPublicKey(await readText(name, path, deps), scheme)
      if ('problem' in key) throw new TrustError('trust-root', `key set ${name}: ${path}: ${key.problem}`)
      return { key, validFrom, validUntil }
    }),
  )
  const problem = keySetProblem(entries)
  if (problem !== undefined) throw new TrustError('trust-root', `key set ${name}: ${problem}`)
  return entries
}

async function readText(name: string, path: string, deps: PinnedDeps): Promise<string> {
  try {
    return await deps.readFile(path)
  } catch (error) {
    const reason = error instanceof Error ? error.message : 'unknown error'
    throw new TrustError('trust-root', `key set ${name}: ${path} cannot be read: ${reason}`, error)
  }
}
