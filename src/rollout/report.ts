import { imageName } from '../oci/reference.ts'
import { modeIn } from '../policy/ring.ts'
import type { Mode, PolicySet } from '../policy/types.ts'
import type { RolloutStage, StoredResult, StoredSighting } from '../store/types.ts'
import { criteriaOf, DAY_MS, wholeDays, type Criterion } from './criteria.ts'
import { rulesOf, stageKey, type Rule } from './stages.ts'

/** An image that the policy does not let pass where it is enforced. */
type Gap = {
  /** `registry/name@digest`. */
  readonly image: string
  readonly tags: readonly string[]
  /** Held: nobody can say whether it violates the policy. */
  readonly kind: 'block' | 'hold'
  readonly because: string
  /** In the stage. */
  readonly pulls: number
  readonly lastAt: Date
  /** Whether the criterion counts it: it was pulled in the last `minDays` days, which is the whole stage where there are none. */
  readonly counts: boolean
}

type GapReason = {
  readonly because: string
  readonly images: number
  readonly pulls: number
}

/** One policy in one ring, since its stage began. */
export type RolloutRow = {
  readonly policy: string
  readonly ring: string
  readonly mode: Mode
  readonly version: string
  readonly origin: string
  /** Whether it is judged at all: a policy that is off in every ring is not, and has no figures. */
  readonly isJudged: boolean
  readonly since: Date
  readonly days: number
  readonly pulls: number
  /** Distinct ones that were pulled. */
  readonly images: number
  /** Of these. */
  readonly signed: number
  readonly withProvenance: number
  /** Of these; with those that the criterion does not count any more. */
  readonly gapImages: number
  readonly wouldBlocks: number
  /** Most images first, at most 20. */
  readonly reasons: readonly GapReason[]
  /** Most pulls first, at most 100. */
  readonly gaps: readonly Gap[]
  /** Undefined where the policy declares none. */
  readonly criteria: readonly Criterion[] | undefined
  /** The first in the order of the rings that the policy is not enforced in. */
  readonly isNext: boolean
}

export type RolloutReport = {
  readonly at: Date
  readonly rings: readonly string[]
  /** By policy, then in the order of the rings. */
  readonly rows: readonly RolloutRow[]
}

export type RolloutInput = {
  readonly set: PolicySet
  /** In the order in which they get something new. */
  readonly rings: readonly string[]
  readonly stages: readonly RolloutStage[]
  readonly now: Date
}

const REASONS_SHOWN_MAX = 20
const GAPS_SHOWN_MAX = 100
/** Reasons that are told apart; what comes after these is one more. */
const REASONS_MAX = 200
const OTHER_REASONS = 'other reasons'
/** Sightings a turn of the event loop: some 2 ms. */
const SIGHTINGS_AT_ONCE = 128

type Tally = {
  readonly rule: Rule
  readonly ring: string
  readonly mode: Mode
  readonly since: Date
  /** From when on a gap counts. */
  readonly countsFrom: Date
  readonly reasons: Map<string, { images: number; pulls: number }>
  gaps: Gap[]
  pulls: number
  images: number
  signed: number
  withProvenance: number
  gapImages: number
  wouldBlocks: number
}

/**
 * Adds up what was pulled, stage by stage. `pause` lets others have their turn: there may be hundreds of thousands of
 * sightings.
 */
export async function rolloutReport(
  input: RolloutInput,
  sightingsSince: (since: Date) => Iterable<StoredSighting>,
  pause: () => Promise<void>,
): Promise<RolloutReport> {
  const tallies = new Map(talliesOf(input).map((tally) => [keyOf(tally), tally]))
  const earliest = Math.min(...[...tallies.values()].map(({ since }) => since.getTime()), input.now.getTime())
  let left = SIGHTINGS_AT_ONCE
  for (const sighting of sightingsSince(new Date(earliest))) {
    for (const result of sighting.results) {
      const tally = tallies.get(stageKey({ policy: result.policy, ring: sighting.ring }))
      if (tally !== undefined && isOfStage(tally, sighting, result)) add(tally, sighting, result)
    }
    left -= 1
    if (left > 0) continue
    left = SIGHTINGS_AT_ONCE
    // oxlint-disable-next-line no-await-in-loop -- in turns
    await pause()
  }
  const nextRings = nextOf(input)
  const rows = [...tallies.values()].map((tally) => rowOf(tally, input.now, nextRings))
  return { at: input.now, rings: input.rings, rows }
}

