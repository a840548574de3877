import { UNMATCHED } from '../policy/decide.ts'
import type { Mode } from '../policy/types.ts'
import type { Promotion, StageKey, StoredPromotion } from '../store/types.ts'
import { criterionText } from './criteria.ts'
import type { RolloutReport, RolloutRow } from './report.ts'

export type PromotionRequest = StageKey & {
  readonly to: Exclude<Mode, 'off'>
  readonly by: string
  /** Why it is to be done whatever the criteria say. */
  readonly override: string | undefined
  /** Of the policy whose mode is to be changed; undefined: of the one in force. */
  readonly policyVersion?: string | undefined
}

export type PromotionAnswer =
  /** There is no such policy or ring, or nothing to do, or nothing is known of what is to be enforced. */
  | { readonly kind: 'unknown' | 'pointless'; readonly problem: string }
  /** What is not met, one line each. */
  | { readonly kind: 'refused'; readonly unmet: readonly string[] }
  | {
      readonly kind: 'granted'
      readonly promotion: Promotion
      /** When the stage began that it ends. */
      readonly since: Date
      /** What was overridden. */
      readonly unmet: readonly string[]
      /** `file:line` of the policy. */
      readonly origin: string
    }

/**
 * Whether the policy may have the mode in the ring, by what the report says. Only `enforce` must be earned: to observe
 * stops nobody. An override is only on record where something had to be overridden.
 */
export function decidePromotion(report: RolloutReport, request: PromotionRequest): PromotionAnswer {
  const rows = report.rows.filter(({ policy }) => policy === request.policy)
  if (rows.length === 0) return { kind: 'unknown', problem: `there is no policy ${request.policy}` }
  const row = rows.find(({ ring }) => ring === request.ring)
  if (row === undefined) {
    const known = report.rings.join(', ')
    return { kind: 'unknown', problem: `there is no ring ${request.ring}, only ${known}` }
  }
  const problem = pointless(row, request)
  if (problem !== undefined) return { kind: 'pointless', problem }
  const unmet = request.to === 'enforce' ? unmetBy(row, rows) : []
  if (unmet.length > 0 && request.override === undefined) return { kind: 'refused', unmet }
  const promotion = promotionOf(row, request, { unmet, at: report.at })
  return { kind: 'granted', promotion, since: row.since, unmet, origin: row.origin }
}

/**
 * The same step, where it is on record and the policy has not been loaded since: whoever asks again has not decided again. Not
 * where the criteria hold no more, or again, nor where what was not met is overridden for another reason.
 * `newestFirst`: what was recorded of all policies.
 */
export function recordedBefore(
  { policy, ring, from, to, policyVersion, isMet, override }: Promotion,
  since: Date,
  newestFirst: readonly StoredPromotion[],
): StoredPromotion | undefined {
  const last = newestFirst.find((one) => one.policy === policy && one.ring === ring)
  if (last === undefined || last.at < since) return undefined
  const isSameStep = last.from === from && last.to === to && last.policyVersion === policyVersion
  const isSameReason = last.isMet === isMet && last.override === override
  return isSameStep && isSameReason ? last : undefined
}

function pointless(
  { policy, ring, mode, version }: RolloutRow,
  { to, policyVersion = version }: PromotionRequest,
): string | undefined {
  if (policy === UNMATCHED)
    return 'the rule for images without a policy has one mode in all rings: set policies.unmatched in the configuration'
  if (policyVersion !== version)
    return `policy ${policy} has been changed and demands something else than the one in force, which was observed: load it first`
  return mode === to ? `policy ${policy} is in mode ${to} in ring ${ring} already` : undefined
}

/** `rows`: of the policy, in the order of the rings. */
function unmetBy(row: RolloutRow, rows: readonly RolloutRow[]): readonly string[] {
  const behind = rows.slice(0, rows.indexOf(row)).filter(({ mode }) => mode !== 'enforce')
  const order = behind.map(({ ring, mode }) => `order: ring ${ring} comes first and is in mode ${mode}`)
  const stage =
    row.mode === 'observe' ? [] : [`stage: ring ${row.ring} is in mode ${row.mode}, not in observe`]
  const criteria =
    row.criteria === undefined
      ? ['criteria: the policy declares none (spec.rollout)']
      : row.criteria.filter(({ holds }) => !holds).map(criterionText)
  return [...order, ...stage, ...criteria]
}

function promotionOf(
  row: RolloutRow,
  { policy, ring, to, by, override }: PromotionRequest,
  { unmet, at }: { unmet: readonly string[]; at: Date },
): Promotion {
  const { since, days, pulls, images, signed, withProvenance, gapImages, wouldBlocks, criteria } = row
  const figures = { since, days, pulls, images, signed, withProvenance, gapImages, wouldBlocks }
  return {
    at,
    policy,
    ring,
    from: row.mode,
    to,
    policyVersion: row.version,
    by,
    isMet: unmet.length === 0,
    criteria: JSON.stringify({ ...figures, criteria: criteria ?? [], unmet }),
    override: unmet.length === 0 ? undefined : override,
  }
}
