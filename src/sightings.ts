import type { Judged } from './judge.ts'
import type { ManifestReference, Repository } from './oci/reference.ts'
import { mostTelling } from './policy/reasons.ts'
import { inRing, type Ring } from './policy/ring.ts'
import type { Judgement, Outcome, Verdict } from './policy/types.ts'
import type { SigningFacts } from './signing.ts'
import type { Sighting, StateStore } from './store/types.ts'

export type JudgedPull = {
  readonly repository: Repository
  readonly reference: ManifestReference
  /** The same object for the same ring. */
  readonly ring: Ring
  /** A GET. A HEAD asks what there is, and most clients ask so before they pull. */
  readonly isRead: boolean
  readonly outcome: Outcome['kind']
  /** Undefined where nothing was seen of the image. */
  readonly judged:
    | (Pick<Judged, 'digest' | 'judgement' | 'coveredBy' | 'isEvidence'> & { readonly signing: SigningFacts })
    | undefined
}

export type SightingsDeps = {
  state: Pick<StateStore, 'noteSightings'>
  /** Milliseconds. */
  nowMs: () => number
  /** Lets requests that wait be answered. */
  pause: () => Promise<void>
  onError: (error: unknown) => void
  /** Told how many pulls were not counted: the disk refused them, or there were too many different images at once. */
  onLost: (pulls: number) => void
}

type Count = Omit<JudgedPull, 'reference' | 'isRead' | 'outcome' | 'judged'> & {
  readonly judged: NonNullable<JudgedPull['judged']>
  readonly tags: Set<string>
  outcome: Outcome['kind']
  pulls: number
  atMs: number
}

/** Images and rings that are counted between two writes, some 400 bytes each; as many again that are only asked about. */
const COUNTS_MAX = 10_000
const TAGS_MAX = 8
/** Rows a turn of the event loop: some 4 ms. */
const ROWS_AT_ONCE = 64
const BECAUSE_CHARACTERS_MAX = 320

/** Counts what each ring pulls. A pull costs two look-ups; everything else is worked out when the counts are written. */
export class Sightings {
  readonly #deps: SightingsDeps
  /** By the judgement, which is one object until the image is judged again. */
  #counts = new Map<Judgement, Count[]>()
  /** How many of them have been pulled, and how many were first asked about. */
  #pulled = 0
  #asked = 0
  #queue: Count[] = []
  #writing: Promise<void> | undefined
  #lost = 0

  constructor(deps: SightingsDeps) {
    this.#deps = deps
  }

  /** On the way of every pull: no I/O. */
  note(pull: JudgedPull): void {
    const { judged, reference, outcome } = pull
    // Evidence is no image.
    if (judged === undefined || judged.isEvidence || isOfItsIndex(judged)) return
    // Refused at HEAD, most clients never GET.
    const pulls = pull.isRead || outcome !== 'serve' ? 1 : 0
    const count = this.#countOf({ ...pull, judged }, pulls)
    if (count === undefined) {
      this.#lost += pulls
      return
    }
    count.pulls += pulls
    count.outcome = outcome
    count.atMs = this.#deps.nowMs()
    if (reference.kind === 'tag' && count.tags.size < TAGS_MAX) count.tags.add(reference.tag)
  }

  /** Writes what was counted, a little at a time. To be called every few seconds. */
  async write(): Promise<void> {
    this.#enqueue()
    this.#writing ??= this.#writeAll().finally(() => {
      this.#writing = undefined
    })
    await this.#writing
  }

  /** Writes it at once. For the end. */
  flush(): void {
    this.#enqueue()
    while (this.#writeSome());
  }

  /** Undefined where there is no room. */
  #countOf(pull: JudgedPull & Pick<Count, 'judged'>, pulls: number): Count | undefined {
    const { repository, ring, judged, outcome } = pull
    let counts = this.#counts.get(judged.judgement)
    const known = counts?.find((count) => count.ring === ring)
    if (!this.#takesRoom(known, pulls)) return undefined
    if (known !== undefined) return known
    if (counts === undefined) this.#counts.set(judged.judgement, (counts = []))
    const count: Count = { repository, ring, judged, outcome, tags: new Set(), pulls: 0, atMs: 0 }
    counts.push(count)
    return count
  }

  /** Whoever only asks, at no cost, must not take the room of who pulls. */
  #takesRoom(known: Count | undefined, pulls: number): boolean {
    if (pulls > 0 && (known?.pulls ?? 0) === 0) {
      if (this.#pulled >= COUNTS_MAX) return false
      this.#pulled += 1
    } else if (known === undefined) {
      if (this.#asked >= COUNTS_MAX) return false
      this.#asked += 1
    }
    return true
  }

  async #writeAll(): Promise<void> {
    while (this.#writeSome()) {
      // oxlint-disable-next-line no-await-in-loop -- in turns, so that pulls wait for no more than one
      await this.#deps.pause()
    }
  }

  #enqueue(): void {
    for (const counts of this.#counts.values()) this.#queue.push(...counts)
    this.#counts = new Map()
    this.#pulled = 0
    this.#asked = 0
  }

  /** Whether there is more. What a full disk refuses is lost: nobody's pull waits for it. */
  #writeSome(): boolean {
    const counts = this.#queue.splice(0, ROWS_AT_ONCE).filter(({ pulls }) => pulls > 0)
    try {
      this.#deps.state.noteSightings(counts.map(sightingOf))
    } catch (error) {
      this.#deps.onError(error)
      this.#lost += [...counts, ...this.#queue].reduce((sum, { pulls }) => sum + pulls, 0)
      this.#queue = []
    }
    if (this.#queue.length > 0) return true
    if (this.#lost > 0) this.#deps.onLost(this.#lost)
    this.#lost = 0
    return false
  }
}

/**
 * What an index lists is pulled along with it. Where neither is what a policy demands it counts for itself: by its own
 * digest it may be pulled long after anybody has pulled the index.
 */
function isOfItsIndex({ coveredBy, judgement }: Count['judged']): boolean {
  return coveredBy !== undefined && judgement.results.every(({ verdict }) => verdict.kind === 'satisfied')
}

function sightingOf({ repository, ring, judged, tags, outcome, pulls, atMs }: Count): Sighting {
  const { results } = inRing(judged.judgement, ring)
  return {
    repository,
    digest: judged.digest,
    ring: ring.name,
    tags: [...tags],
    pulls,
    at: new Date(atMs),
    outcome,
    ...judged.signing,
    results: results.map(({ policy, version, mode, verdict }) => ({
      policy,
      version,
      mode,
      verdict: verdict.kind,
      because: becauseOf(verdict),
    })),
  }
}

/** `unsigned: no signature at all, expected …`: what many images violate alike reads alike, so that they can be grouped. */
function becauseOf(verdict: Verdict): string {
  switch (verdict.kind) {
    case 'satisfied':
      return ''
    case 'undetermined': {
      const [cause] = verdict.causes
      return cause === undefined
        ? ''
        : `${cause.dependency}: ${cause.message}`.slice(0, BECAUSE_CHARACTERS_MAX)
    }
    case 'violated': {
      const reason = mostTelling(verdict.reasons)
      if (reason === undefined) return ''
      return `${reason.code}: ${reason.found}, expected ${reason.expected}`.slice(0, BECAUSE_CHARACTERS_MAX)
    }
  }
}
