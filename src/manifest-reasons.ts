import type { Reason } from './policy/types.ts'
import type { FetchedManifest } from './upstream/manifest-source.ts'

/** What the manifest itself is guilty of, whoever signed it. */
export function manifestReasons(
  fetched: FetchedManifest,
  allowedHosts: ReadonlySet<string>,
): readonly Reason[] {
  if (!fetched.parsed.ok) {
    const found = `a manifest that ${fetched.parsed.message}`
    return [{ code: 'malformed', authority: undefined, found, expected: 'one that every client reads alike' }]
  }
  const foreign = fetched.parsed.facts.foreignHosts.filter((host) => !allowedHosts.has(host))
  if (foreign.length === 0) return []
  const found = `layers that clients fetch from ${foreign.slice(0, 3).join(', ')}`
  return [
    { code: 'foreign-url', authority: undefined, found, expected: 'layers that come through this proxy' },
  ]
}
