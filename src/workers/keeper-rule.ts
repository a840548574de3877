import type { Drill } from '../drill.ts'
import type { IndexedPolicySet } from '../policy/policy-index.ts'
import type { PoliciesInForce } from '../policy-source/keeper.ts'
import { NO_FILES, type PolicyFiles } from '../policy-source/source.ts'
import type { TrustListener } from '../trust/open.ts'
import type { TrustSnapshot } from '../trust/snapshot.ts'
import type { Rule } from './messages.ts'
import { trustDataOf } from './trust-data.ts'

/**
 * What workers go by, as the keeper decides it. What changes in one turn of the event loop reaches them in one message, so
 * that they never see new policies without the keys that these name.
 */
export class KeeperRule {
  #rule: Rule = { trust: undefined, policies: undefined, drill: null }
  #changes: Partial<Rule> = {}
  /** What a set was compiled from, for as long as there is the set. */
  readonly #files = new WeakMap<IndexedPolicySet, PolicyFiles>()
  #spread: ((rule: Rule) => Promise<void>) | undefined
  #spreading: Promise<void> | undefined

  /** All of it: for a worker that begins. */
  get whole(): Rule {
    return this.#rule
  }

  /** From now on `spread` is told of changes, one after the other. */
  follow(spread: (rule: Rule) => Promise<void>): void {
    this.#changes = {}
    this.#spread = spread
  }

  compiled(set: IndexedPolicySet, files: PolicyFiles): void {
    this.#files.set(set, files)
  }

  policies({ set, origin, since }: PoliciesInForce): void {
    const files = this.#files.get(set) ?? NO_FILES
    this.#change({ policies: { version: set.version, files, origin, since } })
  }

  /** The same listener, and workers hear of every new snapshot. */
  following(listener: TrustListener): TrustListener {
    return {
      ...listener,
      onKeeper: (event) => {
        if (event.kind === 'changed') this.trust(event.snapshot)
        listener.onKeeper(event)
      },
    }
  }

  trust(snapshot: TrustSnapshot): void {
    this.#change({ trust: trustDataOf(snapshot) })
  }

  /** Undefined: none is running. */
  drill(drill: Drill | undefined): void {
    this.#change({ drill: drill ?? null })
  }

  /** Resolves when all workers go by what has changed so far. */
  async settled(): Promise<void> {
    await this.#spreading
  }

  #change(change: Partial<Rule>): void {
    this.#rule = { ...this.#rule, ...change }
    this.#changes = { ...this.#changes, ...change }
    if (this.#spread !== undefined) this.#spreading ??= this.#spreadAll(this.#spread)
  }

  async #spreadAll(spread: (rule: Rule) => Promise<void>): Promise<void> {
    try {
      // What else changes in this turn goes along.
      await Promise.resolve()
      while (Object.keys(this.#changes).length > 0) {
        const changes = { trust: undefined, policies: undefined, drill: undefined, ...this.#changes }
        this.#changes = {}
        // oxlint-disable-next-line no-await-in-loop -- one change after the other
        await spread(changes)
      }
    } finally {
      this.#spreading = undefined
    }
  }
}
