import { assertDiallable, type AddressGuard } from './address-guard.ts'
import { UpstreamError } from './types.ts'

export const REDIRECTS_MAX = 5

/** Presigned object-storage URLs stay under 4 KiB. */
const LOCATION_LENGTH_MAX = 8_192

export type RedirectRules = {
  readonly upstream: URL
  /** Hosts that a plain-text upstream may send us to over plain text. */
  readonly plainHosts: readonly string[]
  readonly allows: AddressGuard
}

export function isRedirect(status: number): boolean {
  return status === 301 || status === 302 || status === 303 || status === 307 || status === 308
}

/** The URL that an answer redirects to, if the rules let us go there; else UpstreamError `invalid`. */
export function redirectTarget(current: URL, location: unknown, rules: RedirectRules): URL {
  const usable = typeof location === 'string' && location.length <= LOCATION_LENGTH_MAX
  const target = usable ? URL.parse(location, current) : null
  if (target === null) throw new UpstreamError('invalid', `${current.host} redirects to no URL`)
  if (target.username !== '' || target.password !== '') {
    throw new UpstreamError('invalid', `${current.host} redirects to a URL with credentials`)
  }
  const plain =
    target.protocol === 'http:' &&
    rules.upstream.protocol === 'http:' &&
    (target.hostname === rules.upstream.hostname || rules.plainHosts.includes(target.host))
  if (target.protocol !== 'https:' && !plain) {
    throw new UpstreamError('invalid', `${current.host} redirects to ${target.host} without TLS`)
  }
  assertDiallable(target, rules.allows)
  return target
}
