import { isLoggedFor, isSigner, isTimelyFor, meets, needsOf, satisfiedBy } from '../../policy/authority.ts'
import type { Authority, Policy } from '../../policy/types.ts'
import { uniteQueries } from '../../verify/log-query.ts'
import type { LogQuery, Unlogged, Verified } from '../../verify/types.ts'

/** A log entry that would satisfy these policies, by name, together with what is verified already. */
export type Wanted = {
  readonly trustRoot: string
  /** For all copies at once. */
  readonly query: LogQuery
  /** Copies of one signature; never empty. An entry may prove one of them and not another. */
  readonly copies: readonly Unlogged[]
  readonly policies: readonly string[]
}

/** Of one image. Each is a signature by whom a policy names, so only that signer can make more of them. */
export const LOOK_UPS_MAX = 8

/** Trust roots whose log any of the policies could need. */
export function logsNeeded(policies: readonly Policy[]): ReadonlySet<string> {
  const authorities = policies.filter(({ mode }) => mode !== 'off').flatMap((policy) => policy.authorities)
  return new Set(authorities.filter(needsLog).map(({ signer }) => signer.trustRoot))
}

function needsLog({ signer }: Authority): boolean {
  return signer.kind === 'keyless' || signer.transparencyLog === 'required'
}

/**
 * What is worth a look-up: entries that would satisfy a policy that is not satisfied yet. Each question once, whichever
 * copies of a signature it is about, at most LOOK_UPS_MAX of them.
 */
export function wantedEntries(
  policies: readonly Policy[],
  verified: readonly Verified[],
  unlogged: readonly Unlogged[],
): readonly Wanted[] {
  const wanted = new Map<string, { copies: Set<Unlogged>; policies: Set<string> }>()
  const open = policies.filter(
    ({ mode, authorities }) =>
      mode !== 'off' && authorities.every((authority) => satisfiedBy(authority, verified).length === 0),
  )
  for (const { name, authorities } of open) {
    const helpful = new Set(authorities.flatMap((authority) => helpfulTo(authority, verified, unlogged)))
    for (const one of helpful) {
      const question = `${one.trustRoot} ${one.query.id}`
      const { copies, policies: names } = wanted.get(question) ?? { copies: new Set(), policies: new Set() }
      wanted.set(question, { copies: copies.add(one), policies: names.add(name) })
    }
  }
  return [...wanted.values()].slice(0, LOOK_UPS_MAX).flatMap(({ copies, policies: names }) => {
    const [first, ...others] = copies
    if (first === undefined) return []
    const query = uniteQueries(
      first.query,
      others.map((other) => other.query),
    )
    return [{ trustRoot: first.trustRoot, query, copies: [...copies], policies: [...names] }]
  })
}

/** Nothing where even all the entries together would not satisfy the authority. */
function helpfulTo(
  authority: Authority,
  verified: readonly Verified[],
  unlogged: readonly Unlogged[],
): readonly Unlogged[] {
  if (authority.unavailable !== undefined || !needsLog(authority)) return []
  const counts = verified.filter(
    (one) => isSigner(authority, one.signer) && isLoggedFor(authority, one) && isTimelyFor(authority, one),
  )
  const missing = needsOf(authority).filter((need) => !counts.some((one) => meets(need, one)))
  const could = unlogged.filter(
    ({ trustRoot, signer }) => trustRoot === authority.signer.trustRoot && isSigner(authority, signer),
  )
  const meeting = missing.map((need) => could.filter((one) => meets(need, { ...one, logs: [], times: [] })))
  return meeting.some(({ length }) => length === 0) ? [] : meeting.flat()
}
