/** Who vouches: authorities by name, and of each the signers who satisfy it, until when (milliseconds). */
export type Vouching = ReadonlyMap<string, ReadonlyMap<string, number>>

/**
 * How many authorities count together where no signer counts twice: a maximum matching of authorities and signers, by
 * augmenting paths. Both are bounded: authorities by the schema, signers by the evidence that is read of one image.
 */
export function quorumOf(vouching: Vouching, atMs = -Infinity): number {
  const countedFor = new Map<string, string>()
  const place = (authority: string, tried: Set<string>): boolean => {
    for (const [signer, untilMs] of vouching.get(authority) ?? []) {
      if (untilMs < atMs || tried.has(signer)) continue
      tried.add(signer)
      const holder = countedFor.get(signer)
      if (holder !== undefined && !place(holder, tried)) continue
      countedFor.set(signer, authority)
      return true
    }
    return false
  }
  return [...vouching.keys()].filter((authority) => place(authority, new Set())).length
}

/** Until when so many authorities count together; -Infinity: they do not. */
export function quorumUntilMs(count: number, vouching: Vouching): number {
  const ends = new Set([...vouching.values()].flatMap((signers) => [...signers.values()]))
  const latestFirst = [...ends].toSorted((a, b) => (a < b ? 1 : -1))
  return latestFirst.find((endMs) => quorumOf(vouching, endMs) >= count) ?? -Infinity
}
