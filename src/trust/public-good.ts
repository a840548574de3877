import seeds from '@sigstore/tuf/seeds.json' with { type: 'json' }
import type { TrustRoot } from '../verify/types.ts'
import { parseTrustRoot } from './trust-root.ts'

/**
 * The trusted root that `@sigstore/tuf` ships for the public-good Sigstore: as good as the package's release date, and
 * enough for a cold start without network. Its TUF metadata is not in the package, so it is pinned, not verified.
 * `name` is the one that configuration gives it.
 */
export function loadPublicGoodRoot(name = 'public-good'): TrustRoot {
  const target = seeds['https://tuf-repo-cdn.sigstore.dev'].targets['trusted_root.json']
  return parseTrustRoot(name, Buffer.from(target, 'base64').toString('utf8'))
}
