import {
  countedBy,
  isOfKind,
  isSigner,
  needsOf,
  NOT_MET,
  passesChecks,
  type Occasion,
} from '../../policy/authority.ts'
import { assess, satisfactionOf } from '../../policy/standing.ts'
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
  return new Set(authorities.flatMap((authority) => logNeeded(authority) ?? []))
}

/** The trust root whose log vouches for what the authority signs, where one has to. */
function logNeeded({ signer }: Authority): string | undefined {
  if (signer.kind === 'keyless') return signer.trustRoot
  return signer.kind === 'key' && signer.transparencyLog === 'required' ? signer.trustRoot : undefined
}

/**
 * What is worth a look-up: entries that would satisfy a policy that is not satisfied yet. Each question once, whichever
 * copies of a signature it is about, at most LOOK_UPS_MAX of them.
 */
export function wantedEntries(
  policies: readonly Policy[],
  verified: readonly Verified[],
  unlogged: readonly Unlogged[],
  occasion: Occasion,
): readonly Wanted[] {
  const wanted = new Map<string, { copies: Set<Unlogged>; policies: Set<string> }>()
  const open = policies.filter(
    (policy) =>
      policy.mode !== 'off' && satisfactionOf(policy, assess(policy, verified, occasion)) === undefined,
  )
  for (const { name, authorities } of open) {
    const helpful = new Set(
      authorities.flatMap((authority) => helpfulTo(authority, verified, unlogged, occasion)),
    )
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
  occasion: Occasion,
): readonly Unlogged[] {
  const log = logNeeded(authority)
  if (authority.unavailable !== undefined || log === undefined) return []
  const counted = countedBy(authority, verified, occasion)
  const missing = needsOf(authority).filter((_, need) =>
    counted.every(({ untilMs }) => untilMs[need] === NOT_MET),
  )
  const could = unlogged.filter(({ trustRoot, signer }) => trustRoot === log && isSigner(authority, signer))
  const meeting = missing.map((need) =>
    could.filter(
      (one) => isOfKind(need, one) && passesChecks(need, { ...one, logs: [], times: [] }, occasion.image),
    ),
  )
  return meeting.some(({ length }) => length === 0) ? [] : meeting.flat()
}
