import type { Digest } from './oci/digest.ts'
import type { Repository } from './oci/reference.ts'
import type { StateStore } from './store/types.ts'

/** An index of indexes of indexes, and one more: deeper nesting has no use but to cost time. */
const DEPTH_MAX = 4
const ANCESTORS_MAX = 64

export type Ancestors = {
  readonly digests: ReadonlySet<Digest>
  /** Whether that is all of them: then those of each of them are among them too. */
  readonly isWhole: boolean
}

/** Indexes of this repository that were let through and name the manifest, or name one that does: the nearest, at most 64. */
export function ancestorsOf(
  state: Pick<StateStore, 'parentsOfManifest'>,
  repository: Repository,
  digest: Digest,
): Ancestors {
  const digests = new Set<Digest>()
  let level: readonly Digest[] = [digest]
  for (let depth = 0; ; depth++) {
    const parents = new Set(level.flatMap((child) => state.parentsOfManifest(repository, child)))
    level = [...parents].filter((parent) => !digests.has(parent))
    if (level.length === 0) return { digests, isWhole: true }
    const room = depth === DEPTH_MAX ? 0 : ANCESTORS_MAX - digests.size
    for (const parent of level.slice(0, room)) digests.add(parent)
    if (level.length > room) return { digests, isWhole: false }
  }
}
