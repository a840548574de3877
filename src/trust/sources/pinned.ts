import type { TrustRoot } from '../../verify/types.ts'
import { inventoryOf } from '../inventory.ts'
import { NO_PARTS, type SourceParts, type SourceStatus, type TrustSource } from '../source.ts'
import { TrustError } from '../trust-error.ts'
import { parseTrustRoot } from '../trust-root.ts'

export type PinnedOptions = {
  readonly name: string
  readonly path: string
  /** The document that `path` replaces, trusted beside it until then. */
  readonly previous: { readonly path: string; readonly until: Date } | undefined
  readonly refreshEveryMs: number
}

export type PinnedDeps = {
  readFile(path: string): Promise<string>
  now(): Date
}

/** A `trusted_root.json` of the operator's. It has no age: whoever put it there answers for it. */
export class PinnedSource implements TrustSource {
  readonly name: string
  readonly refreshEveryMs: number
  readonly #options: PinnedOptions
  readonly #deps: PinnedDeps
  #current: TrustRoot
  readonly #previous: TrustRoot | undefined
  #renewedAt: Date
  #problem: string | undefined

  private constructor(
    options: PinnedOptions,
    deps: PinnedDeps,
    documents: { current: TrustRoot; previous: TrustRoot | undefined },
  ) {
    this.name = options.name
    this.refreshEveryMs = options.refreshEveryMs
    this.#options = options
    this.#deps = deps
    this.#current = documents.current
    this.#previous = documents.previous
    this.#renewedAt = deps.now()
  }

  /** Rejects with TrustError `trust-root`: a start with half of what was configured would refuse good images. */
  static async open(options: PinnedOptions, deps: PinnedDeps): Promise<PinnedSource> {
    const { name, previous } = options
    const current = await read(name, options.path, deps)
    // After its time nobody needs the file: who has deleted it then must be able to start.
    const isOver = previous === undefined || previous.until <= deps.now()
    const before = isOver ? undefined : await read(name, previous.path, deps)
    return new PinnedSource(options, deps, {
      current,
      previous: before === undefined ? undefined : { ...before, isRetiring: true },
    })
  }

  parts(now: Date): SourceParts {
    return { ...NO_PARTS, roots: this.#roots(now) }
  }

  async refresh(): Promise<void> {
    try {
      const document = await read(this.name, this.#options.path, this.#deps)
      // The same document stays the same object: what was worked out about it once need not be again.
      if (document.version !== this.#current.version) this.#current = document
      this.#renewedAt = this.#deps.now()
      this.#problem = undefined
    } catch (error) {
      this.#problem = error instanceof Error ? error.message : 'not readable'
      throw error
    }
  }

  status(now: Date): SourceStatus {
    const roots = this.#roots(now)
    return {
      name: this.name,
      kind: 'pinned',
      origin: this.#options.path,
      state: 'fresh',
      problem: this.#problem,
      renewedAt: this.#renewedAt,
      warnsAt: undefined,
      stopsAt: undefined,
      documents: roots.map(({ version, isRetiring }) => ({ version, isRetiring })),
      roles: [],
      servableUntil: undefined,
      held: roots.flatMap((root) =>
        inventoryOf(root).map((item) =>
          root.isRetiring ? { ...item, until: this.#endOf(item.until) } : item,
        ),
      ),
    }
  }

  #roots(now: Date): readonly TrustRoot[] {
    const { previous } = this.#options
    const overlaps = previous !== undefined && now < previous.until
    return overlaps && this.#previous !== undefined ? [this.#current, this.#previous] : [this.#current]
  }

  #endOf(own: Date | undefined): Date | undefined {
    const until = this.#options.previous?.until
    return own === undefined || (until !== undefined && until < own) ? until : own
  }
}

async function read(name: string, path: string, deps: PinnedDeps): Promise<TrustRoot> {
  let json: string
  try {
    json = await deps.readFile(path)
  } catch (error) {
    const reason = error instanceof Error ? error.message : 'unknown error'
    throw new TrustError('trust-root', `trust root ${name}: ${path} cannot be read: ${reason}`, error)
  }
  return parseTrustRoot(name, json)
}
