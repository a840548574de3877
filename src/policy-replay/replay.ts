import { setImmediate } from 'node:timers/promises'
import { enforce } from '../policy/decide.ts'
import { inRing, type Ring } from '../policy/ring.ts'
import type { Judgement } from '../policy/types.ts'
import type { StateStore, StoredSighting } from '../store/types.ts'
import { sideOf, type Side } from './change.ts'
import type { StoredJudge } from './judge.ts'
import { ReplayCollector, type ReplayReport } from './report.ts'

type Judges = { readonly before: Pick<StoredJudge, 'judge'>; readonly after: Pick<StoredJudge, 'judge'> }

export type ReplayInput = Judges & {
  readonly since: Date
  /** Undefined: all of them. */
  readonly ring: string | undefined
  /** By name; a ring that is not configured any more is one without a limit of its own. */
  readonly rings: ReadonlyMap<string, Ring>
  readonly state: Pick<StateStore, 'sightings'>
  /** How many are judged by now. */
  readonly onProgress?: (judged: number) => void
}

const PROGRESS_EVERY = 1_000

/** Judges everything that was pulled since then under both sets. */
export async function replayPolicies(input: ReplayInput): Promise<ReplayReport> {
  const collector = new ReplayCollector()
  let judged = 0
  for (const sighting of input.state.sightings(input.since)) {
    if (input.ring !== undefined && sighting.ring !== input.ring) continue
    // oxlint-disable-next-line no-await-in-loop -- one at a time: millions fit in a month, not in memory
    collector.add({ sighting, ...(await sidesOf(sighting, input)) })
    judged += 1
    if (judged % PROGRESS_EVERY !== 0) continue
    input.onProgress?.(judged)
    // oxlint-disable-next-line no-await-in-loop -- lets an interrupt through
    await setImmediate()
  }
  return collector.report()
}

async function sidesOf(
  { repository, digest, ring: name, results }: StoredSighting,
  { before, after, rings }: ReplayInput,
): Promise<{ before: Side | undefined; after: Side | undefined }> {
  const ring = rings.get(name) ?? { name, stanceLimit: undefined }
  const sideIn = (judgement: Judgement | undefined): Side | undefined =>
    judgement === undefined ? undefined : sideOf(enforce(inRing(judgement, ring)))
  // Evidence is served by what it is, and no policy is asked.
  if (results.length === 0) return { before: SERVED, after: SERVED }
  return {
    before: sideIn(await before.judge(repository, digest)),
    after: sideIn(await after.judge(repository, digest)),
  }
}

const SERVED: Side = { outcome: 'serve', because: [] }
