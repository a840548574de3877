import { closureOf, isEvidenceManifest } from './oci/manifest.ts'
import type { StateStore } from './store/types.ts'
import type { FetchedManifest } from './upstream/manifest-source.ts'

export type Closure = Parameters<StateStore['addClosure']>[2]

/** What a manifest names. */
export function closureFrom({ parsed }: FetchedManifest): Closure {
  if (!parsed.ok) return { children: [], blobs: [], isEvidence: false }
  return { ...closureOf(parsed.manifest), isEvidence: isEvidenceManifest(parsed.manifest) }
}
