import { DeadlineError, withDeadline } from '../deadline.ts'
import { shareFlight } from '../flight.ts'
import { createLru } from '../lru.ts'
import type { Digest } from '../oci/digest.ts'
import { imageName, type ManifestReference, type Repository, type Tag } from '../oci/reference.ts'
import type { StateStore } from '../store/types.ts'
import { whyNotHad } from './outage.ts'
import { UpstreamError } from './types.ts'

type TagReference = ManifestReference & { readonly kind: 'tag' }
/** Milliseconds: a Date takes as much memory as the rest of it. */
type KnownTag = { readonly digest: Digest; readonly checkedAtMs: number }
/** `quietFrom`, milliseconds: when upstream failed to confirm it; for a moment it is not asked again. */
type RememberedTag = KnownTag & {
  readonly quietFrom: number | undefined
  isForgotten: boolean
  isAskedAhead?: boolean
}

/** What a reference stands for, and whether that may be believed still. */
export type Believed = { readonly digest: Digest; readonly holds: () => boolean }

export type TagResolverDeps = {
  state: Pick<StateStore, 'getTag' | 'setTag' | 'dropTag'>
  /** What upstream says the tag is now. `isKnown`: the manifest is likely at hand, so the digest alone will do. */
  askUpstream(repository: Repository, reference: TagReference, isKnown: boolean): Promise<Digest>
  now: () => Date
  /** Whether other processes ask, too: then the store knows better than this one's memory. */
  isShared?: boolean
  /** How long a tag that is known already waits for upstream to confirm it. */
  revalidationLimit: () => AbortSignal
  tagTtlMs: number
  tagStaleIfErrorMs: number
}

const TAGS_IN_MEMORY_MAX = 50_000
/** Milliseconds for which a tag is served stale without asking again, once upstream has failed to confirm it. */
const QUIET_MS = 5_000
/** Milliseconds after a failure in which a tag that is pulled goes on without waiting for the next attempt. */
const UNCONFIRMED_MS = 60_000

/** Of its time to live: a tag that is pulled after that is asked for, and believed meanwhile, so that nobody waits when it ends. */
const AHEAD_SHARE = 0.8

/** Of one registry, at once: nobody waits for them, and many tags that come late together must not take the places of those who do. */
const AHEAD_MAX = 8

/** Answers about the tag itself. */
const GONE = new Set(['not-found', 'unauthorized', 'forbidden'])

