import seeds from '@sigstore/tuf/seeds.json' with { type: 'json' }
import staging from './staging-trusted-root.json' with { type: 'json' }
import type { TrustRoot } from '../verify/types.ts'
import { parseTrustRoot } from './trust-root.ts'

const SEED = seeds['https://tuf-repo-cdn.sigstore.dev']

/** The root of the public-good TUF repository that `@sigstore/tuf` ships: all newer metadata is verified from it. */
export const PUBLIC_GOOD_INITIAL_ROOT: Buffer = Buffer.from(SEED['root.json'], 'base64')

/**
 * The trusted root that `@sigstore/tuf` ships for the public-good Sigstore: as good as the package's release date, and
 * enough for a cold start without network. Its TUF metadata is not in the package, so it is pinned, not verified.
 * `name` is the one that configuration gives it.
 */
export function loadPublicGoodRoot(name = 'public-good'): TrustRoot {
  return parseTrustRoot(name, Buffer.from(SEED.targets['trusted_root.json'], 'base64').toString('utf8'))
}

/**
 * The trusted root of Sigstore's staging instance, as sigstore-python 4.5.1 ships it. For trying things out: no policy can
 * name it, because anybody may sign there as anybody.
 */
export function loadStagingRoot(): TrustRoot {
  return parseTrustRoot('staging', JSON.stringify(staging))
}
