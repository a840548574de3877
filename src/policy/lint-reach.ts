import { durationText, listed } from './describe.ts'
import type { Glob } from './glob.ts'
import { sharedExample } from './glob-witness.ts'
import type { LintPolicy, Remark } from './lint-finding.ts'
import { modeIn } from './ring.ts'
import type { Mode, Policy } from './types.ts'

/** What a policy is about, and where it has which mode. */

/** So many of the policies that overlap with one are named. */
const NAMED_MAX = 3

/** Below it not even a registry nearby can answer all that is asked of it. */
const SHORT_BUDGET_MS = 250

const STRICTNESS: readonly Mode[] = ['off', 'observe', 'enforce']

export function lintModes(policy: Policy, rings: readonly string[]): readonly Remark[] {
  const { mode, modes, runbook, verifyBudgetMs: budgetMs = Infinity } = policy
  if (mode === 'off') return [modeOff()]
  return [
    ...(mode === 'enforce' && runbook === undefined ? [noRunbook()] : []),
    ...(mode === 'enforce' && budgetMs < SHORT_BUDGET_MS ? [shortBudget(budgetMs)] : []),
    ...ringRemarks({ modes }, rings),
  ]
}

function modeOff(): Remark {
  return {
    severity: 'warning',
    code: 'mode-off',
    path: ['spec', 'mode'],
    what: 'the mode is off',
    why: 'it stops nothing and records nothing, and its images still count as matched by a policy',
    mend: 'use observe to see what it would do, or delete the policy',
  }
}

function noRunbook(): Remark {
  return {
    severity: 'note',
    code: 'no-runbook',
    path: ['spec', 'mode'],
    what: 'it is enforced and has no runbook',
    why: 'whoever is refused is not told where to read on',
    mend: 'add runbook: with the address of the page that says what to do',
  }
}

function shortBudget(budgetMs: number): Remark {
  return {
    severity: 'warning',
    code: 'short-budget',
    path: ['spec', 'verifyBudget'],
    what: `a pull waits only ${durationText(budgetMs)} for the verdict`,
    why: 'an image that was never verified takes several round trips to its registry, and is held until it was',
    mend: 'give it what cold pulls take: see portcullis_pull_duration_quantile_seconds{cache="cold"}',
  }
}

/** A requirement goes from ring to ring: one after the other, each at most as strict as those before it. */
function ringRemarks({ modes }: Pick<Policy, 'modes'>, rings: readonly string[]): readonly Remark[] {
  return rings.slice(1).flatMap((ring, index) => {
    const before = rings[index] ?? ring
    const [earlier, later] = [modeIn(modes, before), modeIn(modes, ring)]
    const step = STRICTNESS.indexOf(later) - STRICTNESS.indexOf(earlier)
    if (step === 0) return []
    return [
      step < 0 ? ringBehind({ before, earlier, ring, later }) : ringAhead({ before, earlier, ring, later }),
    ]
  })
}

type Step = { readonly before: string; readonly earlier: Mode; readonly ring: string; readonly later: Mode }

function ringBehind({ before, earlier, ring, later }: Step): Remark {
  return {
    severity: 'note',
    code: 'ring-behind',
    path: ['spec', 'mode'],
    what: `ring ${ring} is still in mode ${later}, and ring ${before} before it in mode ${earlier}`,
    why: 'the rollout is under way, or was forgotten',
    mend: 'see portcullis rollout status, and promote the ring when its criteria hold',
  }
}

function ringAhead({ before, earlier, ring, later }: Step): Remark {
  return {
    severity: 'warning',
    code: 'ring-ahead',
    path: ['spec', 'mode'],
    what: `ring ${ring} is in mode ${later}, and ring ${before} before it only in mode ${earlier}`,
    why: 'what the earlier ring is there to find out is found out in the later one',
    mend: 'bring the earlier ring to the same mode first',
  }
}

/** Attestations of which only the signer is checked. */
export function lintContent({ authorities }: Policy): readonly Remark[] {
  return authorities.flatMap(({ name, attestations }, index) =>
    attestations.flatMap(({ name: called, predicateType, checks }, position) => {
      if (checks.length > 0) return []
      const remark: Remark = {
        severity: isInventory(predicateType) ? 'note' : 'warning',
        code: 'unchecked-attestation',
        path: ['spec', 'authorities', index, 'attestations', position],
        what: `authority ${name} asks for a ${called} attestation, and nothing of what it says is checked`,
        why: 'anything goes as long as it is signed: a failed scan or a build on a laptop, too',
        mend: 'add what it must say: builder and source of provenance, an expression',
      }
      return [remark]
    }),
  )
}

/** A bill of materials is often asked for so that it is there, and not for what is in it. */
function isInventory(predicateType: string): boolean {
  return /^https:\/\/(?:spdx\.dev|cyclonedx\.org)\//.test(predicateType)
}

type Placed = { readonly subject: LintPolicy; readonly glob: Glob }

type Overlap = { readonly other: LintPolicy; readonly example: string }

/** Of two policies that match the same image the one with the wider globs is told, so that a catch-all is told once. */
export function lintOverlaps(policies: readonly LintPolicy[]): ReadonlyMap<LintPolicy, readonly Remark[]> {
  const overlaps = new Map<LintPolicy, Map<LintPolicy, string>>()
  for (const [wide, narrow] of neighbours(policies)) {
    if (overlaps.get(narrow.subject)?.has(wide.subject) === true) continue
    const found = overlaps.get(wide.subject) ?? new Map<LintPolicy, string>()
    if (found.has(narrow.subject)) continue
    const example = sharedExample(wide.glob, narrow.glob)
    if (example === undefined) continue
    found.set(narrow.subject, example)
    overlaps.set(wide.subject, found)
  }
  const remarks = [...overlaps].map(([subject, others]) => {
    const listedOthers = [...others].map(([other, example]) => ({ other, example }))
    return [subject, [overlap(listedOthers)]] as const
  })
  return new Map(remarks)
}

/** Pairs whose literal beginnings agree: in order of those beginnings they are next to each other. */
function* neighbours(policies: readonly LintPolicy[]): Generator<readonly [Placed, Placed]> {
  const placed = policies
    .flatMap((subject) => subject.globs.map((glob) => ({ subject, glob })))
    .toSorted((a, b) => (a.glob.literal < b.glob.literal ? -1 : a.glob.literal > b.glob.literal ? 1 : 0))
  for (const [index, wide] of placed.entries()) {
    for (let next = index + 1; next < placed.length; next++) {
      const narrow = placed[next]
      if (narrow === undefined || !narrow.glob.literal.startsWith(wide.glob.literal)) break
      if (narrow.subject !== wide.subject) yield [wide, narrow]
    }
  }
}

function overlap(others: readonly Overlap[]): Remark {
  const named = others.slice(0, NAMED_MAX).map(({ other, example }) => `${other.policy.name} (${example})`)
  const more = others.length - named.length
  return {
    severity: 'note',
    code: 'overlap',
    path: ['spec', 'images'],
    what: `it matches images of ${listed(more > 0 ? [...named, `${more} more`] : named, 'and')}`,
    why: 'an image that several policies match must satisfy all of them',
    mend: 'nothing, where the one adds to the other; else make the globs narrower',
  }
}
