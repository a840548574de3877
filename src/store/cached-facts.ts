import type { Digest } from '../oci/digest.ts'
import type { Repository } from '../oci/reference.ts'
import { inTransaction, openDatabase, type Database } from './database.ts'
import { storeError, type StoreError } from './error.ts'
import type { Uses } from './uses.ts'

/** Runs work once, in a turn of its own. */
export type Later = {
  /** Somebody waits: with what others have ready in this turn. */
  readonly soon: (work: () => void) => void
  /** Nobody does: with what somebody waits for next, or within moments. */
  readonly eventually: (work: () => void) => void
}

export type CachedFactsOptions<Cached> = {
  readonly database: Database
  readonly stored: Cached
  readonly uses: Uses
  readonly onError: (error: StoreError) => void
  readonly later?: Later | undefined
  /** The same tables in memory. */
  readonly openOverflow: (spare: Database) => Cached
}

type Tell<Cached> = (cached: Cached) => void

/**
 * Facts on disk and, once the disk has refused one, those that it refused. What a cold pull finds out is written in one
 * transaction, and that of pulls at the same time with it: most of what a transaction costs are the pages that it touches, and
 * they touch the same ones.
 */
export class CachedFacts<Cached> {
  readonly #options: CachedFactsOptions<Cached>
  #overflow: { readonly database: Database; readonly cached: Cached } | undefined
  #pending: Tell<Cached>[] = []
  /** What the pending ones are about: whoever reads that must find them written. */
  readonly #about = new Set<string>()
  #waiting: PromiseWithResolvers<void> | undefined
  #isDue = false

  constructor(options: CachedFactsOptions<Cached>) {
    this.#options = options
  }

  noteUse(repository: Repository, digest: Digest): void {
    this.#attempt('cannot note a use', undefined, () => this.#options.uses.note(repository, digest))
  }

  /** `about`: of writeLater; without it, whatever is pending may be. */
  read<T>(unknown: T, ask: (cached: Cached) => T, merge: (stored: T, overflow: T) => T, about?: string): T {
    if (about === undefined || this.#about.has(about)) this.flush()
    const found = this.#attempt('cannot read state', unknown, () => ask(this.#options.stored))
    return this.#overflow === undefined ? found : merge(found, ask(this.#overflow.cached))
  }

  write(tell: Tell<Cached>): void {
    this.flush()
    this.#flushUses()
    this.#writeAlone(tell)
  }

  /** Alone, and what waits goes on waiting: nothing of it may be about the same. */
  writeBeside(tell: Tell<Cached>): void {
    this.#writeAlone(tell)
  }

  /** For what must be gone: a fact that only one of the two forgets would come back. */
  writeEverywhere(tell: Tell<Cached>): void {
    this.write(tell)
    if (this.#overflow !== undefined) tell(this.#overflow.cached)
  }

  /** Lost where the process ends before anybody waited for it. */
  writeLater(about: string, tell: Tell<Cached>): void {
    const { later } = this.#options
    if (later === undefined) return this.write(tell)
    this.#pending.push(tell)
    this.#about.add(about)
    if (this.#isDue) return
    this.#isDue = true
    later.eventually(() => {
      this.#isDue = false
      this.flush()
    })
  }

  /** Settles when everything that was told before is written, or kept in memory where the disk refuses it. */
  async written(): Promise<void> {
    const { later } = this.#options
    if (later === undefined || this.#pending.length === 0) return
    if (this.#waiting === undefined) {
      this.#waiting = Promise.withResolvers()
      later.soon(() => this.flush())
    }
    await this.#waiting.promise
  }

  /** Does nothing in a transaction of somebody else: it may be rolled back, and they are told as written. They go on waiting. */
  flush(): void {
    const [pending, waiting] = [this.#pending, this.#waiting]
    if (pending.length === 0 || this.#options.database.isTransaction) return
    this.#pending = []
    this.#waiting = undefined
    this.#about.clear()
    try {
      this.#writeTogether(pending)
    } finally {
      waiting?.resolve()
    }
  }

  close(): void {
    this.flush()
    this.#flushUses()
    this.#overflow?.database.close()
  }

  #writeTogether(tells: readonly Tell<Cached>[]): void {
    const { database, stored, onError } = this.#options
    let hasBegun = false
    try {
      inTransaction(database, () => {
        hasBegun = true
        this.#flushUses()
        for (const tell of tells) tell(stored)
      })
    } catch (error) {
      // Where one cannot be written, the others can perhaps.
      if (hasBegun) return tells.forEach((tell) => this.#writeAlone(tell))
      // Somebody holds the database: each of them alone would hold the event loop for as long as all have by now.
      onError(storeError('cannot write state', error))
      for (const tell of tells) this.#keep(tell)
    }
  }

  #writeAlone(tell: Tell<Cached>): void {
    const isWritten = this.#attempt('cannot write state', false, () => {
      tell(this.#options.stored)
      return true
    })
    if (!isWritten) this.#keep(tell)
  }

  /** In memory. What cannot be kept there either is lost, and nothing else with it. */
  #keep(tell: Tell<Cached>): void {
    this.#attempt('cannot keep state in memory', undefined, () => tell(this.#openOverflow()))
  }

  /** A write may evict: what is in use must be known to be by then. */
  #flushUses(): void {
    this.#attempt('cannot note a use', undefined, () => this.#options.uses.flush())
  }

  #openOverflow(): Cached {
    if (this.#overflow === undefined) {
      const database = openDatabase(':memory:')
      this.#overflow = { database, cached: this.#options.openOverflow(database) }
    }
    return this.#overflow.cached
  }

  #attempt<T>(what: string, otherwise: T, work: () => T): T {
    try {
      return work()
    } catch (error) {
      this.#options.onError(storeError(what, error))
      return otherwise
    }
  }
}
