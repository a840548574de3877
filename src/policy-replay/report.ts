import { imageName, repositoryName } from '../oci/reference.ts'
import type { StoredSighting } from '../store/types.ts'
import { CHANGES, changeFrom, type Because, type Change, type Side } from './change.ts'

/** One image in one ring, judged by both sets. */
export type Replayed = {
  readonly sighting: Pick<StoredSighting, 'repository' | 'digest' | 'ring' | 'tags' | 'pulls' | 'lastAt'>
  readonly before: Side | undefined
  readonly after: Side | undefined
}

/** What changes alike, for the same reason, in one repository: a person reads it as one thing. */
export type Group = {
  readonly change: Change
  readonly repository: string
  readonly before: Side['outcome'] | undefined
  readonly after: Side['outcome'] | undefined
  readonly because: readonly Because[]
  pulls: number
  /** Distinct digests. */
  readonly images: Set<string>
  readonly rings: Map<string, number>
  readonly tags: Set<string>
  lastAt: Date
  /** The one pulled last. */
  example: string
}

type Count = { readonly images: number; readonly pulls: number }

export type ReplayReport = {
  /** Images, and pulls of them, by what changes. */
  readonly counts: ReadonlyMap<Change, Count>
  /** Images for which the policy is a reason. */
  readonly byPolicy: ReadonlyMap<string, ReadonlyMap<Change, number>>
  /** Most pulled first, within the order of CHANGES; what stays the same is not listed. */
  readonly groups: readonly Group[]
}

/** Beyond this a repository has more reasons than anybody reads; they are counted still. */
const GROUPS_MAX = 20_000
const TAGS_SHOWN_MAX = 8
const NONE: Count = { images: 0, pulls: 0 }

/** Takes one image at a time, so that a month of pulls needs no more memory than what there is to say of it. */
export class ReplayCollector {
  readonly #counts = new Map<Change, Count>()
  readonly #byPolicy = new Map<string, Map<Change, number>>()
  readonly #groups = new Map<string, Group>()

  add({ sighting, before, after }: Replayed): void {
    const change = changeFrom(before, after)
    const count = this.#counts.get(change) ?? NONE
    this.#counts.set(change, { images: count.images + 1, pulls: count.pulls + sighting.pulls })
    if (change === 'same') return
    const because = reasonsFor(change, before, after)
    for (const { policy } of because) this.#count(policy, change)
    this.#note({ sighting, before, after }, change, because)
  }

  report(): ReplayReport {
    const byPolicy = [...this.#byPolicy].toSorted(([a], [b]) => (a < b ? -1 : 1))
    return {
      counts: new Map(CHANGES.map((change) => [change, this.#counts.get(change) ?? NONE])),
      byPolicy: new Map(byPolicy),
      groups: [...this.#groups.values()].toSorted(
        (a, b) => CHANGES.indexOf(a.change) - CHANGES.indexOf(b.change) || b.pulls - a.pulls,
      ),
    }
  }

  #count(policy: string, change: Change): void {
    const by = this.#byPolicy.get(policy) ?? new Map<Change, number>()
    by.set(change, (by.get(change) ?? 0) + 1)
    this.#byPolicy.set(policy, by)
  }

  #note({ sighting, before, after }: Replayed, change: Change, because: readonly Because[]): void {
    const { repository, digest, ring, pulls, tags, lastAt } = sighting
    const name = repositoryName(repository)
    const outcomes = [before?.outcome, after?.outcome]
    const key = JSON.stringify([change, name, outcomes, because])
    const known = this.#groups.get(key)
    const group = known ?? {
      change,
      repository: name,
      before: before?.outcome,
      after: after?.outcome,
      because,
      pulls: 0,
      images: new Set(),
      rings: new Map(),
      tags: new Set(),
      lastAt: new Date(0),
      example: '',
    }
    if (known === undefined) {
      if (this.#groups.size >= GROUPS_MAX) return
      this.#groups.set(key, group)
    }
    group.pulls += pulls
    group.images.add(digest)
    group.rings.set(ring, (group.rings.get(ring) ?? 0) + pulls)
    for (const tag of tags) if (group.tags.size < TAGS_SHOWN_MAX) group.tags.add(tag)
    if (lastAt < group.lastAt) return
    group.lastAt = lastAt
    group.example = imageName(repository, { kind: 'digest', digest })
  }
}

/** What is said of a change is why it is so from now on; of what is let in, what stood against it until now. */
function reasonsFor(change: Change, before: Side | undefined, after: Side | undefined): readonly Because[] {
  const side = change === 'admitted' || change === 'unwarned' ? before : after
  return side?.because ?? []
}
