import type { HeldKey, KeySet, PublicKey } from '../verify/types.ts'

/** A configured key, with the time in which what it signs counts. Undefined: always has, never ends. */
export type KeyEntry = {
  readonly key: PublicKey
  readonly validFrom?: Date | undefined
  /** The first moment that no longer counts. */
  readonly validUntil?: Date | undefined
}

function hasBegun({ validFrom }: KeyEntry, now: Date): boolean {
  return validFrom === undefined || validFrom <= now
}

function hasEnded({ validUntil }: KeyEntry, now: Date): boolean {
  return validUntil !== undefined && validUntil <= now
}

/** Whether the key will end and another of the set goes on after it. */
function isRetiring(entry: KeyEntry, entries: readonly KeyEntry[], now: Date): boolean {
  const { validUntil } = entry
  if (validUntil === undefined || hasEnded(entry, now)) return false
  return entries.some((other) => other !== entry && !hasEnded(other, validUntil))
}

/**
 * The set as it is at `now`. Keys outside their window stay in it: a signature that is proven to have been made inside
 * counts for good.
 */
export function keySetOf(entries: readonly KeyEntry[], now: Date): KeySet {
  const keys: readonly HeldKey[] = entries.map((entry) => ({
    key: entry.key,
    validFrom: entry.validFrom,
    validUntil: entry.validUntil,
    isCurrent: hasBegun(entry, now) && !hasEnded(entry, now),
    isRetiring: isRetiring(entry, entries, now),
  }))
  return { kind: 'held', keys }
}

/** When a window of the set opens or closes next: the set is another one from then on. */
export function nextWindowEdge(entries: readonly KeyEntry[], now: Date): Date | undefined {
  return entries
    .flatMap(({ validFrom, validUntil }) => [validFrom, validUntil])
    .filter((edge) => edge !== undefined && edge > now)
    .toSorted((a, b) => Number(a) - Number(b))[0]
}

/** Why nobody should start with this set, as "found …, expected …"; undefined where they may. */
export function keySetProblem(entries: readonly KeyEntry[]): string | undefined {
  if (entries.length === 0) return 'found no keys, expected at least one'
  const ids = entries.map(({ key }) => key.id)
  const twice = ids.find((id, index) => ids.indexOf(id) !== index)
  // With two windows, which of them counts for a signature would depend on the order.
  if (twice !== undefined) return `found key ${twice} twice, expected one window for each key`
  const empty = entries.find(
    ({ validFrom, validUntil }) =>
      validFrom !== undefined && validUntil !== undefined && validUntil <= validFrom,
  )
  if (empty === undefined) return undefined
  const [from, until] = [empty.validFrom, empty.validUntil].map((edge) => edge?.toISOString())
  return `found key ${empty.key.id} valid from ${from} until ${until}, expected an end after the start`
}

/**
 * What somebody should look at, in one line. No reason not to start: time alone brings it about, and what has a verified
 * time inside a window counts on.
 */
export function keySetWarning(entries: readonly KeyEntry[], now: Date): string | undefined {
  if (entries.some((entry) => !hasEnded(entry, now))) return undefined
  return 'the time of every key has ended: only signatures with a verified time before that count'
}