function talliesOf({ set, rings, stages, now }: RolloutInput): readonly Tally[] {
  const begun = new Map(stages.map((stage) => [stageKey(stage), stage]))
  return rulesOf(set).flatMap((rule) =>
    rings.map((ring) => {
      const mode = modeIn(rule.modes, ring)
      const stage = begun.get(stageKey({ policy: rule.name, ring }))
      const isCurrent = stage?.version === rule.version && stage.mode === mode
      // What nobody has noted has not begun.
      const since = isCurrent ? stage.since : now
      const windowMs = (rule.rollout?.minDays ?? 0) * DAY_MS
      const countsFrom =
        windowMs === 0 ? since : new Date(Math.max(since.getTime(), now.getTime() - windowMs))
      const zero = { pulls: 0, images: 0, signed: 0, withProvenance: 0, gapImages: 0, wouldBlocks: 0 }
      return { rule, ring, mode, since, countsFrom, reasons: new Map(), gaps: [], ...zero }
    }),
  )
}

function keyOf({ rule, ring }: Tally): string {
  return stageKey({ policy: rule.name, ring })
}

function isOfStage({ rule, mode, since }: Tally, sighting: StoredSighting, result: StoredResult): boolean {
  if (rule.mode === 'off' || result.version !== rule.version || result.mode !== mode) return false
  // What another policy refuses already, nobody gets: this one would change nothing for it.
  const isRefused = sighting.outcome === 'refuse' && mode !== 'enforce'
  return sighting.lastAt >= since && !isRefused
}

function add(tally: Tally, sighting: StoredSighting, result: StoredResult): void {
  // Counted from before the stage began, as the same policy may have been changed and changed back: one pull is certain.
  const pulls = result.from >= tally.since ? result.pulls : 1
  tally.pulls += pulls
  tally.images += 1
  if (sighting.isSigned) tally.signed += 1
  if (sighting.hasProvenance) tally.withProvenance += 1
  if (result.verdict === 'satisfied') return
  const gap = gapOf(tally, sighting, { ...result, pulls })
  tally.gapImages += 1
  if (gap.counts) tally.wouldBlocks += 1
  const isKnown = tally.reasons.has(gap.because) || tally.reasons.size < REASONS_MAX
  const because = isKnown ? gap.because : OTHER_REASONS
  const { images, pulls: before } = tally.reasons.get(because) ?? { images: 0, pulls: 0 }
  tally.reasons.set(because, { images: images + 1, pulls: before + pulls })
  tally.gaps.push(gap)
  if (tally.gaps.length >= 2 * GAPS_SHOWN_MAX) tally.gaps = mostPulled(tally.gaps)
}

function gapOf(
  { countsFrom }: Tally,
  { repository, digest, tags, lastAt }: StoredSighting,
  result: StoredResult,
): Gap {
  return {
    image: imageName(repository, { kind: 'digest', digest }),
    tags,
    kind: result.verdict === 'violated' ? 'block' : 'hold',
    because: result.because,
    pulls: result.pulls,
    lastAt,
    counts: lastAt >= countsFrom,
  }
}

function mostPulled(gaps: readonly Gap[]): Gap[] {
  return gaps.toSorted((a, b) => b.pulls - a.pulls).slice(0, GAPS_SHOWN_MAX)
}

/** The rule for images without a policy goes nowhere: it has one mode in all rings. */
function nextOf({ set, rings }: RolloutInput): ReadonlyMap<string, string> {
  return new Map(
    set.policies.flatMap(({ name, modes }) => {
      const next = rings.find((ring) => modeIn(modes, ring) !== 'enforce')
      return next === undefined ? [] : [[name, next]]
    }),
  )
}

function rowOf(tally: Tally, now: Date, nextRings: ReadonlyMap<string, string>): RolloutRow {
  const { rule, ring, mode, since, reasons, gaps, countsFrom: _, ...figures } = tally
  const { name, version, origin, rollout } = rule
  const ageMs = now.getTime() - since.getTime()
  const grouped = [...reasons].map(([because, group]) => ({ because, ...group }))
  return {
    policy: name,
    ring,
    mode,
    version,
    origin,
    isJudged: rule.mode !== 'off',
    since,
    days: wholeDays(ageMs),
    ...figures,
    reasons: grouped.toSorted((a, b) => b.images - a.images).slice(0, REASONS_SHOWN_MAX),
    gaps: mostPulled(gaps),
    criteria: rollout === undefined ? undefined : criteriaOf(rollout, { ...figures, ageMs }),
    isNext: nextRings.get(name) === ring,
  }
}
