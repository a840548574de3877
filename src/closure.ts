import type { StateStore } from './store/types.ts'
import type { FetchedManifest } from './upstream/manifest-source.ts'

export type Closure = Parameters<StateStore['addClosure']>[2]

/** What a manifest names. */
export function closureFrom({ parsed }: FetchedManifest): Closure {
  return parsed.ok ? parsed.facts : { children: [], blobs: [], isEvidence: false }
}
