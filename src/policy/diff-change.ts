import type { Comparison } from './implication.ts'

/** What follows for images: fewer pass, more pass, or neither can be said. */
export type Direction = Exclude<Comparison, 'same'>

/** One thing that is not as it was. */
export type Change = {
  /** The policy or revocation; of a change of the set itself, `unmatched`. */
  readonly policy: string
  readonly direction: Direction
  /** One clause, without a stop. */
  readonly text: string
}

/** A change without the name of what changed. */
export type Difference = Omit<Change, 'policy'>

/** Where `rank` grows with strictness. */
export function byRank(before: number, after: number): Direction {
  return after > before ? 'stricter' : after < before ? 'laxer' : 'different'
}

type Entry = { readonly key: string; readonly text: string }

/** What is in one list only, by key, in the order of the lists. */
export function listDifferences<T extends Entry>(
  before: readonly T[],
  after: readonly T[],
): { readonly gone: readonly T[]; readonly come: readonly T[] } {
  const [old, now] = [before, after].map((entries) => new Set(entries.map(({ key }) => key)))
  return {
    gone: before.filter(({ key }) => now?.has(key) !== true),
    come: after.filter(({ key }) => old?.has(key) !== true),
  }
}

/** The maximal age, whichever thing it is of. */
export function ageDifferences(
  before: number | undefined,
  after: number | undefined,
  text: (before: number | undefined, after: number | undefined) => string,
): readonly Difference[] {
  if (before === after) return []
  return [{ direction: byRank(-(before ?? Infinity), -(after ?? Infinity)), text: text(before, after) }]
}

export function stricter(text: string): Difference {
  return { direction: 'stricter', text }
}

export function laxer(text: string): Difference {
  return { direction: 'laxer', text }
}

export function different(text: string): Difference {
  return { direction: 'different', text }
}
