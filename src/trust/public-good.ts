import seeds from '@sigstore/tuf/seeds.json' with { type: 'json' }
import type { TrustRoot } from '../verify/types.ts'
import { parseTrustRoot } from './trust-root.ts'

/** The public-good instance's name in configuration. */
export const PUBLIC_GOOD = 'public-good'

/**
 * The trusted root that `@sigstore/tuf` ships for the public-good Sigstore: as good as the package's release date, and
 * enough for a cold start without network. Its TUF metadata is not in the package, so it is pinned, not verified.
 */
export function loadPublicGoodRoot(): TrustRoot {
  const target = seeds['https://tuf-repo-cdn.sigstore.dev'].targets['trusted_root.json']
  return parseTrustRoot(PUBLIC_GOOD, Buffer.from(target, 'base64').toString('utf8'))
}
