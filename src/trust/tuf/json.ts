import { MEMBERS_MAX } from './limits.ts'

/** Parses metadata that nobody has verified. Throws what JSON.parse throws, and RangeError where it is too wide. */
export function parseModestJson(bytes: Buffer): unknown {
  const value: unknown = JSON.parse(bytes.toString('utf8'))
  // A list of what is left to look at, not calls within calls: the depth is up to whoever wrote it, too.
  const pending = [value]
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    if (typeof next !== 'object' || next === null) continue
    const members: unknown[] = Object.values(next)
    if (members.length > MEMBERS_MAX) {
      throw new RangeError(`something in it has ${members.length} members, more than ${MEMBERS_MAX}`)
    }
    for (const member of members) pending.push(member)
  }
  return value
}
