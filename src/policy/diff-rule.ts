import { listed } from './describe.ts'
import { byRank, different, type Difference } from './diff-change.ts'
import type { Glob } from './glob.ts'
import { modeIn } from './ring.ts'
import type { Mode, RingModes } from './types.ts'

/** What policies and revocations have in common: modes, globs, a runbook. */

const MODES: readonly Mode[] = ['off', 'observe', 'enforce']

export function rankOf(mode: Mode): number {
  return MODES.indexOf(mode)
}

export function modeDifferences(before: RingModes, after: RingModes): readonly Difference[] {
  const rings = [...new Set([...before.byRing.keys(), ...after.byRing.keys()])].toSorted()
  const inRings = rings.map((ring) => ({
    where: `ring ${ring} `,
    was: modeIn(before, ring),
    is: modeIn(after, ring),
  }))
  const elsewhere = {
    where: rings.length === 0 ? '' : 'every other ring ',
    was: before.fallback,
    is: after.fallback,
  }
  return [...inRings, elsewhere].flatMap(({ where, was, is }) => {
    if (was === is) return []
    return [{ direction: byRank(rankOf(was), rankOf(is)), text: `${where}goes from ${was} to ${is}` }]
  })
}

export function runbookDifferences(
  before: { runbook: string | undefined },
  after: { runbook: string | undefined },
): readonly Difference[] {
  if (before.runbook === after.runbook) return []
  return [
    different(after.runbook === undefined ? 'has no runbook any more' : `the runbook is ${after.runbook}`),
  ]
}

export function globEntry(glob: Glob): { readonly key: string; readonly text: string; readonly glob: Glob } {
  return { key: glob.canonical, text: glob.source, glob }
}

export function globsText(globs: readonly Glob[]): string {
  return listed(
    globs.map(({ source }) => source),
    'and',
  )
}
