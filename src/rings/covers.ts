import { hostKey } from '../upstream/route.ts'
import type { Condition } from './definition.ts'
import { contains } from './network.ts'

/** Whether every client that `later` recognises is recognised by `earlier`, as far as their texts tell. */
export function covers(earlier: Condition, later: Condition): boolean {
  return (
    (earlier.listener === undefined || earlier.listener === later.listener) &&
    isWithin(later.hosts?.map(hostKey), earlier.hosts?.map(hostKey), equal) &&
    isWithin(later.clientCertificates, earlier.clientCertificates, equal) &&
    isWithin(later.tokens, earlier.tokens, equal) &&
    isFromWithin(later, earlier.cidrs) &&
    isHeaderWithin(later, earlier)
  )
}

type Holds = (outer: string, inner: string) => boolean

const equal: Holds = (outer, inner) => outer === inner

/** Whether each of `inner` is in one of `outer`; what says nothing has everything in it. */
function isWithin(
  inner: readonly string[] | undefined,
  outer: readonly string[] | undefined,
  holds: Holds,
): boolean {
  if (outer === undefined) return true
  return inner?.every((one) => outer.some((other) => holds(other, one))) ?? false
}

/** A header, too, counts only from somewhere. */
function isFromWithin({ cidrs, header }: Condition, outer: readonly string[] | undefined): boolean {
  return isWithin(cidrs, outer, contains) || isWithin(header?.from, outer, contains)
}

function isHeaderWithin(later: Condition, { header }: Condition): boolean {
  if (header === undefined) return true
  const { name, value } = later.header ?? {}
  if (name?.toLowerCase() !== header.name.toLowerCase() || value !== header.value) return false
  return isFromWithin(later, header.from)
}
