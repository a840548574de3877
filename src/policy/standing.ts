import {
  countedBy,
  FOR_EVER,
  NOT_MET,
  satisfiedUntilMs,
  satisfiersOf,
  signersOf,
  type Counted,
  type Occasion,
} from './authority.ts'
import { metUntilMs, type Standing } from './requirement.ts'
import type { Authority, Policy, Verdict } from './types.ts'
import type { Verified } from '../verify/types.ts'

/** What each authority of a policy makes of the evidence, by name. Worked out once for each verdict. */
export type Assessment = ReadonlyMap<string, Assessed>

type Assessed = { readonly authority: Authority; readonly counted: readonly Counted[] }
type Satisfied = Extract<Verdict, { kind: 'satisfied' }>

export function assess(
  { authorities }: Policy,
  verified: readonly Verified[],
  occasion: Occasion,
): Assessment {
  return new Map(
    authorities.map((authority) => [
      authority.name,
      { authority, counted: countedBy(authority, verified, occasion) },
    ]),
  )
}

const NOBODY: ReadonlyMap<string, number> = new Map()

/** `couldBe`: authorities taken for satisfied, each for good and by a signer of its own. */
export function standingOf(assessment: Assessment, couldBe: ReadonlySet<string> = new Set()): Standing {
  return {
    untilMs(name) {
      const { authority, counted } = assessment.get(name) ?? {}
      if (authority === undefined || counted === undefined) return NOT_MET
      return couldBe.has(name) ? FOR_EVER : satisfiedUntilMs(authority, counted)
    },
    signersOf(name) {
      const { authority, counted } = assessment.get(name) ?? {}
      if (authority === undefined || counted === undefined) return NOBODY
      return couldBe.has(name)
        ? new Map([[`whoever ${name} names`, FOR_EVER]])
        : signersOf(authority, counted)
    },
  }
}

/** The verdict, where the requirement is met. */
export function satisfactionOf({ requirement }: Policy, assessment: Assessment): Satisfied | undefined {
  const untilMs = metUntilMs(requirement, standingOf(assessment))
  if (untilMs === NOT_MET) return undefined
  const by = [...assessment.values()].flatMap(({ authority, counted }) => satisfiersOf(authority, counted))
  return { kind: 'satisfied', by, ...(untilMs === FOR_EVER ? {} : { until: new Date(untilMs) }) }
}

/** Whether the requirement would be met, were these authorities satisfied as well. */
export function couldBeMet(
  { requirement }: Policy,
  assessment: Assessment,
  couldBe: ReadonlySet<string>,
): boolean {
  return metUntilMs(requirement, standingOf(assessment, couldBe)) > NOT_MET
}
