import { parseImageReference, parseRegistry } from '../oci/reference.ts'
import type { Finding } from '../policy/problem.ts'
import { ringChecks } from './ring-checks.ts'
import type { ConfigDocument } from './schema.ts'

/** How many renewals must come in the time for which something is believed without one. */
const RENEWALS_MIN = 3

/** What is wrong with a configuration though each value alone is right. */
export function crossChecks(config: ConfigDocument): readonly Finding[] {
  return [
    ...checkPorts(config),
    ...checkDefaultUpstream(config),
    ...checkNames(config),
    ...checkCredentials(config),
    ...checkPolicies(config),
    ...checkTrust(config),
    ...ringChecks(config),
  ]
}

function checkPorts({ listen: { data, admin } }: ConfigDocument): readonly Finding[] {
  if (data.port !== admin.port || data.port === 0) return []
  const message = `found ${admin.port}, which is the data listener's port too; expected another`
  return [{ path: ['listen', 'admin', 'port'], message }]
}

function checkDefaultUpstream({ defaultUpstream, upstreams }: ConfigDocument): readonly Finding[] {
  if (defaultUpstream === null || Object.hasOwn(upstreams, defaultUpstream)) return []
  const known = Object.keys(upstreams).join(', ')
  const message = `found ${JSON.stringify(defaultUpstream)}, which upstreams does not list; expected null or one of ${known}`
  return [{ path: ['defaultUpstream'], message }]
}

/** One name, one registry: a name with two meanings would let one registry's images in under another's policy. */
function checkNames({ upstreams }: ConfigDocument): readonly Finding[] {
  const aliases = new Map(Object.keys(upstreams).map((registry) => [registry, registry]))
  const virtualHosts = new Map<string, string>()
  const findings: Finding[] = []
  const claim = (
    owners: Map<string, string>,
    name: string,
    registry: string,
    path: Finding['path'],
  ): void => {
    const owner = owners.get(name)
    if (owner === undefined) owners.set(name, registry)
    else findings.push({ path, message: `found ${JSON.stringify(name)}, which already means ${owner}` })
  }
  for (const [registry, upstream] of Object.entries(upstreams)) {
    for (const [index, alias] of upstream.aliases.entries()) {
      claim(aliases, parseRegistry(alias) ?? alias, registry, ['upstreams', registry, 'aliases', index])
    }
    for (const [index, host] of upstream.virtualHosts.entries()) {
      claim(virtualHosts, host, registry, ['upstreams', registry, 'virtualHosts', index])
    }
  }
  return findings
}

function checkCredentials({ upstreams }: ConfigDocument): readonly Finding[] {
  return Object.entries(upstreams).flatMap(([registry, { url, auth }]) => {
    if (auth === undefined || url === undefined) return []
    const { protocol, hostname } = new URL(url)
    if (protocol === 'https:' || isLoopback(hostname)) return []
    const message =
      'found credentials for a plain http:// upstream, which would send them in clear; use https://'
    return [{ path: ['upstreams', registry, 'auth'], message }]
  })
}

function checkPolicies({ policies, upstreams }: ConfigDocument): readonly Finding[] {
  const { directory, bundle, unmatched } = policies
  const findings: Finding[] = []
  if (directory !== undefined && bundle !== undefined) {
    const message = 'found policies.directory too; expected one of the two, so that it is plain which counts'
    findings.push({ path: ['policies', 'bundle'], message })
  }
  const registry = bundle === undefined ? undefined : parseImageReference(bundle.image)?.repository.registry
  if (registry !== undefined && !Object.hasOwn(upstreams, registry)) {
    const message = `found an image of ${registry}, which upstreams does not list; add it, with its credentials`
    findings.push({ path: ['policies', 'bundle', 'image'], message })
  }
  if (unmatched === 'enforce' && directory === undefined && bundle === undefined) {
    const message =
      'found "enforce" without policies.directory or policies.bundle, which would refuse every image; set one'
    findings.push({ path: ['policies', 'unmatched'], message })
  }
  return findings
}

function checkTrust({ trust }: ConfigDocument): readonly Finding[] {
  const findings: Finding[] = []
  if (trust.unusableAfterMs <= trust.staleAfterMs) {
    const message = 'found no more than trust.staleAfter; expected more, so that somebody is warned in time'
    findings.push({ path: ['trust', 'unusableAfter'], message })
  }
  findings.push(...checkRenewals(trust))
  for (const name of Object.keys(trust.publications)) {
    if (!Object.hasOwn(trust.roots, name)) continue
    const message = `found ${JSON.stringify(name)}, which is a trust root; both would be served as /tuf/${name}/`
    findings.push({ path: ['trust', 'publications', name], message })
  }
  findings.push(...checkTimes(trust))
  for (const [name, root] of Object.entries(trust.roots)) {
    for (const [index, { validFrom, validUntil }] of (root.kind === 'keys' ? root.keys : []).entries()) {
      if (validFrom === undefined || validUntil === undefined || validFrom < validUntil) continue
      const message = 'found an end that is not after validFrom; expected a later one'
      findings.push({ path: ['trust', 'roots', name, 'keys', index, 'validUntil'], message })
    }
  }
  return findings
}

/** A PKI has no logs and no timestamp authorities of its own, and keys neither. */
function checkTimes({ roots }: ConfigDocument['trust']): readonly Finding[] {
  const known = Object.entries(roots).flatMap(([name, { kind }]) =>
    kind === 'pki' || kind === 'keys' ? [] : [name],
  )
  return Object.entries(roots).flatMap(([name, root]) => {
    if (root.kind !== 'pki' || known.includes(root.times)) return []
    const expected = known.length === 0 ? 'a trust root of kind tuf, pinned or public-good' : known.join(', ')
    const message = `found ${JSON.stringify(root.times)}, expected ${expected}: a root with logs or timestamp authorities`
    return [{ path: ['trust', 'roots', name, 'times'], message }]
  })
}

/** One renewal that comes late or fails must not be an outage. */
function checkRenewals({
  refreshEveryMs,
  unusableAfterMs,
  kms,
}: ConfigDocument['trust']): readonly Finding[] {
  const pairs = [
    [['trust', 'unusableAfter'], unusableAfterMs, 'trust.refreshEvery', refreshEveryMs],
    [['trust', 'kms', 'keyMaxAge'], kms.keyMaxAgeMs, 'trust.kms.refreshEvery', kms.refreshEveryMs],
  ] as const
  return pairs.flatMap(([path, lastsMs, every, everyMs]) => {
    if (lastsMs >= RENEWALS_MIN * everyMs) return []
    const message = `found less than ${RENEWALS_MIN} times ${every}; expected at least that, so that a renewal may fail`
    return [{ path, message }]
  })
}

/** Traffic to this machine itself crosses no network. */
function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127(?:\.\d{1,3}){3}$/.test(hostname)
}
