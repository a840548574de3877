import { LRUCache } from 'lru-cache'
import type { Trial } from './gate.ts'
import { imageName, type ManifestReference, type Repository } from './oci/reference.ts'
import { DEFAULT_RING, type Ring } from './policy/ring.ts'

/** What somebody pulled lately. */
export type RecentPull = {
  readonly repository: Repository
  readonly reference: ManifestReference
  readonly ring: Ring
  /** Distinct addresses; counted up to CLIENTS_MAX. */
  readonly clients: number
  readonly lastAt: Date
  /** Whether the last pull was served. */
  readonly isServed: boolean
}

type ReplayedOutcome = 'serve' | 'admitted' | 'hold' | 'refuse'

/** What a proxy that starts now would do with a pull, after those of the trial, and why, in one line. */
export type JudgeFresh = (
  pull: RecentPull,
  trial: Trial,
) => Promise<{ readonly outcome: ReplayedOutcome; readonly why: string }>

/** A pull that would not end as it does now. */
type ReplayFinding = {
  /** `lost`: served now and not then. `let-in`: served then and not now. */
  readonly kind: 'lost' | 'let-in'
  readonly image: string
  /** Name of the ring that pulls it. */
  readonly ring: string
  readonly clients: number
  readonly lastAt: Date
  readonly outcome: ReplayedOutcome
  readonly why: string
}

export type ReplayReport = {
  readonly counts: Readonly<Record<ReplayedOutcome, number>>
  /** Pulls that were not asked for any more when time was up. */
  readonly left: number
  /** Those that most clients asked for come first. */
  readonly findings: readonly ReplayFinding[]
}

/** The same as it is counted. */
export type SeenPull = {
  readonly repository: Repository
  readonly reference: ManifestReference
  readonly ring: Ring
  readonly clients: Set<string>
  lastMs: number
  isServed: boolean
  isForgotten: boolean
}

/** What one pull came to. `client` is the address of who pulled. */
export type PullSeen = {
  readonly repository: Repository
  readonly reference: ManifestReference
  readonly client: string
  readonly ring: Ring
  readonly isServed: boolean
}

const PULLS_MAX = 1_000
const CLIENTS_MAX = 256
/** Pulls judged at the same time: a replay must not take the place of those who really pull. */
const CONCURRENCY = 4

/** The distinct images that each ring pulled lately, in memory: a restart forgets them. */
export class RecentPulls {
  readonly #now: () => number
  readonly #pulls = new LRUCache<string, SeenPull>({
    max: PULLS_MAX,
    dispose: (seen) => (seen.isForgotten = true),
  })
  /** The same without spelling the name: who asks what is known asks with the same object. */
  readonly #byReference = new WeakMap<ManifestReference, SeenPull>()

  /** `now` in milliseconds. */
  constructor(now: () => number) {
    this.#now = now
  }

  /** Called for every pull, so it does no more than two look-ups for one that was seen before. */
  note(pull: PullSeen): void {
    const { repository, reference, client, ring, isServed } = pull
    let seen = this.#byReference.get(reference)
    const isSame = seen?.repository === repository && seen.ring === ring && !seen.isForgotten
    if (seen === undefined || !isSame) {
      seen = this.#seen(pull)
      this.#byReference.set(reference, seen)
    }
    seen.lastMs = this.#now()
    seen.isServed = isServed
    if (seen.clients.size < CLIENTS_MAX) seen.clients.add(client)
  }

  #seen({ repository, reference, ring, isServed }: PullSeen): SeenPull {
    const name = keyOf({ repository, reference, ring })
    let seen = this.#pulls.get(name)
    if (seen?.repository !== repository) {
      const clients = seen?.clients ?? new Set<string>()
      seen = { repository, reference, ring, clients, lastMs: 0, isServed, isForgotten: false }
      this.#pulls.set(name, seen)
    }
    return seen
  }

  /** The latest first. */
  list(): readonly RecentPull[] {
    return this.seen().map(({ repository, reference, ring, clients, lastMs, isServed }) => ({
      repository,
      reference,
      ring,
      clients: clients.size,
      lastAt: new Date(lastMs),
      isServed,
    }))
  }

  /** The latest first, for another process to add to what it has. */
  seen(): readonly SeenPull[] {
    return [...this.#pulls.values()]
  }

  /** Adds what several processes have seen: the pull that was the last of them counts. */
  add(seen: readonly SeenPull[]): void {
    for (const pull of seen.toSorted((a, b) => a.lastMs - b.lastMs)) {
      const key = keyOf(pull)
      const known = this.#pulls.get(key)
      const clients = [...(known?.clients ?? []), ...pull.clients].slice(0, CLIENTS_MAX)
      const last = known !== undefined && known.lastMs > pull.lastMs ? known : pull
      this.#pulls.set(key, { ...last, clients: new Set(clients) })
    }
  }
}

function keyOf({ repository, reference, ring }: Pick<SeenPull, 'repository' | 'reference' | 'ring'>): string {
  const image = imageName(repository, reference)
  return ring.name === DEFAULT_RING ? image : `${image} ${ring.name}`
}

/** Asks of each pull what would become of it. Stops asking when `signal` aborts; what is left is counted. */
export async function replay(
  pulls: readonly RecentPull[],
  judgeFresh: JudgeFresh,
  signal: AbortSignal,
): Promise<ReplayReport> {
  const counts = { serve: 0, admitted: 0, hold: 0, refuse: 0 }
  const findings: ReplayFinding[] = []
  const trial: Trial = new Map()
  let next = 0
  let asked = 0
  const work = async (): Promise<void> => {
    for (let pull = pulls[next++]; pull !== undefined && !signal.aborted; pull = pulls[next++]) {
      // oxlint-disable-next-line no-await-in-loop -- a few at a time
      const { outcome, why } = await judgedOrHeld(pull, trial, judgeFresh)
      asked += 1
      counts[outcome] += 1
      const isServed = outcome === 'serve' || outcome === 'admitted'
      if (isServed !== pull.isServed) findings.push(findingOf(pull, outcome, why))
    }
  }
  await Promise.all(Array.from({ length: CONCURRENCY }, work))
  return { counts, left: pulls.length - asked, findings: findings.toSorted((a, b) => b.clients - a.clients) }
}

/** What cannot be judged is not served. */
async function judgedOrHeld(pull: RecentPull, trial: Trial, judgeFresh: JudgeFresh): ReturnType<JudgeFresh> {
  try {
    return await judgeFresh(pull, trial)
  } catch (error) {
    return { outcome: 'hold', why: error instanceof Error ? error.message : 'an unknown failure' }
  }
}

function findingOf(pull: RecentPull, outcome: ReplayedOutcome, why: string): ReplayFinding {
  const { repository, reference, ring, clients, lastAt, isServed } = pull
  const kind = isServed ? 'lost' : 'let-in'
  return { kind, image: imageName(repository, reference), ring: ring.name, clients, lastAt, outcome, why }
}
