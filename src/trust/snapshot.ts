import { hash } from 'node:crypto'
import type { KeySet, TrustRoot } from '../verify/types.ts'
import { TrustError } from './trust-error.ts'

/**
 * All that is trusted at one moment. Verdicts depend on `version`: it changes exactly when a name, a document, a key or
 * whether one of them may be used does.
 */
export type TrustSnapshot = {
  readonly version: string
  /** Usable roots by name. Of two that overlap in a rotation, the one that stays comes first. */
  readonly roots: ReadonlyMap<string, readonly TrustRoot[]>
  /** Roots that cannot be used now, and why, in one line. */
  readonly unusable: ReadonlyMap<string, string>
  /** By reference. */
  readonly keys: ReadonlyMap<string, KeySet>
}

export type SnapshotParts = {
  readonly roots: readonly TrustRoot[]
  readonly unusable?: ReadonlyMap<string, string>
  readonly keys?: ReadonlyMap<string, KeySet>
}

/** Throws TrustError `snapshot` where one name is both usable and not. */
export function createTrustSnapshot({
  roots,
  unusable = new Map(),
  keys = new Map(),
}: SnapshotParts): TrustSnapshot {
  const byName = Map.groupBy(
    roots.toSorted((a, b) => Number(a.isRetiring) - Number(b.isRetiring)),
    ({ name }) => name,
  )
  const both = [...byName.keys()].find((name) => unusable.has(name))
  if (both !== undefined)
    throw new TrustError('snapshot', `trust root ${both} is usable and unusable at once`)
  const content = JSON.stringify({
    roots: sorted(
      [...byName].map(([name, group]) => [
        name,
        ...group.map(({ version, isRetiring }) => [version, isRetiring]),
      ]),
    ),
    // Not the message, which tells the age: that alone changes no verdict.
    unusable: [...unusable.keys()].toSorted(),
    keys: sorted([...keys].map(([reference, set]) => [reference, ...summaryOf(set)])),
  })
  return { version: `sha256:${hash('sha256', content, 'hex')}`, roots: byName, unusable, keys }
}

function summaryOf(set: KeySet): readonly unknown[] {
  if (set.kind === 'missing') return ['missing']
  return set.keys.map(({ key, validFrom, validUntil, isCurrent, isRetiring }) => [
    key.id,
    key.scheme ?? null,
    validFrom ?? null,
    validUntil ?? null,
    isCurrent,
    isRetiring,
  ])
}

function sorted(entries: readonly (readonly unknown[])[]): readonly string[] {
  return entries.map((entry) => JSON.stringify(entry)).toSorted()
}