/** Step 3 of a pull: what a tag points to. Believed for a short time, then confirmed; in an outage, the last answer. */
export class TagResolver {
  readonly #deps: TagResolverDeps
  readonly #tags = createLru<string, RememberedTag>(TAGS_IN_MEMORY_MAX, {
    dispose: (tag) => (tag.isForgotten = true),
  })
  readonly #flights = new Map<string, Promise<Digest>>()
  /** How many tags are asked for ahead now, by registry. */
  readonly #ahead = new Map<string, number>()

  constructor(deps: TagResolverDeps) {
    this.#deps = deps
  }

  /** Where it needs no asking. */
  believed(repository: Repository, reference: TagReference): Believed | undefined {
    const known = this.#tags.get(imageName(repository, reference))
    if (known === undefined) return undefined
    const holds = (): boolean => {
      if (known.isForgotten) return false
      // On the way of every warm request: the clock is read once.
      const nowMs = this.#nowMs()
      if (this.#isFresh(known, nowMs)) return true
      if (!this.#needsNoAsking(known, nowMs)) return false
      this.#askAhead(repository, reference, known)
      return true
    }
    return holds() ? { digest: known.digest, holds } : undefined
  }

  /** Rejects with UpstreamError. */
  async resolve(repository: Repository, reference: TagReference): Promise<Digest> {
    const key = imageName(repository, reference)
    const known = this.#known(key, repository, reference.tag)
    if (known !== undefined && this.#needsNoAsking(known)) {
      this.#tags.set(key, known)
      return known.digest
    }
    const asked = shareFlight(this.#flights, key, () => this.#ask(repository, reference, known !== undefined))
    if (known === undefined || !this.#isWithin(this.#deps.tagStaleIfErrorMs, known.checkedAtMs))
      return await asked
    const confirmed = this.#confirmedOrStale(key, known, asked)
    const { quietFrom } = known
    if (quietFrom === undefined || !this.#isWithin(UNCONFIRMED_MS, quietFrom)) return await confirmed
    // It could not be confirmed a moment ago: nobody waits for the next attempt, and what it brings counts from then on.
    confirmed.catch(() => undefined)
    return known.digest
  }

  #known(key: string, repository: Repository, tag: Tag): RememberedTag | undefined {
    const remembered = this.#tags.get(key)
    if (remembered !== undefined && this.#deps.isShared !== true) return remembered
    const stored = this.#deps.state.getTag(repository, tag)
    // Gone from the store, another process was told that it is gone: an outage must not bring it back here.
    if (stored === undefined) return undefined
    const checkedAtMs = stored.checkedAt.getTime()
    if (remembered !== undefined && remembered.checkedAtMs >= checkedAtMs) return remembered
    return { digest: stored.digest, checkedAtMs, quietFrom: undefined, isForgotten: false }
  }

  /** Whether that was at most so long ago. A clock that was set back makes it never, not for ever. */
  #isWithin(ms: number, sinceMs: number, nowMs = this.#nowMs()): boolean {
    const ageMs = nowMs - sinceMs
    return ageMs >= 0 && ageMs < ms
  }

  #nowMs(): number {
    return this.#deps.now().getTime()
  }

  #needsNoAsking({ checkedAtMs, quietFrom }: RememberedTag, nowMs = this.#nowMs()): boolean {
    if (this.#isWithin(this.#deps.tagTtlMs, checkedAtMs, nowMs)) return true
    return quietFrom !== undefined && this.#isWithin(QUIET_MS, quietFrom, nowMs)
  }

  /** Once for each time that the tag was confirmed. */
  #askAhead(repository: Repository, reference: TagReference, known: RememberedTag): void {
    // In an outage it is asked for at its own pace.
    if (known.isAskedAhead === true || known.quietFrom !== undefined) return
    if (this.#aheadOf(repository.registry) >= AHEAD_MAX) return
    known.isAskedAhead = true
    void this.#confirmAhead(repository, reference)
  }

  #aheadOf(registry: string): number {
    return this.#ahead.get(registry) ?? 0
  }

  async #confirmAhead(repository: Repository, reference: TagReference): Promise<void> {
    const { registry } = repository
    this.#ahead.set(registry, this.#aheadOf(registry) + 1)
    try {
      await this.#confirm(repository, reference)
    } catch {
      // Whoever asks when it is no longer believed is told why it could not be confirmed.
    } finally {
      this.#ahead.set(registry, this.#aheadOf(registry) - 1)
    }
  }

  async #confirm(repository: Repository, reference: TagReference): Promise<void> {
    const key = imageName(repository, reference)
    const known = this.#known(key, repository, reference.tag)
    if (known !== undefined && this.#isFresh(known)) this.#tags.set(key, known)
    else await shareFlight(this.#flights, key, () => this.#ask(repository, reference, true))
  }

  #isFresh({ checkedAtMs }: KnownTag, nowMs = this.#nowMs()): boolean {
    return this.#isWithin(this.#deps.tagTtlMs * AHEAD_SHARE, checkedAtMs, nowMs)
  }

  /** A registry that is down or hangs must not cost every pull its patience: after a moment the last answer counts. */
  async #confirmedOrStale(key: string, known: KnownTag, asked: Promise<Digest>): Promise<Digest> {
    try {
      return await withDeadline(asked, this.#deps.revalidationLimit())
    } catch (error) {
      // Only what may pass by itself lets a stale tag be used. Which digest it is, is no verdict on it.
      const mayPass =
        error instanceof DeadlineError || (error instanceof UpstreamError && whyNotHad(error) !== 'unread')
      if (!mayPass) throw error
      const { digest, checkedAtMs } = known
      const quietFrom = this.#deps.now().getTime()
      this.#tags.set(key, { digest, checkedAtMs, quietFrom, isForgotten: false })
      return known.digest
    }
  }

  async #ask(repository: Repository, reference: TagReference, isKnown: boolean): Promise<Digest> {
    try {
      const digest = await this.#deps.askUpstream(repository, reference, isKnown)
      this.#remember(repository, reference.tag, digest)
      return digest
    } catch (error) {
      // Gone is an answer: a later outage must not bring the tag back.
      const isGone = error instanceof UpstreamError && GONE.has(error.code)
      if (isGone && isKnown) this.#forget(repository, reference.tag)
      throw error
    }
  }

  #remember(repository: Repository, tag: Tag, digest: Digest): void {
    const checkedAt = this.#deps.now()
    const known = { digest, checkedAtMs: checkedAt.getTime(), quietFrom: undefined, isForgotten: false }
    this.#tags.set(imageName(repository, { kind: 'tag', tag }), known)
    this.#deps.state.setTag(repository, tag, digest, checkedAt)
  }

  #forget(repository: Repository, tag: Tag): void {
    this.#tags.delete(imageName(repository, { kind: 'tag', tag }))
    this.#deps.state.dropTag(repository, tag)
  }
}
